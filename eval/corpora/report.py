"""The table and the page of `prompter evaluate-data`, made from the metrics of `eval.corpora.quality` alone.

Texts, topics and class names come from a model or a stranger's dataset. The template escapes them; the terminal shows them
without markup and without control characters.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from distill.common.terminal import printable
from eval.report.charts import Series, bar_chart, histogram_chart, line_chart, percent, percent_mark
from eval.report.page import page

MAX_BARS = 20
MAX_TEXT = 400
SHOWN_CLASSES = 6
"""Classes that the table counts one by one; the page shows more."""

Row = tuple[str, str, str]
"""Name, value for the corpus, value for the reference."""


def print_results(results: Mapping[str, Any]) -> None:
    """Print the tables, and the alarms at the end, where nobody overlooks them."""
    console = Console()
    width = min(80, console.width)
    theirs = results["reference"]
    table = _table(["the corpus by itself", "corpus", *(["reference"] if theirs is not None else [])], width)
    for name, mine, other in own_rows(results):
        table.add_row(Text(printable(name)), Text(printable(mine)), *([Text(printable(other))] if theirs is not None else []))
    console.print(table)
    if results["comparison"] is not None:
        table = _table(["against the reference", ""], width)
        for name, value in comparison_rows(results["comparison"]):
            table.add_row(Text(printable(name)), Text(printable(value)))
        console.print()
        console.print(table)
    if results["missing"]:
        console.print()
    for name, remedy in results["missing"].items():
        console.print(Text(printable(f"Not measured: {name}; {remedy}.")), width=width)
    for alarm in results["alarms"]:
        shown = Text(printable(alarm), style="bold red")
        console.print(Panel(shown, title="WARNING", border_style="bold red", box=box.HEAVY, width=width))


def _table(columns: Sequence[str], width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), width=width)
    table.add_column(columns[0], overflow="fold", ratio=1)
    # Long names of classes are folded, not the names of the metrics, most of which have at most 32 characters.
    most = max((width - 36) // (len(columns) - 1), width // 4)
    for column in columns[1:]:
        table.add_column(column, justify="right", overflow="fold", max_width=most)
    return table


def own_rows(results: Mapping[str, Any]) -> list[Row]:
    """Return the metrics of the corpus by itself, beside those of the reference."""
    mine, theirs = results["corpus"], results["reference"]

    def row(name: str, key: str, shown: Callable[[Any], str]) -> Iterator[Row]:
        if key in mine:
            yield name, shown(mine[key]), shown(theirs[key]) if theirs is not None and key in theirs else ""

    def types_in_first(metrics: Mapping[str, Any], count: str) -> str:
        found = metrics["vocabulary"]["types_in_first"].get(count)
        return "" if found is None else f"{found:,}"

    def distincts(metrics: Mapping[str, Any]) -> str:
        return " / ".join(decimal(metrics[n], 3) for n in "123")

    rows: list[Row] = [*row("texts", "texts", "{:,}".format)]
    if results["rows"] != mine["texts"] or theirs is not None:
        rows.append(("  of rows", f"{results['rows']:,}", f"{theirs['rows']:,}" if theirs is not None else ""))
    rows += row("words, median (5 to 95 %)", "words", _middle)
    rows += row("distinct-1 / 2 / 3", "distinct", distincts)
    if "distinct_at_equal_words" in mine:
        count = mine["distinct_at_equal_words"]["words"]
        rows += row(f"  over {count:,} words", "distinct_at_equal_words", distincts)
    bleu = mine["self_bleu"]["texts"]
    rows += row(f"self-BLEU (0-100) of {bleu:,} texts", "self_bleu",
                lambda f: f"{decimal(f['mean'], 1)} ± {decimal(f['standard_error'], 1)}")  # fmt: skip
    rows += row("near-duplicates", "near_duplicates", lambda f: percent(f["share"]))
    rows += row("different words", "vocabulary", lambda f: f"{f['types']:,} of {f['tokens']:,}")
    for count in mine["vocabulary"]["types_in_first"]:
        both = [types_in_first(side, count) if side is not None else "" for side in (mine, theirs)]
        rows.append((f"  among the first {int(count):,}", both[0], both[1]))
    if "classes" in mine:
        counts = list(mine["classes"]["counts"].items())
        shown = [f"{label}: {count:,}" for label, count in counts[:SHOWN_CLASSES]]
        more = [f"and {len(counts) - SHOWN_CLASSES} more"] if len(counts) > SHOWN_CLASSES else []
        rows.append((f"classes ({mine['classes']['of'].removeprefix('the ')})", "\n".join([*shown, *more]), ""))
        rows += row("  entropy (share of the maximum)", "classes", _entropy)
    rows += row("teacher's confidence, mean", "confidence", lambda f: share(f["mean"]))
    rows += row("  0.9 or more", "confidence", lambda f: share(f["sure"]))
    rows += row("teacher's numbers, mean", "scores", lambda f: f"{f['mean']:.2f}")
    if "perplexity" in mine:
        rows += row(f"perplexity of {mine['perplexity']['of']}", "perplexity",
                    lambda f: f"{decimal(f['perplexity'], 2)}, median {decimal(f['median'], 2)}")  # fmt: skip
    rows += row("distinct topics", "topics", lambda f: f"{f['distinct']:,}")
    rows += row("  entropy (share of the maximum)", "topics", _entropy)
    return rows


def comparison_rows(comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the metrics of the comparison as (name, value)."""
    vocabulary, verbatim = comparison["vocabulary"], comparison["verbatim"]
    rows = [
        ("shared vocabulary (Jaccard)", share(vocabulary["jaccard"])),
        ("reference words that the corpus uses", share(vocabulary["reference_covered"])),
        ("corpus words that the reference uses", share(vocabulary["corpus_covered"])),
    ]
    if (embedding := comparison["embedding"]) is not None:
        where = f"{embedding['space']}, {embedding['texts']:,} texts of each"
        rows.append((f"precision / recall ({where})", f"{share(embedding['precision'])} / {share(embedding['recall'])}"))
        if (real := embedding["real"]) is not None:
            rows.append(("  other texts of the reference", f"{share(real['precision'])} / {share(real['recall'])}"))
    if (classifier := comparison["classifier"]) is not None:
        rows.append(
            (
                f"accuracy of a classifier between them, {classifier['held_out']:,} texts",
                f"{share(classifier['accuracy'])} (p {p_value(classifier['p_value'])})",
            )
        )
    longest = verbatim["longest"]["quantiles"]
    rows.append(("longest shared run of words, median / maximum", f"{longest['50']:.0f} / {longest['100']:.0f} words"))
    for length, found in verbatim["share"].items():
        chance = share(verbatim["by_chance"]["share"][length])
        rows.append((f"  {length} words or more (between halves of the reference)", f"{share(found)} ({chance})"))
    rows.append(("exact copies of a reference text", share(verbatim["copies"]) + (" COPIED" if verbatim["alarm"] else "")))
    return rows


def render_corpus(results: Mapping[str, Any]) -> str:
    """Return the page as text."""
    comparison = results["comparison"]
    return page(
        "corpus.html.j2",
        title=results["data"],
        alarms=results["alarms"],
        summary=corpus_summary(results),
        reference=results["reference"],
        rows=own_rows(results),
        comparison=comparison_rows(comparison) if comparison is not None else [],
        charts=charts(results),
        examples=[] if comparison is None else [_example(example) for example in comparison["verbatim"]["examples"]],
        missing=results["missing"],
        marked=results["marked"],
        facts=_facts(results),
        versions=sorted(results["versions"].items()),
    )


def corpus_summary(results: Mapping[str, Any]) -> str:
    """Summarise what was measured in one or two sentences."""
    mine, comparison = results["corpus"], results["comparison"]
    parts = [
        f"{mine['texts']:,} texts with {mine['vocabulary']['types']:,} different words; "
        f"{percent(mine['near_duplicates']['share'])} repeat an earlier text"
    ]
    if comparison is not None:
        if (classifier := comparison["classifier"]) is not None:
            accuracy = share(classifier["accuracy"])
            parts.append(f"a classifier between them and the reference is right {accuracy} of the time (chance: 50 %)")
        length, found = list(comparison["verbatim"]["share"].items())[-1]
        parts.append(f"{share(found)} share {length} or more words in a row with a reference text")
    return "; ".join(parts) + "."


def charts(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the charts that have data, as `title`, `note` and `svg`."""
    mine, theirs, comparison = results["corpus"], results["reference"], results["comparison"]
    sides = {"corpus": mine} | ({"reference": theirs} if theirs is not None else {})

    def shares(key: str) -> dict[str, list[float]]:
        found = {name: side[key]["histogram"]["counts"] for name, side in sides.items() if "histogram" in side.get(key, {})}
        return {name: [count / max(1, sum(counts)) for count in counts] for name, counts in found.items()}

    drawn: list[tuple[str, str, Markup]] = [
        (
            "Length", "The last bar also holds all longer texts.",
            histogram_chart("Length of the texts", mine["words"]["histogram"]["edges"], shares("words"),
                      x_label="words per text", y_label="share of the texts"),
        ),
        (
            "Vocabulary", "Texts in random order; a steeper curve is a richer vocabulary.",
            line_chart("Growth of the vocabulary", [Series(name, side["vocabulary"]["curve"]) for name, side in sides.items()],
                       x_label="words read", y_label="different words so far", from_zero=True),
        ),
    ]  # fmt: skip
    if comparison is not None:
        verbatim, halves = comparison["verbatim"], "between halves of the reference"
        lines = [Series("corpus", verbatim["curve"]), Series(halves, verbatim["by_chance"]["curve"])]
        drawn.append((
            "Verbatim overlap", "Share of texts that have a run of this many words in common with a reference text.",
            line_chart("Verbatim overlap with the reference", lines, x_label="length of the run (words)",
                       y_label="share of texts with such a run", y_format=percent_mark, from_zero=True),
        ))  # fmt: skip
    if "classes" in mine:
        counts = list(mine["classes"]["counts"].items())
        part = f" The first {MAX_BARS} of {len(counts):,}." if len(counts) > MAX_BARS else ""
        drawn.append((
            "Classes", f"By {mine['classes']['of']}.{part}",
            bar_chart("Balance of the classes", counts[:MAX_BARS], x_label="texts", y_label="class",
                      x_format="{:,.0f}".format),
        ))  # fmt: skip
    if "confidence" in mine:
        drawn.append((
            "Teacher's confidence", "Its largest probability for each text.",
            histogram_chart("Teacher's confidence", mine["confidence"]["histogram"]["edges"], shares("confidence"),
                      x_label="confidence (probability)", y_label="share of the texts"),
        ))  # fmt: skip
    if "histogram" in mine.get("perplexity", {}):
        drawn.append((
            "Likelihood", f"Of {mine['perplexity']['of']}; perplexity is exp of minus this.",
            histogram_chart("Likelihood of the texts", mine["perplexity"]["histogram"]["edges"], shares("perplexity"),
                      x_label="mean log-probability (nats/token)", y_label="share of the texts"),
        ))  # fmt: skip
    return [{"title": title, "note": note, "svg": svg} for title, note, svg in drawn if svg]


def share(value: float | None) -> str:
    """Format a share in percent; "–" if it is unknown."""
    return "–" if value is None or math.isnan(value) else percent(value)


def decimal(value: float | None, digits: int) -> str:
    """Format a number with `digits` decimals; "–" if it is unknown."""
    return "–" if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def p_value(value: float) -> str:
    """Format a p-value; a very small one is given as a bound.

    Examples:
        >>> p_value(0.032), p_value(1e-30)
        ('= 0.032', '< 1e-06')
    """
    return f"= {value:.2g}" if value >= 1e-6 else "< 1e-06"


def _middle(metrics: Mapping[str, Any]) -> str:
    quantiles = metrics["quantiles"]
    return f"{quantiles['50']:.0f} ({quantiles['5']:.0f} to {quantiles['95']:.0f})"


def _entropy(metrics: Mapping[str, Any]) -> str:
    return f"{decimal(metrics['entropy'], 2)} nats ({share(metrics['normalised'])})"


def _facts(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    theirs, comparison = results["reference"], results["comparison"]
    embedding = comparison and comparison["embedding"]
    facts = [
        ("Corpus", results["data"]),
        ("Reference", theirs["name"] if theirs is not None else "none"),
        ("Embeddings", embedding["space"] if embedding else "none"),
        ("Teacher queries", f"{results['teacher_queries']:,}"),
        ("Seed", str(results["seed"])),
    ]
    return [(name, str(value)) for name, value in facts]


def _example(example: Mapping[str, Any]) -> dict[str, Any]:
    """Return an example with its texts cut to a readable length."""
    texts = {key: example[key] for key in ("run", "text", "reference")}
    return {**example, **{key: text[:MAX_TEXT] + (" …" if len(text) > MAX_TEXT else "") for key, text in texts.items()}}
