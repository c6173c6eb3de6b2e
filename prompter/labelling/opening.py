"""Opening the teacher that labels."""

from collections.abc import Callable

from distill.teachers.prediction_cache import CachedTeacher
from eval.classifiers.opening import open_named
from prompter.exporting.opening import check_confidence
from prompter.labelling.config import LabelConfig


def opened_teacher(config: LabelConfig, say: Callable[[str], None]) -> CachedTeacher:
    """Open the teacher.

    Raises:
        InputError: It cannot be opened.
    """
    teacher = open_named(config, say)
    check_confidence(config.min_confidence, teacher.kind)
    return teacher
