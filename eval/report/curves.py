"""The curves of a report: which metrics of `metrics.jsonl` are drawn together, with a title and a note.

The horizontal axis is the number of teacher queries, which is what a run costs. Curves of runs with different rollout sizes
therefore share one scale. One chart is about the finished student instead: its agreement on the texts of which it is surest.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from eval.report.charts import Series, line_chart, percent_mark
from eval.report.scores import SCORES
from eval.report.values import mapping, number, rows, short

QUERIES = "teacher queries"
MAX_LINE_NAME = 36  # what fits above a chart


def curves(
    summary: Mapping[str, Any], metrics: Sequence[Mapping], apart: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return the charts that have data, as `title`, `note` and `svg`; `apart` is the content of `disagreement.json`."""

    def line(key: str, name: str) -> Series:
        points = [(number(row.get("queries")), number(row.get(key))) for row in metrics]
        return Series(short(name, MAX_LINE_NAME), [(x, y) for x, y in points if x is not None and y is not None])

    terms = sorted({key for row in metrics for key in row if key.startswith("reward/")})
    predictions = [
        line("confidence", "teacher's confidence"),
        line("agreement", "student agrees"),
        line("wanted_share", "target class"),
    ]
    scores = {key: [line(key, "student")] for key in ("accuracy", *SCORES)}
    for key, series in scores.items():
        series += _levels(summary, key) if series[0].points else []
    drawn: list[tuple[str, str, list[Series], str, dict[str, Any]]] = [
        ("Reward", "Mean per rollout of the weighted sum of the terms.", [line("reward", "reward")], "mean reward",
         {"from_zero": True}),
        ("Terms of the reward", "Means per rollout, before weighting.",
         [line(term, term.removeprefix("reward/")) for term in terms], "mean term (0 to 1)", {"from_zero": True}),
        ("Predictions for the texts just written", "The student predicts before it learns from them.", predictions,
         "share of the rollout", {"from_zero": True, "y_format": percent_mark}),
        ("Agreement beyond chance on the texts just written",
         "Cohen's kappa of teacher and student: 1 is full agreement, 0 is chance with the same class shares.",
         [line("kappa", "kappa")], "kappa", {"from_zero": True}),
        ("Disagreement on the texts just written",
         "Jensen-Shannon divergence of teacher and student: 0 if their predictions are equal, at most 1.",
         [line("reward/disagreement", "disagreement")], "divergence (bits)", {"from_zero": True}),
        ("Accuracy on the evaluation data", "Reported only, never used to select anything. Level lines: final values.",
         scores["accuracy"], "accuracy", {"y_format": percent_mark}),
        *(
            (f"{shown.name[0].upper()}{shown.name[1:]} on the evaluation data",
             "Reported only, never used to select anything." + f" {shown.without}.".capitalize() * bool(shown.without),
             scores[key], shown.name, {"from_zero": True})
            for key, shown in SCORES.items()
        ),
        ("Distinct topics", "It falls when the prompter repeats itself.", [line("distinct_topics", "distinct topics")],
         "share of the rollout", {"from_zero": True, "y_format": percent_mark}),
        ("Student's loss", "Distillation loss on the replay.", [line("student_loss", "student's loss")], "loss (nats)",
         {"from_zero": True}),
        ("Entropy of the prompter", "Entropy of its next-token distribution.", [line("entropy", "entropy")],
         "entropy (nats/token)", {"from_zero": True}),
        ("Distance from the untuned model", "KL divergence per topic token.", [line("kl", "KL")], "KL (nats/token)",
         {"from_zero": True}),
        ("Critic's loss", "Squared error of the expected reward, with clipping.", [line("critic_loss", "critic's loss")],
         "loss (squared reward)", {"from_zero": True}),
    ]  # fmt: skip
    charts = []
    for title, note, series, y_label, options in drawn:
        svg = line_chart(title, series, x_label=QUERIES, y_label=y_label, **options)
        if svg:
            charts.append({"title": title, "note": note, "svg": svg})
    return charts + _coverage(apart or {})


def _coverage(apart: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the chart of coverage against agreement on the evaluation texts; [] where it is not known."""
    found = [(number(row.get("coverage")), number(row.get("agreement"))) for row in rows(apart.get("coverage"))]
    points = [(100 * x, y) for x, y in found if x is not None and y is not None]
    title = "Agreement where the student is surest"
    svg = line_chart(
        title,
        [Series("agreement", points)],
        x_label="texts that it answers (%)",
        y_label="agreement with the teacher",
        y_format=percent_mark,
    )
    note = "On the evaluation texts, if the teacher is asked about all others."
    return [{"title": title, "note": note, "svg": svg}] if svg else []


def _levels(summary: Mapping[str, Any], metric: str) -> list[Series]:
    """Return the final values of a metric as levels to compare a curve with."""
    levels = []
    for name, metrics in {"teacher": summary.get("teacher"), **mapping(summary.get("students"))}.items():
        value = number(mapping(metrics).get(metric))
        if value is not None:
            shown = "prompted, at the end" if name == "prompted" else short(name, MAX_LINE_NAME)
            levels.append(Series(shown, [(0.0, value)], level=True))
    return levels
