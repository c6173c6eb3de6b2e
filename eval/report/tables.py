"""The tables of a report: results, confused classes, topics, budget, time and settings.

Each function takes the content of a run's files and returns what the template shows, as formatted text. A missing value is
omitted or shown as a dash.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from distill.kinds.names import NO_ENTITY, OF_SCORES
from eval.report.charts import compact, percent
from eval.report.scores import SCORES
from eval.report.values import duration, mapping, number, rows, short, two_digits, whole

MAX_TOPICS = 15
MAX_TOPIC = 200
MAX_PROMPT = 1000
MAX_MATRIX = 12
MAX_PAIRS = 15

STUDENTS = {
    "prompted": "text of the run",
    "unprompted": "the same language model, unprompted",
    "unprompted-hot": "the same language model, unprompted, at temperature 1.3",
    "class-prompts": "the same language model, asked for each class in the same words, without a prompter",
    "screened-class-prompts": "those texts, chosen as the run chooses its candidates",
    "class-names": "the same language model after openings that name the class",
    "random-topics": "the same language model, given four random tokens",
    "selected-topics": "the third of those texts with the highest teacher confidence",
    "random-words": "random words of a general corpus",
    "corpus": "sentences of a general corpus",
    "real": "the real training text",
    "supervised": "the real training text and its labels, without a teacher",
}
"""The training text of each student, in words; other names are shown as they are."""

PARTS = {
    "teacher and writer": "loading teacher and writer, and training the toy ones",
    "rounds": "all rounds, including their parts",
    "writer": "writing texts",
    "screen": "selecting the texts to ask the teacher about",
    "teacher": "predictions of the teacher",
    "student answers": "predictions of the student, for the reward",
    "own rewards": "reward functions of the user",
    "student": "student updates during the rounds",
    "evaluation": "accuracy during the rounds",
    "policy": "topics and updates of the prompter",
    "final student updates": "student updates on all texts",
    "controls": "texts and students of the baselines",
}
"""The parts of a run's time, in words; the names are those of `summary.json`."""


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline table: `columns` (names) and `rows` (name, explanation, cells).

    Columns and rows without any value are omitted.
    """
    columns = {
        "accuracy": ("Accuracy", percent),
        **{name: (shown.title, shown.text) for name, shown in SCORES.items() if name != "macro_f1"},
        "agreement": ("Agrees with teacher", percent),
        "macro_f1": (SCORES["macro_f1"].title, SCORES["macro_f1"].text),
        "queries": ("Teacher queries", whole),
        "seconds": ("Time", duration),
        "parameters": ("Parameters", compact),
        "bytes": ("Size", lambda value: f"{compact(value / 1e6)} MB"),
        "texts_per_second": ("Texts/s", compact),
    }
    students = mapping(summary.get("students"))
    order = [name for name in STUDENTS if name in students] + [name for name in students if name not in STUDENTS]
    found = [("Teacher", "", mapping(summary.get("teacher")), "")]
    found += [(short(name), STUDENTS.get(name, ""), mapping(students[name]), "main" * (name == "prompted")) for name in order]
    shown = [key for key in columns if any(number(metrics.get(key)) is not None for _, _, metrics, _ in found)]
    table = []
    for name, text, metrics, kind in found:
        values = [number(metrics.get(key)) for key in shown]
        cells = ["–" if v is None else columns[key][1](v) for key, v in zip(shown, values, strict=True)]
        if any(value is not None for value in values):
            table.append({"name": name, "text": text, "kind": kind, "cells": cells})
    return {"columns": [columns[key][0] for key in shown], "rows": table}


def confusion(apart: Mapping[str, Any], kind: str = "") -> dict[str, Any] | None:
    """Return how the student's classes differ from the teacher's.

    Args:
        apart: Content of `disagreement.json`.
        kind: Name of the teacher's kind; "" for one class for a text.

    Returns:
        `says`, a sentence about what is the same for how many texts. For up to `MAX_MATRIX` classes a matrix: `classes`, and
        `rows` with the `name` of the teacher's class, the number of `texts` to which it gave this class, and `cells` (count,
        share of the row, whether both agree). For more classes most cells would be empty: `rows` is then empty, and
        `mistaken` lists the most frequent pairs of different classes. None if nothing was compared.
    """
    names = apart.get("labels")
    classes = [short(name) for name in names] if isinstance(names, list) else []
    counts = _counts(apart.get("pairs"), len(classes))
    if not counts:
        return None
    totals: Counter[int] = Counter()
    for (teacher, _), texts in counts.items():
        totals[teacher] += texts
    matrix, mistaken = [], []
    if len(classes) <= MAX_MATRIX:
        for teacher, name in enumerate(classes):
            cells = [_cell(counts[teacher, student], totals[teacher], teacher == student) for student in range(len(classes))]
            matrix.append({"name": name, "texts": whole(totals[teacher]), "cells": cells})
    else:
        different = [(texts, pair) for pair, texts in counts.items() if pair[0] != pair[1]]
        different.sort(key=lambda entry: (-entry[0], entry[1]))
        for texts, (teacher, student) in different[:MAX_PAIRS]:
            share = percent(texts / totals[teacher])
            mistaken.append({"teacher": classes[teacher], "student": classes[student], "texts": whole(texts), "share": share})
    return {"classes": classes, "says": _alike(counts, classes, kind), "rows": matrix, "mistaken": mistaken}


def _alike(counts: Counter[tuple[int, int]], classes: Sequence[str], kind: str) -> str:
    """Say for how many texts both choose the same, and what that is where an answer is more than one class."""
    same, texts = sum(counts[both, both] for both in range(len(classes))), counts.total()
    if kind == "tokens" and classes[-1] == NO_ENTITY:
        neither = counts[len(classes) - 1, len(classes) - 1]
        counted = (
            f"A text counts as the type of its surest entity, whatever its other words are, and without one as '{NO_ENTITY}'."
        )
        if neither == texts:
            return f"{counted} Neither finds an entity."
        shared = percent((same - neither) / (texts - neither))
        return (
            f"{counted} Of the {whole(texts - neither)} texts in which either finds one, both take the same type for {shared}."
        )
    share = percent(same / texts)
    if kind == "tokens":
        counted = "A text counts as the type that the fewest of its words have, whatever the others are:"
        return f"{counted} both take the same one for {share} of them."
    if kind == "multi_label":
        return f"A text counts as its likeliest label: both take the same one for {share} of them."
    if kind in OF_SCORES:
        return f"Both give a number in the same fifth of the range for {share} of them."
    return f"Both predict the same class for {share} of them."


def _counts(pairs: Any, classes: int) -> Counter[tuple[int, int]]:
    """Count the texts for each pair of teacher's class and student's class."""
    counts: Counter[tuple[int, int]] = Counter()
    for pair in rows(pairs):
        teacher, student, texts = (number(pair.get(key)) for key in ("teacher", "student", "texts"))
        if teacher in range(classes) and student in range(classes) and texts is not None and texts >= 1:
            counts[int(teacher), int(student)] += int(texts)  # type: ignore[arg-type]
    return counts


def _cell(texts: int, of: int, same: bool) -> dict[str, Any]:
    share = texts / of if of else 0.0
    return {"texts": whole(texts), "share": percent(share) if texts else "", "tint": round(share, 3), "same": same}


def topic_table(samples: Sequence[Mapping]) -> list[dict[str, str]]:
    """Return the most frequent topics among the recorded samples, with counts and mean rewards; none if all are empty."""
    rewards: dict[str, list[float | None]] = defaultdict(list)
    for row in samples:
        if isinstance(row.get("topic"), str):
            rewards[" ".join(row["topic"].split())].append(number(row.get("reward")))
    if not any(rewards):
        return []  # no prompter had a part
    table = []
    for topic, found in rewards.items():
        known = [value for value in found if value is not None]
        table.append((len(found), sum(known) / len(known) if known else None, topic))
    table.sort(key=lambda entry: (-entry[0], -(entry[1] if entry[1] is not None else -math.inf), entry[2]))
    return [
        {"topic": short(topic, MAX_TOPIC) or "(no topic)", "count": whole(count), "reward": two_digits(mean)}
        for count, mean, topic in table[:MAX_TOPICS]
    ]


def prompt_table(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return each class with its class prompt; empty for an unfinished run and for one of an older version."""
    return [
        (short(str(name), MAX_TOPIC), short(str(text), MAX_PROMPT))
        for name, text in mapping(summary.get("class_prompts")).items()
    ]


def budget(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the teacher queries of a run by purpose, as (name, number of texts); empty for an unfinished run."""
    spent = number(summary.get("teacher_queries"))
    if spent is None:
        return []
    allowed = number(mapping(summary.get("config")).get("budget"))
    students = mapping(summary.get("students"))
    baselines = sum(number(mapping(students[name]).get("queries")) or 0 for name in students if name != "prompted")
    evaluation = number(mapping(summary.get("teacher")).get("n")) or 0
    asked, unusable = number(summary.get("teacher_calls")), number(summary.get("unusable_answers"))
    table = [("For the prompted student", f"{whole(spent)} of {whole(allowed)}" if allowed else whole(spent))]
    if baselines:
        table.append(("For the baselines", whole(baselines)))
    if evaluation:
        table.append(("Evaluation texts, once", whole(evaluation)))
    if asked is not None:
        table.append(("Texts really sent to the teacher", whole(asked)))
        if (money := number(summary.get("money_spent"))) is not None:
            table.append(("Money spent on them", f"{money:,.2f}"))
        # A run that was stopped and resumed may have asked about some texts twice.
        if (known := spent + baselines + evaluation - asked) > 0:
            table.append(("Predictions known already, from this run or an earlier one", whole(known)))
    if unusable:
        table.append(("Unusable predictions, for the prompted student", whole(unusable)))
    return table


def time_split(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of the time, longest first: `name`, `what`, `text`, `share` and `width` (percent of the longest)."""
    parts = {name: number(value) for name, value in mapping(summary.get("time")).items()}
    known = sorted(((value, str(name)) for name, value in parts.items() if value is not None and value >= 0), reverse=True)
    longest = known[0][0] if known else 0.0
    total = sum(value for value, _ in known)
    return [
        {
            "name": short(name),
            "what": PARTS.get(name, ""),
            "text": duration(value),
            # Runs of an earlier version count all rounds as well as their parts, so shares of the sum would mislead.
            "share": f"{100 * value / total:.0f} %" if total and "rounds" not in parts else "",
            "width": round(100 * value / longest, 1) if longest else 0,
        }
        for value, name in known
    ]


def settings_table(value: Any) -> list[tuple[str, str]]:
    """Return the entries of a mapping as text, sorted by name."""
    settings = sorted((str(name), item) for name, item in mapping(value).items())
    return [(name, item if isinstance(item, str) else json.dumps(item, default=str)) for name, item in settings]
