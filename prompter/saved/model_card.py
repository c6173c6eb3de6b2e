"""The model card of a saved prompter.

The run itself supplies the content: settings, metrics and samples. The card names models as the user named them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from distill.common.files import read_json, write_text
from prompter.generation.config import NOTHING
from prompter.runtime.markdown import render
from prompter.saved.manifest import PROMPTER_MANIFEST, finite
from prompter.saved.student_card import other_scores

MAX_TOPICS = 20
SAMPLE_TEXTS = 8

BLOCKS = "▁▂▃▄▅▆▇█"


def write_prompter_card(
    folder: Path, metrics: Sequence[Mapping[str, Any]], samples: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]
) -> None:
    """Write `README.md` into the folder of a prompter.

    Args:
        folder: The folder `prompter` of a run.
        metrics: Rows of `metrics.jsonl`.
        samples: Rows of `samples.jsonl`.
        summary: Content of `summary.json`.

    Raises:
        InputError: The file cannot be written.
    """
    manifest = read_json(folder / PROMPTER_MANIFEST)
    write_text(folder / "README.md", render_prompter_card(manifest, metrics, samples, summary))


def render_prompter_card(
    manifest: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    samples: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
) -> str:
    """Return the text of the card. See `write_prompter_card`; `manifest` is the content of `prompter.json`."""
    base = manifest["base"] if manifest.get("base_revision") else None  # only a model of the hub has a commit
    header = ModelCardData(
        library_name="peft" if manifest["adapter"] else "transformers",
        base_model=base,
        pipeline_tag="text-generation",
        tags=["prompter", "synthetic-data", "knowledge-distillation"],
    )
    if base:
        header["base_model_relation"] = "adapter" if manifest["adapter"] else "finetune"
    late = [row for row in samples if row["queries"] * 2 > samples[-1]["queries"]]
    return render(
        "prompter_card.md.j2",
        header,
        m=manifest,
        rewards=reward_table(manifest, metrics),
        topics=[] if manifest["policy"]["writes"] in ("text", NOTHING) else frequent_topics(late),
        late=len(late),
        texts=late[-SAMPLE_TEXTS:],
        student=student_scores(summary.get("students", {}).get("prompted", {})),
        findings=summary.get("health", {}).get("findings", []),
        summary=summary,
    )


def student_scores(metrics: Mapping[str, Any]) -> str:
    """Return the scores of the student of the same run in words; "" without evaluation data."""
    scores = [f"accuracy {100 * metrics['accuracy']:.1f} %"] if "accuracy" in metrics else []
    scores += [f"{score['name']} {score['text']}" for score in other_scores(metrics)]
    if scores and "agreement" in metrics:
        scores.append(f"agreement with the teacher {100 * metrics['agreement']:.1f} %")
    return ", ".join(scores)


def reward_table(manifest: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Return the name, first value, last value and curve of each metric in the training summary."""
    training = manifest.get("training", {})
    first, last = training.get("first", {}), training.get("last", {})
    return [(name, _shown(first[name]), _shown(last[name]), sparkline(finite(metrics, name))) for name in first]


def _shown(mean: float | None) -> str:
    return "–" if mean is None else f"{mean:.3f}"


def frequent_topics(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Count the topics of samples and how often the teacher answered the target class.

    Returns:
        The most frequent topics first, as rows of `topic`, `count`, `hits` (share of samples for which the teacher answered
        the target class) and `confidence` (mean of that reward term).
    """
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in samples:
        groups[row["topic"]].append(row)
    table = [
        {
            "topic": topic,
            "count": len(rows),
            "hits": sum(row["wanted"] in row.get("given", [row["predicted"]]) for row in rows) / len(rows),
            "confidence": sum(row["confidence"] for row in rows) / len(rows),
        }
        for topic, rows in groups.items()
    ]
    return sorted(table, key=lambda row: (-row["count"], -row["confidence"], row["topic"]))[:MAX_TOPICS]


def sparkline(values: Sequence[float], width: int = 16) -> str:
    """Draw numbers as a line of at most `width` block characters; the lowest number gets the lowest block.

    Examples:
        >>> sparkline([0, 1, 2, 3, 4, 5, 6, 7])
        '▁▂▃▄▅▆▇█'
    """
    if not values:
        return ""
    width = min(width, len(values))
    cuts = [round(i * len(values) / width) for i in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in zip(cuts, cuts[1:], strict=False)]
    low, high = min(means), max(means)
    if high == low:
        return BLOCKS[0] * width
    return "".join(BLOCKS[min(7, int((mean - low) / (high - low) * 8))] for mean in means)
