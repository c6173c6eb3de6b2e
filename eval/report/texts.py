"""The texts of a report: the first and the last texts for each class, and those on which teacher and student differ most.

Texts come from a language model or the user's data and are treated as hostile. They are only shortened here; the template
escapes them.
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


def origin(policy: Mapping[str, Any]) -> str:
    """Say how the texts of a run come about, to go on from "texts" or "on text".

    Args:
        policy: The run's settings `writes` and `algorithm`, and any others.

    Examples:
        >>> origin({"writes": "topic", "algorithm": "ppo"})
        'that a language model wrote from the openings of a trained prompter'
        >>> origin({"writes": "nothing"})
        'that a language model wrote when it was asked for each class, without a prompter'
    """
    prompter = "an untrained prompter" if policy.get("algorithm") == "none" else "a trained prompter"
    openings = f"that a language model wrote from the openings of {prompter}"
    return {
        "text": f"that {prompter} wrote",
        "subject": f"that a language model wrote about the subjects of {prompter}",
        "nothing": "that a language model wrote when it was asked for each class, without a prompter",
    }.get(str(policy.get("writes")), openings)


def before_and_after(samples: Sequence[Mapping]) -> dict[str, Any]:
    """Return the first and the last recorded samples of each target class as `classes`, and the number left `out`."""
    groups: dict[str, list[Mapping]] = defaultdict(list)
    for row in samples:
        if isinstance(row.get("text"), str):
            groups["any class" if row.get("wanted") is None else str(row["wanted"])].append(row)
    classes = []
    for target in sorted(groups)[:MAX_CLASSES]:
        found = groups[target]
        updates = [row.get("update") for row in found]
        first = [row for row in found if row.get("update") == updates[0]][:SAMPLES_PER_CELL]
        last = [row for row in found if row.get("update") == updates[-1]][:SAMPLES_PER_CELL]
        same = updates[0] == updates[-1]
        classes.append({"target": short(target), "first": _cell(first), "last": _cell([] if same else last)})
    return {"classes": classes, "out": max(0, len(groups) - MAX_CLASSES)}


def most_apart(apart: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the texts with the largest distance between teacher and student, largest first.

    Args:
        apart: Content of `disagreement.json`.

    Returns:
        Entries like those of `before_and_after`: `topic` (empty here), `rest` (the text) and `notes`, the predictions of
        teacher and student.
    """
    entries = []
    for row in rows(apart.get("apart"))[:MAX_APART]:
        notes = []
        for who in ("teacher", "student"):
            if row.get(who) is not None:
                share = number(row.get(f"{who}_probability"))
                notes.append((f"{who}:", short(row[who]) + (f" {percent(share)}" if share is not None else "")))
        if row.get("label") is not None:
            notes.append(("labelled", short(row["label"])))
        entries.append({"topic": "", "rest": _whole(row, short(row.get("text"), MAX_TEXT)), "notes": notes})
    return entries


def _whole(row: Mapping[str, Any], text: str) -> str:
    """Return a text with its second text, where the teacher classifies pairs."""
    return f"{text} / {short(row['text_pair'], MAX_TEXT)}" if isinstance(row.get("text_pair"), str) else text


def _cell(found: Iterable[Mapping]) -> dict[str, Any]:
    """Return the samples of one class at one time, with the topic separate from the text that the writer added."""
    entries, queries = [], None
    for row in found:
        topic, text = str(row.get("topic") or ""), str(row["text"])
        opening = topic if topic and text.startswith(topic) else ""
        notes = [
            (name, text_of(value))
            for name, key, text_of in (("teacher says", "predicted", short), ("reward", "reward", two_digits))
            if (value := row.get(key)) is not None
        ]
        rest = _whole(row, short(text[len(opening) :], MAX_TEXT))
        entries.append({"topic": short(opening, MAX_TEXT), "rest": rest, "notes": notes})
        queries = number(row.get("queries"))
    return {"when": f"after {whole(queries)} queries" if queries is not None else "", "samples": entries}
