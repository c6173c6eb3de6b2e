"""Opening a teacher: every kind of name, the cache of its predictions, and the order of a service's classes."""

from pathlib import Path

import pytest

from distill.common.errors import InputError
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.prediction_cache import predictions_file
from eval.classifiers import opening
from eval.classifiers.opening import open_teacher


def certain(texts):
    return [[0.25, 0.75] for _ in texts]


def test_a_function_is_a_teacher():
    teacher = open_teacher(certain, labels=["bad", "good"])
    assert teacher.labels == ["bad", "good"] and teacher.path == f"{__name__}:certain"
    assert teacher(["a", "b"]).exp().tolist() == [[0.25, 0.75]] * 2
    assert teacher.queries == 2 and predictions_file().exists()
    notices = []
    assert open_teacher(lambda texts: certain(texts), notice=notices.append).labels == ["0", "1"]
    assert len(notices) == 1 and "not kept" in notices[0]


def test_a_named_teacher_keeps_its_predictions(tmp_path: Path, monkeypatch):
    (tmp_path / "opened_teacher.py").write_text("def ask(texts):\n    return [[0.5, 0.5]] * len(texts)\n")
    monkeypatch.chdir(tmp_path)
    for cache, asked in ((False, 1), (True, 1), (True, 0)):
        teacher = open_teacher("opened_teacher:ask", labels=("a", "b"), cache=cache)
        teacher(["one text"])
        assert (teacher.asked, teacher.queries) == (asked, 1)
    with pytest.raises(InputError, match="no function 'aks'"):
        open_teacher("opened_teacher:aks")


def test_a_toy_teacher_is_found_by_its_task(monkeypatch):
    opened = {}

    def load(name, device, *, labels, field, **others):
        opened.update(name=name, labels=labels, field=field)
        return CallableTeacher(certain)

    monkeypatch.setattr(opening, "load_teacher", load)
    monkeypatch.setattr(opening, "located", lambda name, kind, quiet: f"{kind} of {name}")
    open_teacher("toy:sentiment", field="model", cache=False)
    assert opened == {"name": "teacher of toy:sentiment", "labels": None, "field": "model"}
