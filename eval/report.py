"""One page that tells what a run did, written from its folder alone.

The page is a single HTML file without scripts or anything from the network: it can be mailed, archived, and opened
years later. It reads `summary.json` (how it ended), `metrics.jsonl` (a row per rollout) and `samples.jsonl` (a few
texts per rollout). Every figure may be missing: without labelled data there is no accuracy, a stopped run has no
summary. The page then shows what there is and says what is not known.

Sample texts come from a language model and are treated as hostile: the template escapes everything.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from distill.errors import InputError
from distill.files import read_json, write_text
from eval.charts import Series, compact, line_chart, percent, percent_mark
from eval.page import page

QUERIES = "teacher queries"

MAX_TOPICS = 15
MAX_CLASSES = 8
SAMPLES_PER_CELL = 2
MAX_TEXT = 400

STUDENTS = {
    "prompted": "text of the trained prompter",
    "unprompted": "the same language model, unprompted",
    "unprompted-hot": "the same language model, unprompted, at temperature 1.3",
    "class-names": "the language model after hand-written class prompts",
    "random-words": "random words of a general corpus",
    "corpus": "sentences of a general corpus",
    "real": "the real training text",
}
"""What a student learnt from, in words; other names are shown as they are."""


def write_report(run_dir: str | Path) -> Path:
    """Write `report.html` into a run folder.

    Args:
        run_dir: Folder with any of `summary.json`, `metrics.jsonl` and `samples.jsonl`.

    Returns:
        The path of the page. Writing it again from the same files gives the same bytes.

    Raises:
        InputError: There is no such folder, it holds none of these files, one of them is damaged, or the page cannot
            be written. A last line cut off by a killed run is no damage.
    """
    folder = Path(run_dir)
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; give the folder of a run.")
    names = ("summary.json", "metrics.jsonl", "samples.jsonl")
    if not any((folder / name).is_file() for name in names):
        raise InputError(f"{folder}: holds none of {', '.join(names)}; give the folder of a run.")
    summary = read_json(folder / names[0]) if (folder / names[0]).is_file() else {}
    if not isinstance(summary, dict):
        raise InputError(f"{folder / names[0]}: expected a JSON object; the file was not written by a run.")
    text = render(summary, _read_rows(folder / names[1]), _read_rows(folder / names[2]), title=folder.name)
    write_text(folder / "report.html", text)
    return folder / "report.html"


def render(summary: Mapping[str, Any], metrics: Sequence[Mapping], samples: Sequence[Mapping], title: str) -> str:
    """Return the page as text.

    Args:
        summary: Content of `summary.json`; {} for a run that is not finished.
        metrics: Rows of `metrics.jsonl`.
        samples: Rows of `samples.jsonl`.
        title: Name of the run.
    """
    return page(
        "report.html.j2",
        title=title,
        task=summary.get("task"),
        facts=_facts(summary, metrics),
        verdict=verdict(summary, metrics),
        table=headline(summary),
        charts=curves(summary, metrics),
        pairs=before_and_after(samples),
        topics=topic_table(samples),
        sampled=len(samples),
        time=time_split(summary),
        config=_settings(summary.get("config")),
        versions=_settings(summary.get("versions")),
    )


# What the page says


def verdict(summary: Mapping[str, Any], metrics: Sequence[Mapping]) -> str:
    """Say in one sentence how the run came out; only what was measured is claimed."""
    students = _mapping(summary.get("students"))
    prompted = _mapping(students.get("prompted"))
    accuracy = _number(prompted.get("accuracy"))
    queries = _number(summary.get("teacher_queries")) or _number(prompted.get("queries"))
    spent = f"With {queries:,.0f} teacher queries and no training data" if queries else "Without training data"
    if not summary:
        last = next((q for row in reversed(metrics) if (q := _number(row.get("queries"))) is not None), None)
        so_far = f"after {last:,.0f} teacher queries " if last else ""
        return f"This run is not finished: the page shows it as it stood {so_far}and there is no result yet."
    if accuracy is None:
        agreement, where = _number(prompted.get("agreement")), "on the evaluation texts"
        if agreement is None:
            seen = [value for row in metrics if (value := _number(row.get("agreement"))) is not None]
            agreement, where = (seen[-1], "on the last texts written for it") if seen else (None, "")
        if agreement is None:
            return f"{spent}, a student was distilled; no labelled data was given, so its accuracy is not known."
        return (
            f"{spent}, the student came to agree with its teacher on {percent(agreement)} {where}; "
            "no labelled data was given, so its accuracy is not known."
        )
    sentence = f"{spent}, the prompted student reaches {percent(accuracy)} accuracy"
    compared = []
    unprompted = _number(_mapping(students.get("unprompted")).get("accuracy"))
    if unprompted is not None:
        difference = 100 * (accuracy - unprompted)
        side = "above" if difference >= 0 else "below"
        compared.append(f"{abs(difference):.1f} points {side} the same student on unprompted text")
    real = _number(_mapping(students.get("real")).get("accuracy"))
    if real:
        compared.append(f"{percent(accuracy / real)} of what the real training text gives it ({percent(real)})")
    if compared:
        sentence += ": " + " and ".join(compared)
    teacher = _number(_mapping(summary.get("teacher")).get("accuracy"))
    return sentence + (f"; its teacher has {percent(teacher)}." if teacher is not None else ".")


def _facts(summary: Mapping[str, Any], metrics: Sequence[Mapping]) -> list[tuple[str, str]]:
    """What was run, as (name, value) pairs."""
    config = _mapping(summary.get("config"))
    labels = summary.get("labels")
    queries, seconds = _number(summary.get("teacher_queries")), _number(summary.get("seconds"))
    teacher = _mapping(summary.get("teacher")).get("name") or config.get("teacher")
    facts = [
        ("Classes", ", ".join(str(label) for label in labels) if isinstance(labels, list) else None),
        ("Teacher", teacher),
        ("Writer", config.get("generator")),
        ("Student", config.get("student")),
        ("Teacher queries", f"{queries:,.0f}" if queries is not None else None),
        ("Rollouts", f"{len(metrics):,}" if metrics else None),
        ("Time", duration(seconds) if seconds is not None else None),
        ("Seed", summary.get("seed")),
    ]
    return [(name, str(value)) for name, value in facts if value not in (None, "")]


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline table: `columns` (names) and `rows` (name, explanation, cells).

    Columns without any figure are left out, and so are rows.
    """
    columns = {
        "accuracy": ("Accuracy", percent),
        "agreement": ("Agrees with teacher", percent),
        "macro_f1": ("Macro-F1", lambda value: f"{value:.3f}"),
        "queries": ("Teacher queries", lambda value: f"{value:,.0f}"),
        "seconds": ("Time", duration),
        "parameters": ("Parameters", compact),
        "bytes": ("Size", lambda value: f"{compact(value / 1e6)} MB"),
        "texts_per_second": ("Texts/s", compact),
    }
    students = _mapping(summary.get("students"))
    order = [name for name in STUDENTS if name in students] + [name for name in students if name not in STUDENTS]
    found = [("Teacher", "", _mapping(summary.get("teacher")), "")]
    found += [(name, STUDENTS.get(name, ""), _mapping(students[name]), "main" * (name == "prompted")) for name in order]
    shown = [key for key in columns if any(_number(figures.get(key)) is not None for _, _, figures, _ in found)]
    rows = []
    for name, text, figures, kind in found:
        values = [_number(figures.get(key)) for key in shown]
        cells = ["–" if v is None else columns[key][1](v) for key, v in zip(shown, values, strict=True)]
        if any(value is not None for value in values):
            rows.append({"name": name, "text": text, "kind": kind, "cells": cells})
    return {"columns": [columns[key][0] for key in shown], "rows": rows}


def curves(summary: Mapping[str, Any], metrics: Sequence[Mapping]) -> list[dict[str, Any]]:
    """Return the charts for which there are figures, as `title`, `note` and `svg`."""

    def line(key: str, name: str) -> Series:
        points = [(_number(row.get("queries")), _number(row.get(key))) for row in metrics]
        return Series(name, [(x, y) for x, y in points if x is not None and y is not None])

    terms = sorted({key for row in metrics for key in row if key.startswith("reward/")})
    reward = [line("reward", "reward"), *(line(term, term.removeprefix("reward/")) for term in terms)]
    answers = [
        line("confidence", "teacher's confidence"),
        line("agreement", "student agrees"),
        line("wanted_share", "wanted class"),
    ]
    accuracy = line("accuracy", "student")
    levels = []
    if accuracy.points:
        students = _mapping(summary.get("students"))
        final = {"teacher": _mapping(summary.get("teacher")), **{name: _mapping(students[name]) for name in students}}
        for name, figures in final.items():
            value = _number(figures.get("accuracy"))
            if value is not None:
                levels.append(Series(name if name != "prompted" else "prompted, at the end", [(0.0, value)], level=True))
    drawn: list[tuple[str, str, list[Series], str, dict[str, Any]]] = [
        ("Reward", "Mean of each rollout; the terms lie in 0 to 1 before they are weighted.", reward, "mean reward",
         {"from_zero": True}),
        ("Answers to the texts just written", "The student answers before it learns from them.", answers,
         "share of the rollout", {"from_zero": True, "y_format": percent_mark}),
        ("Accuracy on the evaluation data", "Reported only, never used to choose. Level lines: final figures.",
         [accuracy, *levels], "accuracy", {"y_format": percent_mark}),
        ("Distinct topics", "Falls when the prompter repeats itself.", [line("distinct_topics", "distinct topics")],
         "share of the rollout", {"from_zero": True, "y_format": percent_mark}),
        ("Student's loss", "Distillation loss on the replay.", [line("student_loss", "student's loss")], "loss (nats)",
         {"from_zero": True}),
        ("Entropy of the prompter", "Of its next-token distribution.", [line("entropy", "entropy")],
         "entropy (nats/token)", {"from_zero": True}),
        ("Distance from the untuned model", "KL divergence per topic token.", [line("kl", "KL")], "KL (nats/token)",
         {"from_zero": True}),
        ("Critic's loss", "Squared error of the expected reward, clipped.", [line("critic_loss", "critic's loss")],
         "loss", {"from_zero": True}),
    ]  # fmt: skip
    charts = []
    for title, note, series, y_label, options in drawn:
        svg = line_chart(title, series, x_label=QUERIES, y_label=y_label, **options)
        if svg:
            charts.append({"title": title, "note": note, "svg": svg})
    return charts


def before_and_after(samples: Sequence[Mapping]) -> dict[str, Any]:
    """Return for each wanted class the first and the last recorded samples: `classes`, and how many are left `out`."""
    groups: dict[str, list[Mapping]] = defaultdict(list)
    for row in samples:
        if isinstance(row.get("text"), str):
            groups["any class" if row.get("wanted") is None else str(row["wanted"])].append(row)
    classes = []
    for wanted in sorted(groups)[:MAX_CLASSES]:
        rows = groups[wanted]
        updates = [row.get("update") for row in rows]
        first = [row for row in rows if row.get("update") == updates[0]][:SAMPLES_PER_CELL]
        last = [row for row in rows if row.get("update") == updates[-1]][:SAMPLES_PER_CELL]
        same = updates[0] == updates[-1]
        classes.append({"wanted": wanted, "first": _cell(first), "last": _cell([] if same else last)})
    return {"classes": classes, "out": max(0, len(groups) - MAX_CLASSES)}


def topic_table(samples: Sequence[Mapping]) -> list[dict[str, str]]:
    """Return the most frequent topics among the recorded samples, with how often and the mean reward."""
    rewards: dict[str, list[float | None]] = defaultdict(list)
    for row in samples:
        if isinstance(row.get("topic"), str):
            rewards[" ".join(row["topic"].split())].append(_number(row.get("reward")))
    table = []
    for topic, found in rewards.items():
        known = [value for value in found if value is not None]
        table.append((len(found), sum(known) / len(known) if known else None, topic))
    table.sort(key=lambda entry: (-entry[0], -(entry[1] if entry[1] is not None else -math.inf), entry[2]))
    return [
        {
            "topic": _short(topic) or "(no topic)",
            "count": f"{count:,}",
            "reward": "–" if mean is None else f"{mean:.2f}",
        }
        for count, mean, topic in table[:MAX_TOPICS]
    ]


def time_split(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return where the seconds went, longest first, as `name`, `text` and `width` (percent of the longest)."""
    parts = {str(name): _number(value) for name, value in _mapping(summary.get("time")).items()}
    known = sorted(((value, name) for name, value in parts.items() if value is not None and value >= 0), reverse=True)
    longest = known[0][0] if known else 0.0
    return [
        {"name": name, "text": duration(value), "width": round(100 * value / longest, 1) if longest else 0}
        for value, name in known
    ]


def duration(seconds: float) -> str:
    """Format a number of seconds.

    >>> duration(4.25), duration(150), duration(7300)
    ('4.2 s', '2 min 30 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


# Reading and small help


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON-lines file; none where there is no such file."""
    if not path.is_file():
        return []
    # Not splitlines(): texts may hold characters that it takes for line ends and JSON does not.
    lines = path.read_text(encoding="utf-8", errors="replace").rstrip("\n").split("\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                break  # a killed run may leave half a line
            raise InputError(f"{path}, row {number}: is not valid JSON ({error}); the file is damaged.") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, row {number}: expected a JSON object; the file was not written by a run.")
        rows.append(row)
    return rows


def _number(value: Any) -> float | None:
    """The value as a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _settings(value: Any) -> list[tuple[str, str]]:
    settings = sorted(_mapping(value).items())
    return [(str(name), item if isinstance(item, str) else json.dumps(item, default=str)) for name, item in settings]


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT].rstrip() + " …"


def _cell(rows: Iterable[Mapping]) -> dict[str, Any]:
    """Samples of one class at one time, the topic apart from what the writer added to it."""
    entries, queries = [], None
    for row in rows:
        topic, text = str(row.get("topic") or ""), str(row["text"])
        opening = topic if topic and text.startswith(topic) else ""
        told = [
            (name, text_of(value))
            for name, key, text_of in (("teacher says", "predicted", str), ("reward", "reward", _two_digits))
            if (value := row.get(key)) is not None
        ]
        entries.append({"topic": opening, "rest": _short(text[len(opening) :]), "told": told})
        queries = _number(row.get("queries"))
    return {"when": f"after {queries:,.0f} queries" if queries is not None else "", "samples": entries}


def _two_digits(value: Any) -> str:
    number = _number(value)
    return "–" if number is None else f"{number:.2f}"
