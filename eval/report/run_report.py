"""The report of a run: one page, written from the files of its folder alone.

It reads `summary.json` (the result), `metrics.jsonl` (one row per rollout), `samples.jsonl` (a few texts per rollout),
`disagreement.json` (where teacher and student differ) and, for the settings of an unfinished run, `config.yaml`. Every file
and every value may be missing: without labelled data there is no accuracy, and a stopped run has no summary. The page
then shows what exists and says what is unknown.

Sample texts come from a language model and are treated as hostile: the template escapes everything.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distill.checkpoints.checksums import faults
from distill.common.errors import InputError
from distill.common.files import LARGEST_LOG, read_bounded, read_json, read_yaml, write_text
from eval.report.charts import percent
from eval.report.curves import curves
from eval.report.page import page
from eval.report.scores import SCORES
from eval.report.tables import budget, confusion, headline, prompt_table, settings_table, time_split, topic_table
from eval.report.texts import before_and_after, most_apart, origin
from eval.report.values import duration, mapping, number, rows, short, whole

LOGGER = logging.getLogger("prompter")

NEEDED = ("summary.json", "metrics.jsonl", "samples.jsonl")
MAX_FACT = 200
MAX_WORDS = 1000


@dataclass
class Record:
    """The files of a run, as read.

    Attributes:
        title: Name of the run.
        summary: Content of `summary.json`; {} for an unfinished run.
        metrics: Rows of `metrics.jsonl`.
        samples: Rows of `samples.jsonl`.
        apart: Content of `disagreement.json`; {} if the file is missing.
        health: The health of the run, from `summary.json`, or from `health.json` if its pilot stopped it; {} if unknown.
        config: Settings.
    """

    title: str
    summary: Mapping[str, Any] = field(default_factory=dict)
    metrics: Sequence[Mapping] = ()
    samples: Sequence[Mapping] = ()
    apart: Mapping[str, Any] = field(default_factory=dict)
    health: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


def write_report(run_dir: str | Path) -> Path:
    """Write `report.html` into a run folder.

    Args:
        run_dir: Folder with any of `summary.json`, `metrics.jsonl` and `samples.jsonl`.

    Returns:
        Path of the page. The same files always give the same bytes.

    Raises:
        InputError: The folder does not exist, it holds none of these files, a file is damaged, or the page cannot be
            written. A last line that a killed run cut off is not an error.
    """
    folder = Path(run_dir)
    write_text(folder / "report.html", render_run(read_record(folder)))
    return folder / "report.html"


def render_run(record: Record) -> str:
    """Return the page as text."""
    summary = record.summary
    return page(
        "report.html.j2",
        title=short(record.title, MAX_FACT),
        task=short(summary.get("task") or record.config.get("eval_data") or record.title, MAX_FACT),
        origin=origin(record.config),
        facts=_facts(record),
        health=health_rows(record.health),
        outcome=run_outcome(summary, record.metrics),
        table=headline(summary),
        charts=curves(summary, record.metrics, record.apart),
        confusion=confusion(record.apart, str(summary.get("kind", ""))),
        compared=_compared(record.apart),
        apart=most_apart(record.apart),
        pairs=before_and_after(record.samples),
        prompts=prompt_table(summary),
        topics=topic_table(record.samples),
        sampled=len(record.samples),
        budget=budget(summary),
        time=time_split(summary),
        config=settings_table(record.config),
        versions=settings_table(summary.get("versions")),
    )


# Content of the page


def run_outcome(summary: Mapping[str, Any], metrics: Sequence[Mapping]) -> str:
    """Summarise the result of the run in one sentence, from measured values only."""
    students = mapping(summary.get("students"))
    prompted = mapping(students.get("prompted"))
    accuracy = number(prompted.get("accuracy"))
    queries = number(summary.get("teacher_queries")) or number(prompted.get("queries"))
    spent = f"With {whole(queries)} teacher queries and no training data" if queries else "Without training data"
    if not summary:
        last = _last(metrics, "queries")
        so_far = f"; this page shows it after {whole(last)} teacher queries" if last else ""
        return f"This run is not finished and has no result yet{so_far}."
    metric = summary.get("metric")
    if isinstance(metric, str) and metric in SCORES and (value := number(prompted.get(metric))) is not None:
        return f"{spent}, the prompted student reaches {_by_metric(summary, metric, value)}"
    if accuracy is None:
        agreement, where = number(prompted.get("agreement")), "on the evaluation texts"
        if agreement is None:
            agreement, where = _last(metrics, "agreement"), "on the last texts written for it"
        if agreement is None:
            return f"{spent}, a student was distilled; no labelled data was given, so its accuracy is unknown."
        return (
            f"{spent}, the student agrees with its teacher on {percent(agreement)} {where}; "
            "no labelled data was given, so its accuracy is unknown."
        )
    sentence = f"{spent}, the prompted student reaches {percent(accuracy)} accuracy"
    compared = []
    unprompted = number(mapping(students.get("unprompted")).get("accuracy"))
    if unprompted is not None:
        difference = 100 * (accuracy - unprompted)
        side = "above" if difference >= 0 else "below"
        compared.append(f"{abs(difference):.1f} points {side} the same student on unprompted text")
    real = number(mapping(students.get("real")).get("accuracy"))
    if real:
        compared.append(f"{percent(accuracy / real)} of the accuracy that the real training text gives it ({percent(real)})")
    if compared:
        sentence += ": " + " and ".join(compared)
    teacher = number(mapping(summary.get("teacher")).get("accuracy"))
    return sentence + (f"; its teacher has {percent(teacher)}." if teacher is not None else ".")


def _by_metric(summary: Mapping[str, Any], metric: str, value: float) -> str:
    """Return the end of that sentence where another metric than the accuracy is what results are compared by."""
    models, shown = {"its teacher has": summary.get("teacher")}, SCORES[metric]
    for name, words in (("unprompted", "unprompted text gives the same student"), ("real", "real training text gives it")):
        models[words] = mapping(summary.get("students")).get(name)
    found = {words: number(mapping(model).get(metric)) for words, model in models.items()}
    others = [f"{words} {shown.text(other)}" for words, other in found.items() if other is not None]
    without = f" ({shown.without})" if shown.without else ""
    return f"{shown.words} of {shown.text(value)}{without}" + "".join(f"; {other}" for other in others) + "."


def health_rows(health: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the findings about a run as text: `code`, `name`, `words` and `advice`."""
    keys = ("code", "name", "words", "advice")
    return [{key: short(found.get(key, ""), MAX_WORDS) for key in keys} for found in rows(health.get("findings"))]


def _facts(record: Record) -> list[tuple[str, str]]:
    """Return what was run, as (name, value) pairs."""
    summary, config = record.summary, record.config
    labels = summary.get("labels")
    spent = number(summary.get("teacher_queries")) or _last(record.metrics, "queries")
    allowed, seconds = number(config.get("budget")), number(summary.get("seconds"))
    of = f" of {whole(allowed)}" if allowed else ""
    facts = [
        ("Classes", ", ".join(short(label) for label in labels) if isinstance(labels, list) else None),
        ("Teacher", mapping(summary.get("teacher")).get("name") or config.get("teacher")),
        ("Writer", config.get("generator")),
        ("Student", config.get("student")),
        ("Algorithm", config.get("algorithm")),
        ("Teacher queries", whole(spent) + of if spent is not None else None),
        ("Rollouts", whole(len(record.metrics)) if record.metrics else None),
        ("Time", duration(seconds) if seconds is not None else None),
        ("Kappa of student and teacher", _kappa(record.health)),
        ("Seed", summary.get("seed", config.get("seed"))),
    ]
    return [(name, short(value, MAX_FACT)) for name, value in facts if value not in (None, "")]


def _kappa(health: Mapping[str, Any]) -> str | None:
    """Return the student's agreement beyond chance, and on which texts; None if it is unknown."""
    found = mapping(mapping(health.get("agreement")).get("prompted"))
    kappa = number(found.get("kappa"))
    return None if kappa is None else f"{kappa:.2f} ({found.get('on')})"


def _compared(apart: Mapping[str, Any]) -> dict[str, str]:
    """Say on which texts teacher and student were compared, and where the texts on the page come from."""
    texts, held = (whole(number(apart.get(key)) or 0) for key in ("texts", "held"))
    if apart.get("source") == "evaluation":
        return {
            "where": f"Compared on the {texts} texts of the evaluation data that the teacher has answered.",
            "origin": "These texts come from the evaluation data: consider who may see this page.",
        }
    drawn = f"a random sample of {texts} of the {held} texts that the student learnt from"
    if texts == held:
        drawn = f"the {texts} texts that the student learnt from"
    return {
        "where": f"Compared on {drawn}, because no evaluation data was given; they differ more on other texts.",
        "origin": "These texts were written in this run.",
    }


def _last(metrics: Sequence[Mapping], key: str) -> float | None:
    """Return the last known value in a log."""
    return next((value for row in reversed(metrics) if (value := number(row.get(key))) is not None), None)


# Reading


def read_record(folder: Path) -> Record:
    """Read the files of a run.

    Raises:
        InputError: The folder does not exist, it holds none of the files of a run, or a file is damaged.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; give the folder of a run.")
    if not any((folder / name).is_file() for name in NEEDED):
        raise InputError(f"{folder}: holds none of {', '.join(NEEDED)}; give the folder of a run.")
    if found := faults(folder):
        LOGGER.warning("%s: %s; the report shows what the files hold now.", folder, ", ".join(found))
    summary = _read_object(folder / "summary.json")
    return Record(
        title=folder.resolve().name,
        summary=summary,
        metrics=_read_rows(folder / "metrics.jsonl"),
        samples=_read_rows(folder / "samples.jsonl"),
        apart=_read_object(folder / "disagreement.json"),
        health=mapping(summary.get("health")) or ({} if summary else _read_object(folder / "health.json")),
        config=mapping(summary.get("config")) or _read_settings(folder / "config.yaml"),
    )


def _read_object(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file; {} if the file does not exist."""
    content = read_json(path) if path.is_file() else {}
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object; the file was not written by a run.")
    return content


def _read_settings(path: Path) -> Mapping[str, Any]:
    """Return the content of a YAML file; {} if the file does not exist."""
    return read_yaml(path) if path.is_file() else {}


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON-lines file; none if the file does not exist."""
    if not path.is_file():
        return []
    try:
        # Not splitlines(): it also splits at characters that JSON allows inside a text.
        lines = read_bounded(path, LARGEST_LOG).decode("utf-8", errors="replace").rstrip("\n").split("\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check its permissions.") from error
    rows = []
    for count, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            if count == len(lines):
                break  # a killed run may leave half a line
            raise InputError(f"{path}, row {count}: is not valid JSON ({error}); the file is damaged.") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, row {count}: expected a JSON object; the file was not written by a run.")
        rows.append(row)
    return rows
