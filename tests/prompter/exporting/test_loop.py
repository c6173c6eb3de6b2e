"""Exports: what a dataset holds, that a kill leaves no trace, and the marks."""

import dataclasses
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
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
from distill.kinds.classes import SINGLE
from distill.teachers.found import made_here
from eval.corpora.duplicates import DuplicateIndex
from prompter.cli import main
from prompter.exporting import loop as export_module
from prompter.exporting.config import ExportConfig
from prompter.exporting.filters import fault
from prompter.exporting.folder import ExportFolder, ExportProgress
from prompter.exporting.loop import Export
from prompter.exporting.planning import next_targets
from prompter.exporting.shards import read_rows
from prompter.runtime.console import Console
from prompter.saved.prompter import PromptedTexts, Prompter
from tests.prompter.exporting.exports import FLAGS, contents, run


def test_a_dataset_opens_and_says_what_is_in_it(whole: Path) -> None:
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


def test_a_dataset_is_ones_own_where_the_user_named_the_teacher(
    run_folder: Path, teacher_folder: Path, tmp_path: Path
) -> None:
    own = [flag for flag in FLAGS if flag != "--trust_teacher"]
    named, trusted = [*own, "--teacher", str(teacher_folder)], [*FLAGS, "--seed", "5"]
    for name, said, mine in (("own", named, True), ("trusted", trusted, False)):
        recipe = tmp_path / name / "recipe.yaml"
        export = ["export", str(run_folder), "--to", str(tmp_path / name), *said]
        assert main(export) == 0 and made_here(recipe) == mine
        assert main([*export, "--jsonl"]) == 0 and (tmp_path / name / "data.jsonl").is_file()
        assert made_here(recipe) == mine  # the recipe lists one more file


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


def test_jsonl_and_csv_are_added_to_a_finished_dataset(whole: Path, run_folder: Path, tmp_path: Path) -> None:
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

    kind = SINGLE
    path = "scripted"
    labels = Scripted.labels
    queries = invalid = 0
    weights = None

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


@pytest.mark.parametrize(("rows", "expected"), [(100, [64] * 5), (2, [3, 3, 8, 32, 64])])
def test_an_export_that_keeps_nothing_more_gives_up_after_ever_larger_batches(
    rows: int, expected: list[int], tmp_path: Path
) -> None:
    config = ExportConfig(run="x", to="y", rows=rows, batch_size=64, max_tries=4, min_confidence=0.0)
    folder = ExportFolder(tmp_path / "set")
    progress = folder.open_state({}, 3, print)
    prompter, sizes = Scripted(["the only text there is", "the only text there is!"]), []
    write = prompter.write
    prompter.write = lambda targets, *rest: sizes.append(len(targets)) or write(targets, *rest)  # type: ignore[method-assign]
    with Console(quiet=True) as show:
        Export(config, prompter, Scorer(), folder, progress, show).run()  # type: ignore[arg-type]
    folder.close()
    assert (progress.kept, progress.idle, sizes) == (1, 4, expected)


def test_one_first_text_may_stand_in_several_pairs(tmp_path: Path) -> None:
    config = ExportConfig(run="x", to="y", rows=4, batch_size=8, max_tries=2, min_confidence=0.0, min_words=1)
    folder = ExportFolder(tmp_path / "set")
    progress = folder.open_state({}, 3, print)
    prompter, write = Scripted(["the first text of all"]), Scripted.write
    seconds = [f"{word} word of the second" for word in ("one", "another", "third", "fourth", "last", "next", "no", "any")]
    prompter.write = (
        lambda targets, *rest: dataclasses.replace(  # type: ignore[method-assign]
            write(prompter, targets, *rest), text_pairs=seconds[: len(targets)]
        )
    )
    with Console(quiet=True) as show:
        Export(config, prompter, None, folder, progress, show).run()  # type: ignore[arg-type]
    folder.close()
    assert progress.kept == 4 and progress.rows <= 6


def test_a_full_class_is_not_asked_for_again(tmp_path: Path) -> None:
    config = ExportConfig(run="x", to="y", rows=8, batch_size=4, balance=True)
    folder = ExportFolder(tmp_path / "set")
    progress = folder.open_state({}, 3, print)
    with Console(quiet=True) as show:
        loop = Export(config, Scripted(["x"]), Scorer(), folder, progress, show)  # type: ignore[arg-type]
    assert loop.quotas == [3, 3, 2] and next_targets(config, progress).tolist() == [0, 1, 2, 0]
    progress.kept_of, progress.kept, progress.rows = [3, 1, 2], 6, 6
    assert next_targets(config, progress).tolist() == [1, 1, 1]  # two rows are missing, and nearly every row was kept so far
    progress.idle = 3
    assert next_targets(config, progress).tolist() == [1, 1, 1, 1]
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
    progress = folder.open_state({}, 3, print)
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


def test_a_batch_size_that_was_found_is_in_the_recipe_and_used_again(run_folder: Path, tmp_path: Path) -> None:
    assert run(run_folder, tmp_path / "found", "--writer_batch_size", "0") == 0
    assert run(run_folder, tmp_path / "given") == 0
    assert yaml.safe_load((tmp_path / "found" / "recipe.yaml").read_text())["found"]["writer_batch_size"] == 256
    found, given = contents(tmp_path / "found" / "data"), contents(tmp_path / "given" / "data")
    assert found == given
    assert run(run_folder, tmp_path / "found", "--writer_batch_size", "0") == 0  # finished


def test_an_interrupted_export_keeps_the_batch_size_that_it_found(tmp_path: Path) -> None:
    folder = ExportFolder(tmp_path / "set")
    folder.commit(folder.open_state({}, 2, print))
    assert folder.batch_size is None
    folder.batch_size = 321
    folder.commit(ExportProgress())
    folder.close()
    again = ExportFolder(tmp_path / "set")
    again.open_state({}, 2, print)
    assert again.batch_size == 321
    again.close()
