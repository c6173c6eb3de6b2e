"""The examples run as they stand, at a small size."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.prompter.conftest import lm_folder, teacher_folder  # noqa: F401

EXAMPLES = Path(__file__).parents[2] / "examples"

SMALL: dict[str, Any] = {
    **{"device": "cpu", "quiet": True, "rollout_size": 16, "minibatch_size": 8, "num_iterations": 1, "topic_max_tokens": 3},
    **{"writer_max_new_tokens": 8, "writer_min_new_tokens": 4, "student_updates": 20, "student": "bert:layers=1,hidden=32"},
}


@pytest.fixture(autouse=True)
def where_users_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let examples be imported by name, and write into an empty folder."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if (EXAMPLES / f"{name}.py").exists()]:
        monkeypatch.delitem(sys.modules, name)


def example(name: str) -> Any:
    return importlib.import_module(name)


@pytest.fixture
def task(tmp_path: Path, lm_folder: Path, teacher_folder: Path) -> dict[str, Any]:  # noqa: F811
    """Settings of a run of tiny models."""
    rows = tmp_path / "test.csv"
    rows.write_text("text,label\n" + "".join(f"good w{i} w{i + 1},0\nbad w{i} w{i + 2},1\n" for i in range(12)))
    return SMALL | {"teacher": str(teacher_folder), "generator": str(lm_folder), "eval_data": str(rows)}


def test_own_reward(task: dict[str, Any]) -> None:
    course = example("own_reward").main("run", 48, **task)
    assert len(course) == 3 and all(0 <= value <= 1 for value in course)


def test_ppo_any_task(lm_folder: Path) -> None:  # noqa: F811
    course = example("ppo_any_task").main(str(lm_folder), "ppo", 3, per_device_train_batch_size=8, num_generations=4)
    assert len(course) == 3 and all(0 <= value <= 1 for value in course)


def test_cascade(teacher_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    texts = [f"good w{i} bad w{i % 5}" for i in range(30)]
    cascade = example("cascade").main(str(teacher_folder), str(teacher_folder), texts, 0.9)
    assert cascade.texts == 30 and capsys.readouterr().out.count("by the student") == 30 - cascade.asked


@pytest.mark.slow
def test_the_toy_examples() -> None:
    assert example("train").main("train", 1500, quiet=True) > 0.5
    assert example("callable_teacher").main("callable", 600, quiet=True) > 0.5
