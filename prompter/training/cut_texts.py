"""The share of texts that are longer than what teacher and student read of them: counted, stored, and said."""

from collections.abc import Mapping, Sequence

from distill.replay import Replay
from distill.student import Student
from distill.teachers.prediction_cache import CachedTeacher
from prompter.runtime.console import Console


def cut_shares(
    teacher: CachedTeacher | None,
    students: Mapping[str, Student],
    texts: Sequence[str],
    console: Console,
    text_pairs: Sequence[str] | None = None,
) -> dict[str, float]:
    """Return the shares of texts that are cut, as keys of the summary, and say so where there are any.

    Args:
        teacher: The teacher. What a service or a function reads is not known.
        students: The students by name; the summary holds the largest share.
        texts: The texts of the run.
        console: Shows the lines.
        text_pairs: Second texts of pair tasks.
    """
    shares = {}
    if teacher is not None and teacher.white_box is not None:
        shares["teacher_texts_cut"] = round(teacher.white_box.cut_share(texts, text_pairs), 4)
    shares["student_texts_cut"] = round(max(student.cut_share(texts, text_pairs) for student in students.values()), 4)
    for who, setting in (("teacher", "teacher_max_length"), ("student", "student_max_length")):
        if share := shares.get(f"{who}_texts_cut"):
            console.say(f"{share:.1%} of the texts are longer than what the {who} reads: they were cut ({setting}).")
    return shares


def cut_shares_of(
    replay: Replay, teacher: CachedTeacher | None, students: Mapping[str, Student], console: Console
) -> dict[str, float]:
    """Return the same for the texts, or pairs of texts, of a replay; embeddings are no texts, and have none."""
    if replay.embeddings:
        return {}
    return cut_shares(teacher, students, replay.texts, console, replay.pairs)
