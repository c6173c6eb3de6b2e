"""Opening the teacher that labels."""

from collections.abc import Callable

from distill.teachers.prediction_cache import CachedTeacher
from eval.classifiers.opening import open_teacher
from prompter.exporting.opening import check_confidence
from prompter.labelling.config import LabelConfig


def opened_teacher(config: LabelConfig, say: Callable[[str], None]) -> CachedTeacher:
    """Open the teacher.

    Raises:
        InputError: It cannot be opened.
    """
    teacher = open_teacher(
        config.teacher,
        labels=config.teacher_labels,
        device=config.device,
        cache=config.teacher_cache,
        max_length=config.teacher_max_length,
        asking=config.asking(),
        notice=say,
        quiet=config.quiet,
    )
    check_confidence(config.min_confidence, teacher.kind)
    return teacher
