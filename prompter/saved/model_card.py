"""The model card of a saved prompter, and what both cards share: how text of a language model is put into Markdown.

The card is written from the run itself: settings, curves and samples. Sample texts are treated as hostile; nothing in
them can become markup. Cards name models as the user did, and no file of this machine.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from distill.common.files import read_json, write_text
from prompter.runtime.markdown import render
from prompter.saved.manifest import MANIFEST

MAX_TOPICS = 20
SAMPLE_TEXTS = 8

MARKS = "▁▂▃▄▅▆▇█"


def write_prompter_card(
    folder: Path, metrics: Sequence[Mapping[str, Any]], samples: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]
) -> None:
    """Write `README.md` into a prompter's folder.

    Args:
        folder: The folder `prompter` of a run.
        metrics: Rows of `metrics.jsonl`.
        samples: Rows of `samples.jsonl`.
        summary: Content of `summary.json`.

    Raises:
        InputError: It cannot be written.
    """
    write_text(folder / "README.md", render_prompter_card(read_json(folder / MANIFEST), metrics, samples, summary))


def render_prompter_card(
    manifest: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    samples: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
) -> str:
    """The card as text; the arguments are those of `write_card`, with the content of `prompter.json`."""
    header: dict[str, Any] = {"library_name": "peft" if manifest["adapter"] else "transformers"}
    if manifest.get("base_revision"):  # a hub takes no folder for a base model
        header["base_model"] = manifest["base"]
    header |= {"pipeline_tag": "text-generation", "tags": ["prompter", "synthetic-data", "knowledge-distillation"]}
    late = [row for row in samples if row["queries"] * 2 > samples[-1]["queries"]]
    return render(
        "prompter_card.md.j2",
        header=yaml.safe_dump(header, sort_keys=False, allow_unicode=True),
        m=manifest,
        rewards=reward_table(manifest, metrics),
        topics=[] if manifest["policy"]["writes"] == "text" else topic_table(late),
        late=len(late),
        texts=late[-SAMPLE_TEXTS:],
        student=summary.get("students", {}).get("prompted", {}),
        summary=summary,
    )


def reward_table(manifest: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Name, first, last and curve of the reward, its terms and what else the training summary holds."""
    training = manifest.get("training", {})
    first, last = training.get("first", {}), training.get("last", {})
    return [
        (name, f"{first[name]:.3f}", f"{last[name]:.3f}", curve([row[name] for row in metrics if name in row]))
        for name in first
    ]


def topic_table(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Topics of sample rows, the most frequent first, with how often they met the wanted class.

    Returns:
        Rows of `topic`, `count`, `hits` (share of samples whose answer is the wanted class) and `confidence` (mean reward
        term).
    """
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in samples:
        groups[row["topic"]].append(row)
    table = [
        {
            "topic": topic,
            "count": len(rows),
            "hits": sum(row["predicted"] == row["wanted"] for row in rows) / len(rows),
            "confidence": sum(row["confidence"] for row in rows) / len(rows),
        }
        for topic, rows in groups.items()
    ]
    return sorted(table, key=lambda row: (-row["count"], -row["confidence"], row["topic"]))[:MAX_TOPICS]


def curve(values: Sequence[float], width: int = 16) -> str:
    """Numbers as a line of block characters, the lowest as the lowest block.

    Examples:
        >>> curve([0, 1, 2, 3, 4, 5, 6, 7])
        '▁▂▃▄▅▆▇█'
    """
    if not values:
        return ""
    width = min(width, len(values))
    cuts = [round(i * len(values) / width) for i in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in zip(cuts, cuts[1:], strict=False)]
    low, high = min(means), max(means)
    if high == low:
        return MARKS[0] * width
    return "".join(MARKS[min(7, int((mean - low) / (high - low) * 8))] for mean in means)
