"""`prompter.json`: what it tells of the training, and how the folder is found."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from distill.checkpoints.checksums import seal
from distill.common.errors import InputError
from prompter import Prompter
from prompter.cli import main
from prompter.saved.manifest import find_prompter, fingerprint, read_prompter_manifest, training_summary
from tests.prompter.saved_prompter import write_prompter


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


def trained_again(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    save_file({name: value * 1.01 for name, value in weights.items()}, model / "model.safetensors", {"format": "pt"})


def test_a_base_that_was_trained_again_in_its_place_writes_only_if_the_user_names_it(
    lm_folder: Path, teacher_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lm = Path(shutil.copytree(lm_folder, tmp_path / "lm"))
    run = write_prompter(tmp_path / "run", lm, teacher_folder)
    manifest = run / "prompter" / "prompter.json"
    assert json.loads(manifest.read_text())["weights"].keys() == {"base", "writer"}
    assert len(Prompter.load(run, device="cpu").texts("good", 2)) == 2
    trained_again(lm)
    with pytest.raises(InputError, match=f"base: {lm} has other weights than in the run .* name it with --base {lm}"):
        Prompter.load(run, device="cpu")
    assert main(["export", str(run), "--to", str(tmp_path / "d"), "--rows", "4", "--teacher", "none", "--device", "cpu"]) == 2
    assert "other weights" not in caplog.text
    assert len(Prompter.load(run, device="cpu", base=lm).texts("good", 2)) == 2
    assert "other weights than in the run" in caplog.text
    written = json.loads(manifest.read_text())
    del written["weights"]  # as of an earlier version
    manifest.write_text(json.dumps(written))
    (run / "prompter" / "checksums.json").unlink()
    assert len(Prompter.load(run, device="cpu").texts("good", 2)) == 2


def test_a_writer_apart_is_compared_where_it_writes(lm_folder: Path, teacher_folder: Path, tmp_path: Path) -> None:
    lm = Path(shutil.copytree(lm_folder, tmp_path / "lm"))
    run = write_prompter(tmp_path / "run", lm, teacher_folder, lora_rank=0)  # the policy has weights of its own
    trained_again(lm)
    with pytest.raises(InputError, match="writer: .* has other weights than in the run .* name it with --generator"):
        Prompter.load(run, device="cpu")
    assert len(Prompter.load(run, device="cpu", writer=lm).texts("good", 2)) == 2
    whole = write_prompter(tmp_path / "whole", lm, teacher_folder, lora_rank=0, writes="text")
    trained_again(lm)
    assert len(Prompter.load(whole, device="cpu").texts("good", 2)) == 2  # nothing of it is read
