"""Settings of the student's side: what is refused."""

from dataclasses import fields

import pytest

from distill.common.errors import InputError
from distill.config import DistillConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"student_learning_rate": 0}, "student_learning_rate is 0, expected a number > 0 and <= 1"),
        ({"student_learning_rate": "fast"}, "student_learning_rate is 'fast'"),
        ({"student_learning_rate": float("nan")}, "student_learning_rate is nan"),
        ({"student_batch_size": 0}, "student_batch_size is 0, expected a whole number >= 1"),
        ({"student_batch_size": 8.5}, "student_batch_size is 8.5, expected a whole number"),
        ({"student_updates": True}, "student_updates is True, expected a whole number"),
        ({"student_temperature": -1.0}, "student_temperature is -1.0"),
        ({"student_online_share": 1.5}, "student_online_share is 1.5"),
        ({"student_schedule": "step"}, "student_schedule is 'step', expected one of: cosine, linear, constant"),
        ({"replay_selection": "best"}, "replay_selection is 'best', expected one of: uniform, balanced"),
    ],
)
def test_settings_out_of_range(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        DistillConfig(**changes)


def test_every_setting_explains_itself() -> None:
    assert all(item.metadata["help"] for item in fields(DistillConfig))
