"""The card of an exported data set: what is in it, how good it is, how it was made, and what it must not be taken for.

Everything is computed from the shards and the recipe, in one pass that keeps counts only, so the same data set always gets the
same card.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from datasets import DatasetInfo, Features

from distill.common.files import write_text
from eval.corpora.words import words
from prompter.exporting.config import NO_TEACHER
from prompter.exporting.shards import features, read_rows
from prompter.runtime.markdown import render

SAMPLES_PER_CLASS = 3

SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M")]


@dataclass
class Figures:
    """Sums over the kept rows.

    Attributes:
        wanted: Rows asked for by class.
        met: Rows whose label is the wanted class, by wanted class.
        labels: Rows by label; by wanted class where there is no teacher.
        confidence: Sum of the teacher's confidence.
        logprob: Sum of the mean log-probabilities.
        words: Sum of the words.
        samples: The first few rows of each class.
    """

    targets: list[int]
    met: list[int]
    labels: list[int]
    confidence: float = 0.0
    logprob: float = 0.0
    words: int = 0
    samples: list[dict[str, Any]] = field(default_factory=list)


def figures(folder: Path, classes: int) -> Figures:
    """Read a data set once and add up."""
    sums = Figures([0] * classes, [0] * classes, [0] * classes)
    for row in read_rows(folder):
        if not row["keep"]:
            continue
        targets = row["wanted_label"]
        label = row.get("label", targets)
        if targets >= 0:  # a rewriter is asked for no class
            sums.targets[targets] += 1
            sums.met[targets] += label == targets
        sums.confidence += row.get("confidence") or 0.0
        sums.logprob += row["lm_logprob"]
        sums.words += len(words(row["text"]))
        if label < 0:
            continue
        if sums.labels[label] < SAMPLES_PER_CLASS:
            sums.samples.append(row)
        sums.labels[label] += 1
    return sums


def write_dataset_card(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Write `README.md` into a data set.

    Args:
        folder: The data set, with all its shards.
        recipe: What `recipe.yaml` will hold.

    Raises:
        InputError: It cannot be written.
    """
    labels: list[str] = recipe["prompter"]["labels"]
    result = recipe["result"]
    with_teacher = recipe["export"]["teacher"] != NO_TEACHER
    sums = figures(folder, len(labels))
    kept = max(1, result["kept"])
    page = render(
        "dataset_card.md.j2",
        header=yaml.safe_dump(
            header(folder, features(labels, with_teacher), result["rows"]), sort_keys=False, allow_unicode=True
        ),
        recipe=recipe,
        labels=labels,
        result=result,
        with_teacher=with_teacher,
        sums=sums,
        confidence=sums.confidence / kept,
        logprob=sums.logprob / kept,
        words=sums.words / kept,
        met=sum(sums.met) / kept,
        rewriter="rewriter" in recipe["prompter"],
    )
    write_text(folder / "README.md", page)


def header(folder: Path, columns: Features, rows: int) -> dict[str, Any]:
    """The YAML header, by which the hub and `datasets` know what they have before them.

    The sizes are not for decoration: `datasets` caches a local folder by its name and this header, so without them a second
    data set in another folder of the same name would be answered with the rows of the first.
    """
    files = sorted((folder / "data").glob("train-*.parquet"))
    uncompressed = sum(group["total_byte_size"] for file in files for group in pq.read_metadata(file).to_dict()["row_groups"])
    return {
        "tags": ["synthetic", "prompter", "knowledge-distillation"],
        "task_categories": ["text-classification"],
        "size_categories": [next((name for limit, name in SIZES if rows < limit), "n>10M")],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}],
        "dataset_info": {
            "features": DatasetInfo(features=columns)._to_yaml_dict()["features"],
            "splits": [{"name": "train", "num_bytes": uncompressed, "num_examples": rows}],
            "download_size": sum(file.stat().st_size for file in files),
            "dataset_size": uncompressed,
        },
    }
