"""One cache and one count of queries for several processes."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from distill.processes.group import Processes
from distill.processes.teacher import SharedTeacher
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.prediction_cache import CachedTeacher
from tests.distill.processes.two import in_two
from tests.distill.teachers.test_prediction_cache import PickyTeacher

TEXTS = [f"text {i * i % 11}" for i in range(20)]


def asked_together(folder: Path, processes: Processes, cache: bool) -> dict:
    asked: list[str] = []

    class Noted(PickyTeacher):
        def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> torch.Tensor:
            asked.extend(texts)
            return super().__call__(texts)

    teacher = SharedTeacher(Noted(), folder / "a.sqlite" if cache else None, print, processes)
    answers = [teacher(TEXTS).tolist(), teacher(TEXTS[:5]).tolist()]
    state = teacher.state()
    teacher.processes.leave()
    return {
        "answers": answers,
        "state": state,
        "asked": asked,
        "rest": teacher(TEXTS[:3]).tolist() if processes.first else None,
    }


def test_each_text_is_asked_once_by_one_of_the_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distill.teachers.prediction_cache.identity", lambda teacher: teacher.path)
    one, other = in_two(lambda processes: asked_together(tmp_path, processes, True))
    texts = set(TEXTS)
    assert sorted(one["asked"] + other["asked"]) == sorted(texts)
    assert one["asked"] and other["asked"]
    alone = CachedTeacher(PickyTeacher(), tmp_path / "b.sqlite", print)
    assert one["answers"] == other["answers"]
    for answers, texts_of in zip(one["answers"], (TEXTS, TEXTS[:5]), strict=True):
        torch.testing.assert_close(torch.tensor(answers), alone(texts_of), atol=1e-3, rtol=0)
    assert (
        one["state"]
        == other["state"]
        == alone.state()
        == {
            "teacher_queries": 25,
            "teacher_invalid": 0,
            "teacher_calls": len(texts),
        }
    )
    assert one["rest"] == one["answers"][0][:3]


def test_without_a_cache_every_text_is_asked(tmp_path: Path) -> None:
    one, other = in_two(lambda processes: asked_together(tmp_path, processes, False))
    assert one["asked"] == TEXTS[:10] + TEXTS[:2] + TEXTS[:3]  # the last three alone
    assert other["asked"] == TEXTS[10:] + TEXTS[2:5]
    assert one["state"] == other["state"] == {"teacher_queries": 25, "teacher_invalid": 0, "teacher_calls": 25}
    assert not list(tmp_path.iterdir())


def unusable(texts: list[str]) -> list[list[float]]:
    return [[0.25, 0.75] if "1" in text else [0.0, 0.0] for text in texts]


def counted_together(processes: Processes) -> tuple:
    teacher = SharedTeacher(CallableTeacher(unusable, ["a", "b"]), None, print, processes)
    answers = teacher(["1", "2", "11", "3"])
    return answers.isnan().any(dim=1).tolist(), teacher.queries, teacher.invalid


def test_unusable_answers_are_counted_by_all() -> None:
    one, other = in_two(counted_together)
    assert one == other == ([False, True, False, True], 4, 2)
