"""What is made of a task: files and a teacher that are found by name, and made once."""

import dataclasses
import json
from pathlib import Path

import pytest

from distill.common.errors import InputError
from eval.toy import located
from eval.toy.tasks import made
from eval.toy.tasks.teachers import KindTeacherSettings
from eval.toy.tasks.world import private_rows
from eval.toy.writer import WriterSettings

SMALL = KindTeacherSettings(layers=1, hidden=24, heads=2, epochs=1)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows, and none left out."""
    monkeypatch.setattr(made, "public_texts", lambda seed: frozenset())
    monkeypatch.setattr(made, "private_rows", lambda *args, **more: private_rows(*args, **more, train=64, test=16))
    monkeypatch.setattr(made, "KindTeacherSettings", lambda: SMALL)


@pytest.mark.usefixtures("small")
def test_names_stand_for_files_and_a_teacher_that_is_made_once(monkeypatch):
    rows = [json.loads(line) for line in Path(located("toy:topics", "test")).read_text().splitlines()]
    assert len(rows) == 16 and rows[0].keys() == {"text", "labels", "label_names"}
    teacher = located("toy:topics", "teacher")
    monkeypatch.setattr(made, "train_kind_teacher", None)
    assert located("toy:topics", "teacher") == teacher
    with pytest.raises(TypeError):  # trained again
        made.kind_teacher("topics", settings=dataclasses.replace(SMALL, epochs=2), quiet=True)
    with pytest.raises(InputError, match="'toy:topics' has the splits train and test, no 'dev'"):
        located("toy:topics", "dev")
    with pytest.raises(InputError, match="'toy:colour' is not a toy task.*toy:sentiment.*toy:topics"):
        located("toy:colour", "train")


def test_pairs_have_a_writer_and_a_corpus_of_their_own(monkeypatch, tmp_path):
    monkeypatch.setattr(made, "CORPUS_SENTENCES", 200)
    lines = Path(located("toy:pairs", "corpus")).read_text().splitlines()
    assert len(lines) == 200
    small = WriterSettings(layers=1, hidden=24, heads=2, corpus_texts=200)
    writer = made.pair_writer(tmp_path, settings=small, quiet=True)
    assert json.loads((writer / "config.json").read_text())["model_type"] == "gpt2"
    assert made.pair_writer(tmp_path, settings=small, quiet=True) == writer
