"""An export whose batches come from workers: the same bytes and the same questions as of one process. Without Ray."""

import dataclasses
import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distill.common import precision
from distill.common.errors import InputError
from distill.kinds.classes import PAIR, SINGLE, Classes
from distill.teachers.prediction_cache import CachedTeacher
from prompter.cluster import answers as answers_module
from prompter.cluster.answers import AnswersAhead
from prompter.cluster.config import EngineSettings, asked_here, workers_settings
from prompter.cluster.exports import ExportWork, WrittenAhead
from prompter.cluster.pool import Job
from prompter.exporting import folder as export_folder
from prompter.exporting.config import ExportConfig
from prompter.exporting.folder import ExportFolder, ExportProgress
from prompter.exporting.loop import Export
from prompter.exporting.planning import certain_targets, next_targets, unfinished
from prompter.exporting.shards import read_rows
from prompter.generation.config import WriterConfig
from prompter.labelling.ahead import LabelWork, TextsAhead
from prompter.labelling.config import LabelConfig
from prompter.labelling.loop import Labelling
from prompter.runtime.console import Console
from prompter.saved.prompter import PromptedTexts
from tests.prompter.exporting.exports import contents

LABELS = ["a", "b", "c"]
WORDS = "the room was very good bad and not for us all day".split()


class Author:
    """Writes texts that repeat now and then, within a batch and between batches."""

    labels, manifest = LABELS, {"name": "x", "labels": LABELS}

    def write(self, targets: Tensor, seed: int, counter: int) -> PromptedTexts:
        draw = random.Random(f"{seed} {counter} {targets.tolist()}")
        texts = [" ".join(draw.choices(WORDS, k=draw.choice([1, 4]))) + f" {LABELS[aim]}" for aim in targets.tolist()]
        return PromptedTexts(texts, texts, targets, torch.arange(len(texts)) / 7)


class Scorer:
    """Answers whose bits depend on all texts of a call, as those of a model do; some are unusable."""

    labels, path = LABELS, "scorer"

    def __init__(self, kind: Classes = SINGLE) -> None:
        self.kind = kind
        self.queries = self.invalid = 0
        self.calls: list[list[str]] = []

    def __call__(self, texts: Any, text_pairs: Any = None) -> Tensor:
        self.queries += len(texts)
        texts = texts if text_pairs is None else [f"{one}/{two}" for one, two in zip(texts, text_pairs, strict=True)]
        self.calls.append(list(texts))
        weight = len(" ".join(texts)) * 1e-6
        scores = torch.tensor([[sum(map(ord, text)) % (11 + k) + weight for k in range(3)] for text in texts])
        scores[[sum(map(ord, text)) % 13 == 0 for text in texts]] = float("nan")
        return scores.log_softmax(1)


class Workers:
    """Does jobs in any order, whatever their ranks, as many machines do."""

    def __init__(self, workers: int, seed: int, **kinds: Callable[..., Any]) -> None:
        self.workers, self.kinds, self.draw = workers, kinds, random.Random(seed)
        self.jobs: list[Job] = []
        self.facts = {"kind": SINGLE, "labels": LABELS, "path": "scorer", "identity": "scorer", "weights": None}
        self.done: list[Job] = []

    def submit(self, kind: str, *arguments: Any, rank: int = 0) -> Job:
        self.jobs.append(Job(rank, len(self.jobs), kind, arguments))
        return self.jobs[-1]

    def advance(self) -> None:
        job = self.jobs.pop(self.draw.randrange(len(self.jobs)))
        job.value, job.done = self.kinds[job.kind](*job.arguments), True
        self.done.append(job)

    def wait(self, job: Job) -> Any:
        while not job.done:
            self.advance()
        return job.value


def written(targets: list[int], seed: int, counter: int) -> tuple:
    batch = Author().write(torch.tensor(targets), seed, counter)
    return batch.texts, batch.topics, batch.targets.tolist(), batch.lm_logprob.numpy(), batch.text_pairs


def exported(config: ExportConfig, to: Path, prompter: Any, teacher: CachedTeacher, steps: int | None = None) -> None:
    folder = ExportFolder(to)
    progress = folder.open_state({}, 3, print)
    with Console(quiet=True) as show:
        loop = Export(config, prompter, teacher, folder, progress, show)
        if steps is None:
            loop.run()
        for _ in range(steps or 0):
            loop.step()
    folder.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk: tests kill the process, not the machine."""
    connect = export_folder._connect

    def connect_quickly(file: Path) -> sqlite3.Connection:
        connection = connect(file)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    monkeypatch.setattr(export_folder, "_connect", connect_quickly)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Each name is a cache of its own."""

    def use(name: str) -> Path:
        monkeypatch.setattr(answers_module, "predictions_file", lambda: tmp_path / name)
        return tmp_path / name

    return use


@pytest.mark.parametrize(("balance", "cache", "workers"), [(True, True, 3), (False, False, 1)])
def test_the_bytes_and_the_questions_are_those_of_one_process(
    tmp_path: Path, answered: Callable[[str], Path], balance: bool, cache: bool, workers: int
) -> None:
    config = ExportConfig(
        run="x", to="y", rows=90, batch_size=7, shard_rows=25, balance=balance, min_confidence=0.3, max_tries=40
    )
    alone, apart = Scorer(), Scorer()
    exported(config, tmp_path / "one", Author(), CachedTeacher(alone, tmp_path / "1" if cache else None, print, name="scorer"))

    answered("2")
    pool = Workers(workers, 5, write=written, answer=lambda *texts: apart(*texts).numpy())
    answers = AnswersAhead(pool, cache, print)  # type: ignore[arg-type]
    exported(config, tmp_path / "many", WrittenAhead(pool, config, Author.manifest, answers), answers.teacher, steps=5)
    assert workers == 1 or any(job.kind == "write" and job.arguments[2] > 5 for job in pool.done)  # it worked ahead
    # The driver was killed here. The next one goes on with other workers.
    pool = Workers(2, 6, write=written, answer=lambda *texts: apart(*texts).numpy())
    answers = AnswersAhead(pool, cache, print)  # type: ignore[arg-type]
    exported(config, tmp_path / "many", WrittenAhead(pool, config, Author.manifest, answers), answers.teacher)
    assert contents(tmp_path / "many" / "data") == contents(tmp_path / "one" / "data")
    rows = list(read_rows(tmp_path / "one"))
    assert len(rows) > 90 and {row["drop_reason"] for row in rows} >= {"no answer", "too short"}
    if cache:  # no text beside those that one process asks about
        assert {text for call in apart.calls for text in call} == {text for call in alone.calls for text in call}


def test_no_text_of_a_full_class_is_asked_about(tmp_path: Path, answered: Callable[[str], Path]) -> None:
    answered("1")
    config = ExportConfig(run="x", to="y", rows=60, batch_size=5, balance=True, max_tries=40, min_words=1, near_duplicates=0.0)
    one, many = Scorer(), Scorer()
    exported(config, tmp_path / "one", Author(), CachedTeacher(one, tmp_path / "2", print, name="scorer"))
    pool = Workers(4, 1, write=written, answer=lambda *texts: many(*texts).numpy())
    answers = AnswersAhead(pool, True, print)  # type: ignore[arg-type]
    exported(config, tmp_path / "many", WrittenAhead(pool, config, Author.manifest, answers), answers.teacher)
    assert contents(tmp_path / "many" / "data") == contents(tmp_path / "one" / "data")
    writes = [job.arguments[2] for job in pool.done if job.kind == "write"]
    assert len(writes) > len(set(writes))  # texts were written in vain, for a class that was full
    assert all(call in many.calls for call in one.calls)
    assert {text for call in many.calls for text in call} == {text for call in one.calls for text in call}  # and none besides


@pytest.mark.parametrize("kind", [SINGLE, PAIR])
def test_labelling_asks_the_same_questions(tmp_path: Path, answered: Callable[[str], Path], kind: Classes) -> None:
    answered("1")
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=2)) for _ in range(200)]
    config = LabelConfig(teacher="scorer", texts="x", to="y", batch_size=9, shard_rows=64)
    pairs = texts[::-1] if kind == PAIR else None
    one, many = Scorer(kind), Scorer(kind)
    pool = Workers(3, 2, answer=lambda *texts: many(*texts).numpy())
    pool.facts["kind"] = kind
    answers = AnswersAhead(pool, True, print)  # type: ignore[arg-type]
    plain = CachedTeacher(one, tmp_path / "2", print, name="scorer")
    for to, teacher, ahead in (
        ("one", plain, None),
        ("many", answers.teacher, TextsAhead(pool, config, texts, answers, pairs)),  # type: ignore[arg-type]
    ):
        folder = ExportFolder(tmp_path / to)
        progress = folder.open_state({}, 3, print)
        with Console(quiet=True) as show:
            Labelling(config, texts, teacher, folder, progress, show, ahead, pairs).run()
        folder.close()
    assert contents(tmp_path / "many" / "data") == contents(tmp_path / "one" / "data")
    assert all(call in many.calls for call in one.calls)


def test_certain_batches_are_the_batches_that_come() -> None:
    for seed in range(60):
        draw = random.Random(seed)
        config = ExportConfig(
            run="x", to="y", rows=draw.randint(5, 300), batch_size=draw.randint(1, 20), max_tries=draw.randint(1, 9),
            balance=seed % 2 == 0,
        )  # fmt: skip
        progress, share = ExportProgress(kept_of=[0, 0, 0], answers=[0, 0, 0]), draw.random() * draw.choice([0, 1, 1])
        predicted: dict[int, list[int]] = {}
        while unfinished(config, progress):
            targets = next_targets(config, progress)
            for number, (later, certain) in zip(range(6), certain_targets(config, progress), strict=False):
                if certain:
                    assert predicted.setdefault(progress.batches + number, later.tolist()) == later.tolist()
            assert predicted[progress.batches] == targets.tolist()  # the batch that is written now is always certain
            before = progress.kept
            for aim in targets.tolist():
                if progress.kept == config.rows:
                    break
                progress.rows += 1
                if draw.random() < share:
                    progress.kept += 1
                    progress.kept_of[aim] += 1
            progress.batches += 1
            progress.idle = 0 if progress.kept > before else progress.idle + 1
        assert max(predicted) == progress.batches - 1  # no batch was certain that did not come


def test_what_may_cost_money_is_asked_here() -> None:
    assert [asked_here(name) for name in ("openai+http://h/v1#m", "m:f", "toy:sentiment", "none", print)] == [
        True, True, False, False, True,
    ]  # fmt: skip
    with pytest.raises(InputError, match="which this process asks alone"):
        LabelConfig(texts="x", to="y", teacher="https://host/predict", engine="ray")


def test_settings_of_ray_come_with_it() -> None:
    with pytest.raises(InputError, match="ray_address is for workers of Ray: give --engine ray too"):
        EngineSettings(ray_address="host:6379").check_engine()
    with pytest.raises(InputError, match="ray_workers"):
        ExportConfig(run="x", to="y", rows=1, ray_workers=2)


def test_workers_take_the_settings_of_an_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "token")
    upload: dict[str, Any] = {"push_to_hub": "someone/set", "public": True, "engine": "ray"}
    for given in (
        ExportConfig(run="x", to="y", rows=1, **upload),
        LabelConfig(texts="x", to="y", teacher="scorer", teacher_price=1.0, budget_money=0.5, **upload),
    ):
        settings = workers_settings(given) | ({"budget_money": 0.0} if isinstance(given, LabelConfig) else {})
        assert type(given)(**settings).push_to_hub is None  # they take them, and upload nothing


def test_models_of_workers_compute_as_the_user_said(
    run_folder: Path, teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_chosen", "float32")  # put back at the end
    said = {"teacher": str(teacher_folder), "to": str(tmp_path / "to"), "device": "cpu", "attn_implementation": "eager"}
    export = workers_settings(ExportConfig(run=str(run_folder), rows=5, engine="ray", **said))
    label = workers_settings(LabelConfig(texts="mine.txt", engine="ray", **said))
    writer = dataclasses.asdict(WriterConfig(writer_max_new_tokens=8, writer_min_new_tokens=4))
    both = ExportWork(export, writer, "float32"), LabelWork(label, "float32")
    assert both[0]._prompter.writer.model.config._attn_implementation == "eager"  # type: ignore[union-attr]
    for work in both:
        assert work._teacher is not None and work._teacher.white_box is not None
        assert work._teacher.white_box.model.config._attn_implementation == "eager"
    assert precision._attention == "auto" and precision.dtype_name() == "float32"
