"""The texts of a report: what was written for each class first and last, and where teacher and student differ most.

Texts come from a language model or from a user's data and are treated as hostile: here they are only cut to a length, the
template escapes them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eval.report.charts import percent
from eval.report.values import number, rows, short, two_digits, whole

MAX_CLASSES = 8
SAMPLES_PER_CELL = 2
MAX_APART = 10
MAX_TEXT = 400


def before_and_after(samples: Sequence[Mapping]) -> dict[str, Any]:
    """Return for each wanted class the first and the last recorded samples: `classes`, and how many are left `out`."""
    groups: dict[str, list[Mapping]] = defaultdict(list)
    for row in samples:
        if isinstance(row.get("text"), str):
            groups["any class" if row.get("wanted") is None else str(row["wanted"])].append(row)
    classes = []
    for wanted in sorted(groups)[:MAX_CLASSES]:
        found = groups[wanted]
        updates = [row.get("update") for row in found]
        first = [row for row in found if row.get("update") == updates[0]][:SAMPLES_PER_CELL]
        last = [row for row in found if row.get("update") == updates[-1]][:SAMPLES_PER_CELL]
        same = updates[0] == updates[-1]
        classes.append({"wanted": short(wanted), "first": _cell(first), "last": _cell([] if same else last)})
    return {"classes": classes, "out": max(0, len(groups) - MAX_CLASSES)}


def most_apart(apart: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the texts on which teacher and student are furthest apart, furthest first.

    Args:
        apart: Content of `disagreement.json`.

    Returns:
        Entries like those of `before_and_after`: `topic` (none here), `rest` (the text) and `told`, what teacher and
        student say of it.
    """
    entries = []
    for row in rows(apart.get("apart"))[:MAX_APART]:
        told = []
        for who in ("teacher", "student"):
            if row.get(who) is not None:
                share = number(row.get(f"{who}_probability"))
                told.append((f"{who}:", short(row[who]) + (f" {percent(share)}" if share is not None else "")))
        if row.get("label") is not None:
            told.append(("labelled", short(row["label"])))
        entries.append({"topic": "", "rest": short(row.get("text"), MAX_TEXT), "told": told})
    return entries


def _cell(found: Iterable[Mapping]) -> dict[str, Any]:
    """Samples of one class at one time, the topic apart from what the writer added to it."""
    entries, queries = [], None
    for row in found:
        topic, text = str(row.get("topic") or ""), str(row["text"])
        opening = topic if topic and text.startswith(topic) else ""
        told = [
            (name, text_of(value))
            for name, key, text_of in (("teacher says", "predicted", short), ("reward", "reward", two_digits))
            if (value := row.get(key)) is not None
        ]
        rest = text[len(opening) :]
        entries.append({"topic": short(opening, MAX_TEXT), "rest": short(rest, MAX_TEXT), "told": told})
        queries = number(row.get("queries"))
    return {"when": f"after {whole(queries)} queries" if queries is not None else "", "samples": entries}
