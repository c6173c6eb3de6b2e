"""What a student that goes on from another had learnt before, from the `summary.json` that `prompter distill` left."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.common.errors import InputError
from distill.common.files import read_json

SUMMARY = "summary.json"

LONGEST = 20
"""Of students that went on from one another as many are followed."""

KINDS = {"spec": str, "teacher": str | None, "sources": list, "teacher_queries": int, "updates": int}
"""What is told of a student, and its types."""


def past_of(spec: str) -> dict[str, Any]:
    """Return how the student in a folder came about.

    Args:
        spec: What a student is made from, as the user wrote it.

    Returns:
        `spec`, `teacher`, `sources`, `teacher_queries` and `updates`, and `went_on_from` where that student had a past of its
        own; {} where `spec` is no folder that `prompter distill` wrote. Anybody may have written the file, so what is
        not as we write it is passed over.
    """
    folder = Path(spec).expanduser()
    for place, name in ((folder, None), (folder.parent, folder.name)):  # of several students, each has a folder
        if not (folder.is_dir() and (place / SUMMARY).is_file()):
            continue
        try:
            found = read_json(place / SUMMARY)
            students = found["students"]
            if name is None and len(students) > 1:
                continue
            figures = students[name or next(iter(students))]
            past = {
                "spec": str(figures["spec"]),
                "teacher": None if found["teacher"] is None else str(found["teacher"]),
                "sources": [str(source) for source in found["sources"]],
                "teacher_queries": int(found["teacher_queries"]),
                "updates": int(figures["updates"]),
            }
        except (InputError, KeyError, TypeError, ValueError, OverflowError, AttributeError, StopIteration):
            continue
        before = figures.get("went_on_from")
        return past | ({"went_on_from": before} if _depth(before) in range(1, LONGEST) else {})
    return {}


def earliest(spec: str, teacher: str | None, past: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return what the first student of a line was made from, and its teacher."""
    while past:
        spec, teacher, past = past["spec"], past["teacher"], past.get("went_on_from", {})
    return spec, teacher


def _depth(past: Any) -> int:
    """Return how many students went on from one another; 0 where something else stands there."""
    depth = 0
    while isinstance(past, dict) and depth < LONGEST:
        if not KINDS.keys() <= past.keys() or not all(isinstance(past[key], kind) for key, kind in KINDS.items()):
            return 0
        past, depth = past.get("went_on_from"), depth + 1
    return depth if past is None else 0
