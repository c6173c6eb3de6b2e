"""The card of an exported dataset: content, quality, how it was made, and its limits.

The card depends only on the shards and the recipe, so the same dataset always gets the same card. One pass over the shards
computes all numbers and keeps only sums in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets import DatasetInfo, Features
from huggingface_hub import DatasetCardData

from distill.common.files import write_text
from distill.kinds.found import kind_in
from distill.kinds.kind import Kind
from eval.corpora.words import words
from prompter.exporting.config import NO_TEACHER
from prompter.exporting.shards import ABOUT, CONFIDENCE, features, read_rows
from prompter.runtime.markdown import render

SAMPLES_PER_CLASS = 3

SIZES = {
    **{1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"},
    **{100_000_000: "10M<n<100M", 1_000_000_000: "100M<n<1B", 10_000_000_000: "1B<n<10B"},
}
"""Names of the hub for fewer rows than these."""


@dataclass
class KeptRows:
    """Sums over the kept rows.

    Attributes:
        targets: Rows by target.
        hits: Rows whose answer meets the target, by target.
        labels: Rows by what their answers meet, or by target if there is no teacher.
        confidence: Sum of the teacher's confidence.
        logprob: Sum of the mean log-probabilities.
        with_logprob: Rows that have one.
        words: Sum of the words.
        samples: The first `SAMPLES_PER_CLASS` rows of each entry of `labels`, with `said`, the answer in words.
    """

    targets: list[int]
    hits: list[int]
    labels: list[int]
    confidence: float = 0.0
    logprob: float = 0.0
    with_logprob: int = 0
    words: int = 0
    samples: list[dict[str, Any]] = field(default_factory=list)


def sum_kept_rows(folder: Path, labels: Sequence[str], kind: Kind | None) -> KeptRows:
    """Read a dataset once and sum over its kept rows, with answers of a kind, or without any."""
    sums = KeptRows([0] * len(labels), [0] * len(labels), [0] * len(labels))
    for row in read_rows(folder):
        if not row["keep"]:
            continue
        target = row["wanted_label"]
        given = kind.given(row) if kind else [target] if target >= 0 else []
        if target >= 0:  # a rewriter has no target
            sums.targets[target] += 1
            sums.hits[target] += target in given
        sums.confidence += row.get("confidence") or 0.0
        if row["lm_logprob"] is not None:
            sums.logprob += row["lm_logprob"]
            sums.with_logprob += 1
        sums.words += len(words(row["text"]))
        if any(sums.labels[label] < SAMPLES_PER_CLASS for label in given):
            sums.samples.append(row | ({"said": kind.said(row, labels)} if kind else {}))
        for label in given:
            sums.labels[label] += 1
    return sums


def write_dataset_card(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Write `README.md` into a dataset.

    Args:
        folder: The dataset with all its shards.
        recipe: The future content of `recipe.yaml`.

    Raises:
        InputError: The file cannot be written.
    """
    labels: list[str] = recipe["prompter"]["labels"]
    result = recipe["result"]
    with_teacher = recipe["export"]["teacher"] != NO_TEACHER
    kind = kind_in(recipe["prompter"])
    sums = sum_kept_rows(folder, labels, kind if with_teacher else None)
    kept = max(1, result["kept"])
    page = render(
        "dataset_card.md.j2",
        dataset_header(folder, features(labels, with_teacher, kind), result["rows"]),
        recipe=recipe,
        labels=labels,
        result=result,
        with_teacher=with_teacher,
        sums=sums,
        kind=kind,
        about=ABOUT | {"label": f"{ABOUT['label']}; -1 if its answer was unusable"},
        confidence=sums.confidence / kept if CONFIDENCE in kind.columns else None,
        logprob=sums.logprob / sums.with_logprob if sums.with_logprob else None,
        words=sums.words / kept,
        hits=sum(sums.hits) / kept,
        rewriter="rewriter" in recipe["prompter"],
        pairs=kind.texts == 2,
    )
    write_text(folder / "README.md", page)


def dataset_header(folder: Path, columns: Features, rows: int, synthetic: bool = True) -> DatasetCardData:
    """Describe a dataset for the hub and for `datasets`; its texts are synthetic, or the user's own.

    `datasets` caches a local folder by its name and this header. Without the sizes, a second dataset in another folder of
    the same name would load with the rows of the first.
    """
    files = sorted((folder / "data").glob("train-*.parquet"))
    uncompressed = sum(group["total_byte_size"] for file in files for group in pq.read_metadata(file).to_dict()["row_groups"])
    return DatasetCardData(
        tags=[*(["synthetic"] if synthetic else []), "prompter", "knowledge-distillation"],
        task_categories=["token-classification" if "tags" in columns else "text-classification"],
        size_categories=[next((name for limit, name in SIZES.items() if rows < limit), "10B<n<100B")],
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}],
        dataset_info={
            "features": DatasetInfo(features=columns)._to_yaml_dict()["features"],
            "splits": [{"name": "train", "num_bytes": uncompressed, "num_examples": rows}],
            "download_size": sum(file.stat().st_size for file in files),
            "dataset_size": uncompressed,
        },
    )
