"""`prompter.json`: what it tells of the training, and how the folder is found."""

import json
import shutil
from pathlib import Path

import pytest

from distill.checkpoints.checksums import seal
from distill.common.errors import InputError
from prompter.saved.manifest import find_prompter, fingerprint, read_prompter_manifest, training_summary


def test_training_summary_compares_first_and_last_tenth() -> None:
    rows = [{"queries": 10 * i, "reward": float(i), "reward/novelty": 0.5, "kl": 1.0, "update": i} for i in range(1, 21)]
    found = training_summary(rows)
    assert found["teacher_queries"] == 200 and found["rollouts"] == 20
    assert found["first"] == {"reward": 1.5, "reward/novelty": 0.5} and found["last"]["reward"] == 19.5
    assert training_summary([]) == {"rollouts": 0, "teacher_queries": 0}


def test_the_training_summary_skips_rollouts_without_a_usable_answer() -> None:
    rows = [{"queries": 10 * i, "reward": float(i), "agreement": None} for i in range(1, 31)]
    rows[0]["reward"], rows[1]["reward"] = None, float("nan")  # as now, and as earlier versions wrote it
    found = training_summary(rows)
    assert found["first"] == {"reward": 3.0, "agreement": None} and found["last"] == {"reward": 29.0, "agreement": None}


def test_a_prompter_is_found_by_its_folder_or_its_run(run_folder: Path) -> None:
    assert find_prompter(run_folder) == find_prompter(run_folder / "prompter") == run_folder / "prompter"


def test_the_fingerprint_follows_weights_and_settings_but_not_the_card(run_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run_folder / "prompter", tmp_path / "prompter"))
    before = fingerprint(folder)
    (folder / "README.md").write_text("another card")
    assert fingerprint(folder) == before == fingerprint(run_folder / "prompter")
    (folder / "prompter.json").write_text((folder / "prompter.json").read_text() + " ")
    assert fingerprint(folder) != before


def test_one_label_is_enough_where_each_is_yes_or_no(run_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run_folder / "prompter", tmp_path / "prompter"))
    manifest = json.loads((folder / "prompter.json").read_text())

    def read(**changes: object) -> list[str]:
        (folder / "prompter.json").write_text(json.dumps(manifest | changes))
        seal(folder)
        return read_prompter_manifest(folder)["labels"]

    assert read(kind="multi_label", labels=["toxic"]) == ["toxic"]
    with pytest.raises(InputError, match="expected one or more names"):
        read(kind="multi_label", labels=[])
    for kind in ("single", "tokens"):
        with pytest.raises(InputError, match="expected two or more names"):
            read(kind=kind, labels=["toxic"])
