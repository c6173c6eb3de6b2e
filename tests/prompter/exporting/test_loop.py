"""Exports: what a data set holds, that a kill leaves no trace in it, and what is refused."""

import dataclasses
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.common.errors import InputError
from eval.corpora.duplicates import DuplicateIndex
from prompter.cli import main, parsed
from prompter.exporting import folder as export_folder
from prompter.exporting import loop as export_module
from prompter.exporting import shards
from prompter.exporting.config import ExportConfig, export_settings
from prompter.exporting.filters import fault
from prompter.exporting.folder import ExportFolder
from prompter.exporting.loop import Export, export
from prompter.exporting.shards import read_rows
from prompter.runtime.console import Console
from prompter.saved.prompter import PromptedTexts, Prompter

FLAGS = ["--rows", "20", "--batch_size", "16", "--shard_rows", "10", "--device", "cpu", "--quiet"]


def parse_export(arguments: list[str]) -> tuple:
    return export_settings(parsed(["export", *arguments])[1])


def run(run_folder: Path, to: Path, *flags: str) -> int:
    return export(*parse_export([str(run_folder), "--to", str(to), *FLAGS, *flags]))


def contents(folder: Path) -> dict[str, str]:
    """Every file with its SHA-256."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `datasets` loads stays in the test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Load equal models once, and do not wait for the disk: tests kill the process, not the machine."""
    loaded: dict[str, tuple] = {}
    load, connect = export_module.load_prompter_and_teacher, export_folder._connect

    def load_once(config, writer, source, manifest, show):
        key = repr((config.run, config.teacher, config.teacher_labels, writer))
        loaded[key] = loaded.get(key) or load(dataclasses.replace(config, teacher_cache=False), writer, source, manifest, show)
        return loaded[key]

    def connect_quickly(file):
        connection = connect(file)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_module, "load_prompter_and_teacher", load_once)
        patch.setattr(export_folder, "_connect", connect_quickly)
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module")
def whole(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export that nothing interrupted."""
    to = tmp_path_factory.mktemp("data") / "set"
    assert run(run_folder, to, "--balance", "--min_confidence", "0.6") == 0
    return to


def test_a_data_set_opens_and_says_what_is_in_it(whole: Path) -> None:
    loaded = datasets.load_dataset(str(whole), split="train")
    assert loaded.features["label"].names == ["good", "bad"] == loaded.features["wanted_label"].names
    frame = pd.read_parquet(whole / "data")
    assert len(frame) == len(loaded)
    assert frame["keep"].sum() == 20
    assert frame[frame["keep"]]["label"].value_counts().to_dict() == {0: 10, 1: 10}
    assert (frame[frame["keep"]]["confidence"] >= 0.6).all()
    assert (frame["drop_reason"].isna() == frame["keep"]).all()
    assert {len(row) for row in frame["teacher_probs"]} == {2}
    assert (frame["teacher_probs"].map(np.argmax) == frame["label"]).all()
    assert np.allclose(frame["teacher_probs"].map(max), frame["confidence"])
    assert (frame["lm_logprob"] < 0).all() and set(frame["prompter"]) == {"tiny"} and set(frame["seed"]) == {0}
    assert all(text.startswith(topic) for text, topic in zip(frame["text"], frame["topic"], strict=True))
    assert sorted(file.name for file in whole.iterdir()) == ["README.md", "data", "recipe.yaml"]
    sizes = [len(pd.read_parquet(file)) for file in sorted((whole / "data").iterdir())]
    assert sizes[:-1] == [10] * (len(sizes) - 1) and 0 < sizes[-1] <= 10


def test_card_and_recipe(whole: Path, run_folder: Path) -> None:
    recipe = yaml.safe_load((whole / "recipe.yaml").read_text())
    assert recipe["result"]["kept"] == 20 and recipe["result"]["complete"]
    assert recipe["result"]["rows"] == 20 + sum(recipe["result"]["marked"].values())
    assert recipe["export"]["min_confidence"] == 0.6 and recipe["export"]["writer_max_new_tokens"] == 8
    card = (whole / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert "synthetic" in head["tags"] and head["size_categories"] == ["n<1K"]
    assert f"low confidence | {recipe['result']['marked']['low confidence']}" in card
    assert str(whole) not in card and str(run_folder) not in card


def test_the_same_command_again_does_nothing_and_another_is_refused(
    whole: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(whole)
    monkeypatch.setattr(export_module, "load_prompter_and_teacher", None)  # nothing is loaded
    assert run(run_folder, whole, "--balance", "--min_confidence", "0.6") == 0
    with pytest.raises(
        InputError, match=r"other settings \(balance: True there, False here; min_confidence: 0.6 there, 0.5 here"
    ):
        run(run_folder, whole, "--min_confidence", "0.5")
    assert contents(whole) == before


def test_a_setting_that_an_old_export_did_not_store_counts_as_its_default(
    whole: Path, run_folder: Path, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(whole, tmp_path / "old"))
    recipe = yaml.safe_load((old / "recipe.yaml").read_text())
    del recipe["export"]["near_duplicates"]
    (old / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert run(run_folder, old, "--balance", "--min_confidence", "0.6") == 0
    with pytest.raises(InputError, match=r"other settings \(near_duplicates: 0.8 there, 0.5 here\)"):
        run(run_folder, old, "--balance", "--min_confidence", "0.6", "--near_duplicates", "0.5")


def test_data_sets_in_folders_of_one_name_are_not_mixed_up(run_folder: Path, tmp_path: Path) -> None:
    texts = []
    for seed in ("0", "1"):
        assert run(run_folder, tmp_path / seed / "set", "--seed", seed) == 0
        texts.append(datasets.load_dataset(str(tmp_path / seed / "set"), split="train")["text"][:])
        assert texts[-1] == [row["text"] for row in read_rows(tmp_path / seed / "set")]
    assert texts[0] != texts[1]


class Killed(BaseException):
    """Nothing in the code catches this."""


def deadly(monkeypatch: pytest.MonkeyPatch, lives: int) -> list[str]:
    """Let calls that matter raise `Killed` from the `lives`-th moment on; returns the moments as they come."""
    moments: list[str] = []

    def wrap(owner: object, name: str) -> None:
        original = getattr(owner, name)

        def moment(when: str) -> None:
            moments.append(f"{when} {name}")
            if len(moments) > lives:
                raise Killed

        def wrapped(*args, **kwargs):
            moment("before")
            result = original(*args, **kwargs)
            moment("after")
            return result

        monkeypatch.setattr(owner, name, wrapped)

    for owner, name in (
        (Prompter, "write"),
        (Export, "step"),
        (DuplicateIndex, "add"),
        (ExportFolder, "commit"),
        (ExportFolder, "forget"),
        (ExportFolder, "finish"),
        (export_module, "write_shard"),
        (export_module, "write_dataset_card"),
        (os, "replace"),
    ):
        wrap(owner, name)
    return moments


@pytest.fixture(scope="module")
def moments(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many moments there are in which an export could be killed."""
    with pytest.MonkeyPatch.context() as counting:
        found = deadly(counting, 10_000)
        run(run_folder, tmp_path_factory.mktemp("counted") / "set", "--balance", "--min_confidence", "0.6")
    return len(found)


@pytest.mark.parametrize("point", range(20))
def test_a_kill_at_any_point_leaves_no_trace(
    point: int, moments: int, whole: Path, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags, to = ("--balance", "--min_confidence", "0.6"), tmp_path / "set"
    # Half of the points anywhere, half of them among the last moments, where shards, card and recipe are written.
    lives = moments - 1 - point if point < 10 else random.Random(point).randrange(moments - 10)
    with monkeypatch.context() as killing, pytest.raises(Killed):
        deadly(killing, lives)
        run(run_folder, to, *flags)
    assert run(run_folder, to, *flags) == 0
    assert contents(to) == contents(whole)


@pytest.mark.slow
def test_kill_9(whole: Path, run_folder: Path, tmp_path: Path) -> None:
    to = tmp_path / "set"
    flags = [str(run_folder), "--to", str(to), *FLAGS, "--balance", "--min_confidence", "0.6"]
    command = [sys.executable, "-m", "prompter.cli", "export", *flags]
    for delay in (0.0, 0.05, 0.2):
        process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
        while process.poll() is None and not (to / ".export" / "state.sqlite").exists():
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert contents(to) == contents(whole)


def test_without_a_teacher(run_folder: Path, tmp_path: Path) -> None:
    to = tmp_path / "set"
    assert run(run_folder, to, "--teacher", "none", "--jsonl", "--csv") == 0
    loaded = datasets.load_dataset(str(to), split="train")
    assert not {"label", "teacher_probs", "confidence"} & set(loaded.column_names)
    assert "No teacher was asked" in (to / "README.md").read_text()
    rows = [json.loads(line) for line in (to / "data.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == loaded["text"][:]
    assert {row["wanted_label"] for row in rows} == {"good", "bad"}
    assert pd.read_csv(to / "data.csv")["text"].tolist() == loaded["text"][:]


def test_jsonl_and_csv_are_added_to_a_finished_data_set(whole: Path, run_folder: Path, tmp_path: Path) -> None:
    to = tmp_path / "set"
    flags = ("--balance", "--min_confidence", "0.6")
    assert run(run_folder, to, *flags) == 0
    assert run(run_folder, to, *flags, "--jsonl") == 0
    assert set(contents(to)) - set(contents(whole)) == {"data.jsonl"}


def test_a_wish_that_cannot_be_met_ends_with_a_report(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "set"
    assert main(["export", str(run_folder), "--to", str(to), *FLAGS, "--min_confidence", "1", "--max_tries", "3"]) == 1
    said = capsys.readouterr().err
    assert "only 0 of 20 rows kept" in said and "low confidence" in said and "lower --min_confidence" in said
    assert len(datasets.load_dataset(str(to), split="train")) > 0
    assert main(["export", str(run_folder), "--to", str(to), *FLAGS, "--min_confidence", "1", "--max_tries", "3"]) == 1


def always_good(texts: list[str]) -> np.ndarray:
    predictions = np.tile([0.9, 0.1], (len(texts), 1))
    predictions[[i for i, text in enumerate(texts) if len(text) % 3 == 0]] = np.nan
    return predictions


def test_a_class_that_never_comes_and_answers_that_are_unusable(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "set"
    teacher = ("--teacher", "tests.prompter.exporting.test_loop:always_good", "--teacher_labels", "good", "bad")
    assert run(run_folder, to, *teacher, "--balance", "--max_tries", "4") == 1
    said = capsys.readouterr().err
    assert "class 'bad' has 0 of 10: the teacher answered it for 0 rows" in said and "leave --balance out" in said
    frame = pd.read_parquet(to / "data")
    unusable = frame[frame["label"] == -1]
    assert set(unusable["drop_reason"]) == {"no answer"} and unusable["teacher_probs"].isna().all()
    assert frame["keep"].sum() == 10 and "class full" in set(frame["drop_reason"])
    with pytest.raises(InputError, match=r"answers \['bad', 'good'\], but the prompter was trained for \['good', 'bad'\]"):
        run(run_folder, tmp_path / "other", *teacher[:3], "bad", "good")
    assert not (tmp_path / "other").exists()


def test_folders_that_are_refused(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="holds other files"):
        run(run_folder, tmp_path)
    with pytest.raises(InputError, match="is a file"):
        run(run_folder, tmp_path / "notes.txt")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["notes.txt"]
    with pytest.raises(InputError, match="cannot be written"):
        run(run_folder, Path("/proc/nothing"))
    busy = ExportFolder(tmp_path / "busy")
    with pytest.raises(InputError, match="in use by another process"):
        run(run_folder, tmp_path / "busy")
    busy.close()
    assert not (tmp_path / "busy").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--rows", "0"], "rows is 0, expected a whole number >= 1"),
        (["--min_confidence", "1.5"], "min_confidence is 1.5"),
        (["--near_duplicates", "1"], "near_duplicates is 1.0"),
        (["--max_words", "2"], "max_words is 2, expected at least min_words = 3"),
        (["--writer", "vlm"], "writer is 'vlm'.*Did you mean 'vllm'"),
        (["--teacher", "none", "--balance"], "balance needs a teacher's predictions"),
        (["--public"], "public says how to upload"),
        (["--shard_row", "3"], "unknown argument '--shard_row'. Did you mean 'shard_rows'"),
        (["--writer_top_p", "0"], "writer_top_p is 0"),
    ],
)
def test_wrong_settings(run_folder: Path, tmp_path: Path, flags: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        run(run_folder, tmp_path / "set", *flags)
    assert not (tmp_path / "set").exists()


def test_settings_come_from_the_prompter_a_file_and_flags(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "export.yaml").write_text(f"run: {run_folder}\nrows: 7\nwriter_top_p: 0.5\n")
    config, writer = parse_export(["--config", str(tmp_path / "export.yaml"), "--to", "x", "--rows", "8"])
    assert (config.rows, writer.writer_top_p, writer.writer_max_new_tokens) == (8, 0.5, 8)
    assert config.teacher == Prompter.load(run_folder, device="cpu").manifest["teacher"]
    with pytest.raises(InputError, match="run is missing"):
        parse_export(["--rows", "8", "--to", "x"])
    with pytest.raises(InputError, match="does not exist"):
        parse_export(["nowhere", "--rows", "8", "--to", "x"])


def test_a_full_disk_is_named(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards.pq, "ParquetWriter", full)
    with pytest.raises(InputError, match="disk full, or not permitted.*run the same command again"):
        run(run_folder, tmp_path / "set")
    monkeypatch.undo()
    assert run(run_folder, tmp_path / "set") == 0


# The marks, whatever texts come


class Scripted:
    """A prompter that writes given texts, again and again."""

    labels = ["good", "bad", "odd"]
    manifest = {"name": "scripted"}

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def write(self, targets: torch.Tensor, seed: int, counter: int) -> PromptedTexts:
        rng = random.Random(counter)
        texts = rng.choices(self.texts, k=len(targets))
        return PromptedTexts(texts, [text[:3] for text in texts], targets, torch.full((len(texts),), -1.0))


class Scorer:
    """A teacher that answers by the hash of a text."""

    labels = Scripted.labels
    queries = invalid = 0

    def restore(self, state: dict[str, int]) -> None:
        self.queries, self.invalid = state["teacher_queries"], state["teacher_invalid"]

    def __call__(self, texts, text_pairs=None) -> torch.Tensor:
        self.queries += len(texts)
        rows = []
        for text in texts:
            digest = hashlib.sha256(text.encode()).digest()
            scores = torch.tensor([byte / 40 for byte in digest[:3]])
            rows.append(torch.full((3,), float("nan")) if digest[3] < 20 else scores)
        return torch.stack(rows).log_softmax(1)


def test_a_full_class_is_not_asked_for_again(tmp_path: Path) -> None:
    config = ExportConfig(run="x", to="y", rows=8, batch_size=4, balance=True)
    folder = ExportFolder(tmp_path / "set")
    progress = folder.open_state({}, 3)
    with Console(quiet=True) as show:
        loop = Export(config, Scripted(["x"]), Scorer(), folder, progress, show)  # type: ignore[arg-type]
    assert loop.quotas == [3, 3, 2] and loop.targets().tolist() == [0, 1, 2, 0]
    progress.kept_of, progress.kept, progress.rows = [3, 1, 2], 6, 6
    assert loop.targets().tolist() == [1, 1, 1]  # two rows are missing, and nearly every row was kept so far
    progress.idle = 3
    assert loop.targets().tolist() == [1, 1, 1, 1]
    folder.close()


sentences = st.lists(st.sampled_from("the room was so very good bad and not for us all day".split()), min_size=1, max_size=9)


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(sentences.map(" ".join), min_size=1, max_size=60),
    rows=st.integers(1, 40),
    balance=st.booleans(),
    floor=st.sampled_from([0.0, 0.5, 0.9]),
    threshold=st.sampled_from([0.0, 0.6]),
)
def test_marks_hold_what_they_promise(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], rows: int, balance: bool, floor: float, threshold: float
) -> None:
    to = tmp_path_factory.mktemp("marks")
    config = ExportConfig(
        run="x", to="y", rows=rows, batch_size=16, shard_rows=25, balance=balance, min_confidence=floor,
        near_duplicates=threshold, max_tries=5,
    )  # fmt: skip
    folder = ExportFolder(to / "set")
    progress = folder.open_state({}, 3)
    teacher = Scorer()
    with Console(quiet=True) as show:
        loop = Export(config, Scripted(texts), teacher, folder, progress, show)  # type: ignore[arg-type]
        loop.run()
    found = list(read_rows(folder.path))
    folder.close()
    kept = [row for row in found if row["keep"]]
    assert len(kept) == progress.kept <= rows
    assert len(found) == progress.rows <= max(5 * max(rows, 16) + 16, 0)
    assert len(kept) == rows or progress.idle >= 5 or progress.rows >= 5 * max(rows, 16)
    assert len(set(row["text"] for row in kept)) == len(kept)
    for number, row in enumerate(found):
        assert row["keep"] == (row["drop_reason"] is None)
        twin = row["near_duplicate_of"]
        assert (twin is not None) == (row["drop_reason"] in ("duplicate", "near duplicate"))
        assert twin is None or (twin < number and found[twin]["keep"])
        assert (row["label"] == -1) == (row["teacher_probs"] is None) == (row["confidence"] is None)
        if row["keep"]:
            assert fault(row["text"], 3) is None and row["confidence"] >= floor
    if balance:
        for index, quota in enumerate(loop.quotas):
            assert sum(row["label"] == index for row in kept) == progress.kept_of[index] <= quota
    assert sum(progress.marked.values()) + progress.kept == progress.rows
    assert teacher.queries >= len(found)
