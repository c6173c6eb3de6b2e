"""The tables that end a command, printed from its summary alone."""

import math
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from distill.common.terminal import one_line, open_terminal, printable

HEALTH_PAGE = "docs/how-to/when-a-run-fails.md"

MATTHEWS = ("matthews_correlation", "Matthews", "{:.3f}")

OTHER_KINDS: list[tuple[str, str, str]] = [
    ("micro_f1", "micro-F1", "{:.3f}"),
    ("subset_accuracy", "all labels", "{:.1%}"),
    ("pearson", "Pearson", "{:.3f}"),
    ("spearman", "Spearman", "{:.3f}"),
    ("mse", "sq. error", "{:.3g}"),
    ("entity_f1", "entity F1", "{:.3f}"),
    ("token_accuracy", "words right", "{:.1%}"),
]
"""Metrics of classifiers whose answer is no single class."""

COLUMNS: list[tuple[str, str, str]] = [
    ("accuracy", "accuracy", "{:.1%}"),
    MATTHEWS,
    *OTHER_KINDS,
    ("agreement", "agreement", "{:.1%}"),
    ("macro_f1", "macro-F1", "{:.3f}"),
    ("queries", "queries", "{:,}"),
    ("seconds", "seconds", "{:.0f}"),
    ("bytes", "size", "{:.1f} MB"),
    ("texts_per_second", "texts/s", "{:,.0f}"),
]


STUDENT_COLUMNS: list[tuple[str, str, str]] = [
    ("held_out_agreement", "agreement", "{:.1%}"),
    ("held_out_kappa", "kappa", "{:.2f}"),
    ("accuracy", "accuracy", "{:.1%}"),
    MATTHEWS,
    *(column for column in OTHER_KINDS if column[0] in ("micro_f1", "pearson", "entity_f1")),
    ("selected_update", "update", "{:,}"),
    ("bytes", "size", "{:.1f} MB"),
    ("texts_per_second", "texts/s", "{:,.0f}"),
]


def print_summary(summary: dict[str, Any], folder: str) -> None:
    """Print one row per model of a run."""
    _print_table("learnt from", COLUMNS, {"(teacher)": summary["teacher"], **summary["students"]})
    print_line(
        f"\nTeacher queries: {summary['teacher_queries']:,} for each student{_spent(summary)}. Report: {folder}/report.html"
    )


def print_students(summary: dict[str, Any], folder: str) -> None:
    """Print one row per student that `prompter distill` made."""
    _print_table("student", STUDENT_COLUMNS, summary["students"])
    print_line(f"\nTexts: {summary['texts']:,}; teacher queries: {summary['teacher_queries']:,}{_spent(summary)}. In {folder}")


def _spent(summary: dict[str, Any]) -> str:
    """Return what the teacher cost, where its price is known."""
    if "money_spent" not in summary:
        return ""
    return f"; spent {summary['money_spent']:,.2f} on {summary['teacher_calls']:,} texts really asked"


PROGRAM_COLUMNS: list[tuple[str, str, str]] = [
    ("agreement", "agreement", "{:.1%}"),
    ("largest_logit_difference", "logit off by", "{:.1g}"),
    ("bytes", "size", "{:.1f} MB"),
    ("milliseconds", "ms a text", "{:.2f}"),
    ("milliseconds_pytorch", "PyTorch", "{:.2f}"),
    ("times_faster", "faster", "{:.1f}x"),
]


MODEL_COLUMNS: list[tuple[str, str, str]] = [
    ("parameters", "parameters", "{:,}"),
    ("bytes", "size", "{:.1f} MB"),
    ("milliseconds", "ms a text", "{:.2f}"),
]


def print_compressed(models: dict[str, dict[str, Any]]) -> None:
    """Print a row each for the teacher, its student, and the student's programs."""
    print_line("")
    _print_table("model", MODEL_COLUMNS, models)
    print_line("")


def print_programs(programs: dict[str, dict[str, Any]]) -> None:
    """Print one row per format that a student was converted to; nothing where there is none."""
    if not programs:
        return
    print_line("")
    _print_table("format", PROGRAM_COLUMNS, programs)
    for name in dict.fromkeys(f"{program['texts']:,} {program['texts_from']}" for program in programs.values()):
        print_line(f"\nAgreement with the student in PyTorch, on {name}.")


def print_health(summary: dict[str, Any]) -> int:
    """Print what a run found wrong with itself, and return the exit status: 3 if its student is worthless, else 0."""
    from eval.classifiers.health import WORTHLESS, line  # imports torch, which --help does without

    found = summary.get("health", {})  # a run of an older version has none
    for finding in found.get("findings", []):
        print_line(f"\nHealth {one_line(line(finding))}")
    if found.get("findings"):
        print_line(f"\nWhat the codes mean: {HEALTH_PAGE}")
    return 3 if WORTHLESS in found.get("codes", []) else 0


FORMS = {
    **{name: form for name, _, form in OTHER_KINDS},
    **dict.fromkeys(("macro_f1", "matthews_correlation", "expected_calibration_error", "kl"), "{:.3f}"),
    "squared_distance": "{:.3g}",
}
"""How metrics of `prompter evaluate` are written that are no percentages."""

TITLES = {
    "macro_f1": "macro-F1",
    "matthews_correlation": "Matthews",
    "expected_calibration_error": "calibration error",
    "kl": "KL to teacher",
    **{name: title for name, title, _ in OTHER_KINDS},
    "subset_accuracy": "all labels right",
    "mse": "squared error",
    "squared_distance": "squared distance",
}


def print_evaluation(result: dict[str, Any]) -> None:
    """Print one column per model, the teacher first, and below it the tests between students and the notes."""
    task, models, console = result["task"], result["models"], open_terminal()
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column(Text(f"{one_line(task['name'])}\n{task['rows']:,} rows"), overflow="fold")
    for model in models:
        role = "\n(teacher)" if model["role"] == "teacher" else ""
        table.add_column(Text(one_line(model["model"]) + role), justify="right", overflow="fold")
    for name in dict.fromkeys(name for model in models for name in model["metrics"]):
        values = [_with_interval(model["metrics"].get(name), name) for model in models]
        table.add_row(Text(one_line(TITLES.get(name, name))), *values)
    for title, cells in _cost(models).items():
        if any(cells):
            table.add_row(title, *cells)
    console.print(table)
    console.line()
    if "constant" in result:
        print_line(_constant(result["constant"]))
    for test in result["pairs"]:
        print_line(_test(test))
    _print_coverage(task["name"], {model["model"]: model["coverage"] for model in models if model.get("coverage")})
    for model in models:  # a figure goes nowhere without what it was calibrated on
        if model.get("calibration"):
            print_line(f"{model['model']} was calibrated on {_origin(model['calibration'])}.")
    for note in result["notes"]:
        print_line(f"Note: {note}")


def _constant(found: dict[str, Any]) -> str:
    """Return the scores of the answer that needs no reading, which a model has to beat."""
    scores = [f"{TITLES.get(name, name)} {_form(name).format(value)}" for name, value in found["metrics"].items()]
    return f"Without reading, {found['answer']}: {', '.join(scores)}."


def _test(test: dict[str, Any]) -> str:
    """Return the test of two students in words."""
    both = f"{test['first']} against {test['second']}"
    if "p" in test:
        return (
            f"{both}: {test['first_only']:,} rows only the first has right, {test['second_only']:,} only the second; "
            f"McNemar p = {test['p']:.2g}."
        )
    name = test["metric"]
    difference, low, high = (f"{100 * test[key]:+.1f}" for key in ("difference", "low", "high"))
    return f"{both}: {difference} points of {TITLES.get(name, name)}, between {low} and {high} at 95 %."


def print_calibration(result: dict[str, Any]) -> None:
    """Print how students were calibrated: a table of coverage, and how sure each has to be."""
    _print_coverage(f"{result['texts']:,} texts", {name: found["coverage"] for name, found in result["calibrated"].items()})
    for name, found in result["calibrated"].items():
        c = found["calibration"]
        threshold = "no threshold reached" if c["threshold"] is None else f"sure from {c['threshold']:.3f} on:"
        print_line(f"{name}: {threshold} {c['rate']:.1%} agreement at {c['confidence']:.0%} confidence. In its config.json.")


def _origin(calibration: dict[str, Any]) -> str:
    found = f"{calibration['texts']:,} {calibration['on']}"
    if calibration["threshold"] is None:
        return f"{found}: no threshold reached {calibration['rate']:.1%} agreement"
    return f"{found} to agree in {calibration['rate']:.1%} from {calibration['threshold']:.3f} on"


def _print_coverage(title: str, students: dict[str, dict[str, Any]]) -> None:
    """Print the agreement with the teacher on the surest texts, a row per share and for the calibrated threshold."""
    if not students:
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column(Text(f"agreement on the\nsurest of {one_line(title)}"), overflow="fold")
    for name in students:
        table.add_column(Text(one_line(name)), justify="right", overflow="fold")
    for rows in zip(*(found["surest"] for found in students.values()), strict=True):
        table.add_row(f"{rows[0]['coverage']:.0%}", *(f"{row['agreement']:.1%}" for row in rows))
    if any(found["sure"] for found in students.values()):
        table.add_row("where it is sure", *(_sure(found["sure"]) for found in students.values()))
    open_terminal().line()
    open_terminal().print(table)


def _sure(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    return f"of {found['coverage']:.0%}: {found['agreement']:.1%}" if found["agreement"] is not None else "of 0%"


def _with_interval(metric: dict[str, float] | None, name: str) -> str:
    """Return a value and the ends of its interval: `95.3% 93.9–96.5`."""
    if metric is None:
        return ""
    if math.isnan(metric["value"]):  # such as a share of a teacher's score of 0
        return "–"
    form = _form(name)
    if math.isnan(metric["low"]):
        return form.format(metric["value"])
    return f"{form.format(metric['value'])} {form.format(metric['low']).rstrip('%')}–{form.format(metric['high']).rstrip('%')}"


def _form(name: str) -> str:
    return FORMS.get(name, "{:.3f}" if name.startswith("hub:") else "{:.1%}")


def _cost(models: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return rows of what models cost. A cell is empty where a model has no such value."""
    speeds = [model["texts_per_second"] or {} for model in models]
    return {
        "parameters": [f"{m['parameters']:,}" if m["parameters"] else "" for m in models],
        "size": [f"{m['bytes'] / 1e6:.1f} MB" if m["bytes"] else "" for m in models],
        "latency": [f"{m['milliseconds']:.1f} ms" if m["milliseconds"] else "" for m in models],
        "texts/s by 1": [f"{speed['1']:,.0f}" if speed else "" for speed in speeds],
        "texts/s by 32": [f"{speed['32']:,.0f}" if speed else "" for speed in speeds],
    }


def _print_table(name: str, columns: list[tuple[str, str, str]], rows: dict[str, dict[str, Any]]) -> None:
    """Print a row per model. A cell is empty where a model has no such value; a column that would be empty is left out."""
    columns = [column for column in columns if any(row.get(column[0]) is not None for row in rows.values())]
    # Eight columns of numbers and the longest name have to fit a terminal of 80 characters.
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column(name, overflow="fold")
    for _, title, _ in columns:
        table.add_column(title, justify="right", overflow="fold")  # a number without its end would be another number
    for row, values in rows.items():
        table.add_row(Text(one_line(row)), *(_cell(values, key, form) for key, _, form in columns))
    open_terminal().print(table)


def print_line(line: str) -> None:
    """Print a line that holds names of files and models, which are no markup."""
    open_terminal().print(printable(line), highlight=False, markup=False)


def _cell(values: dict[str, Any], key: str, form: str) -> str:
    if values.get(key) is None:
        return ""
    return form.format(values[key] / 1e6 if key == "bytes" else values[key])
