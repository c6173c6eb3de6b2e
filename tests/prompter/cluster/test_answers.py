"""Labels that workers give, with what they say of a real teacher. Without Ray."""

import contextlib
import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distill.common.errors import InputError
from prompter.exporting import opening
from prompter.labelling import ahead
from prompter.labelling.config import LabelConfig
from prompter.labelling.loop import Labelling, label
from tests.prompter.cluster.test_exports import Workers
from tests.prompter.exporting.exports import contents
from tests.prompter.tiny import tiny_teacher

ENGINES = ("process", "ray")


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that load and answer here."""

    @contextlib.contextmanager
    def opened(
        config: Any, device: str, make: tuple[str, str], arguments: tuple[Any, ...], say: Any, libraries: Any = ()
    ) -> Iterator[Workers]:
        work = getattr(importlib.import_module(make[0]), make[1])(*arguments)
        pool = Workers(2, 0, **{name: getattr(work, name) for name in dir(work) if not name.startswith("_")})
        pool.facts = work.facts
        yield pool

    monkeypatch.setattr(ahead, "opened_pool", opened)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(f"w{i % 17} w{i % 5} {'good' if i % 3 else 'bad'} w{i % 23} w1" for i in range(60)))
    return file


def config(texts: Path, teacher: Path, to: str, engine: str, **settings: Any) -> LabelConfig:
    return LabelConfig(
        texts=str(texts), teacher=str(teacher), to=str(texts.parent / to), batch_size=8, shard_rows=20, device="cpu",
        engine=engine, **settings,
    )  # fmt: skip


def stop_at(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Labelling.step

    def until(self: Labelling) -> None:
        if self.progress.rows >= rows:
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(Labelling, "step", until)


@pytest.mark.parametrize("first", ENGINES)
def test_either_engine_goes_on_after_the_other(
    texts: Path, teacher_folder: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    label(config(texts, teacher_folder, "one", "process", teacher_cache=False))
    with monkeypatch.context() as stopped:
        stop_at(24, stopped)
        with pytest.raises(KeyboardInterrupt):
            label(config(texts, teacher_folder, "both", first, teacher_cache=False))
    other = ENGINES[1 - ENGINES.index(first)]
    label(config(texts, teacher_folder, "both", other, teacher_cache=False))
    assert contents(texts.parent / "both") == contents(texts.parent / "one")


@pytest.mark.parametrize(("then", "seen"), [*((engine, True) for engine in ENGINES), ("ray", False)])
def test_other_weights_are_not_mixed(
    texts: Path, teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str, seen: bool
) -> None:
    """Also where the driver has no such folder, and only the workers see the weights."""
    if not seen:
        monkeypatch.setattr(opening, "sample_of_teacher", lambda name: {})
    teacher = shutil.copytree(teacher_folder, tmp_path / "teacher")
    with monkeypatch.context() as stopped:
        stop_at(24, stopped)
        with pytest.raises(KeyboardInterrupt):
            label(config(texts, teacher, "set", "ray"))
    tiny_teacher(7).save_pretrained(teacher)
    with pytest.raises(InputError, match="has other weights than when this was begun"):
        label(config(texts, teacher, "set", then))


@pytest.mark.parametrize("engine", ENGINES)
def test_texts_that_the_teacher_cuts_are_told_of(
    texts: Path, teacher_folder: Path, capsys: pytest.CaptureFixture[str], engine: str
) -> None:
    label(config(texts, teacher_folder, "set", engine, teacher_max_length=4))
    assert "100.0% of the texts are longer than what the teacher reads" in " ".join(capsys.readouterr().out.split())
