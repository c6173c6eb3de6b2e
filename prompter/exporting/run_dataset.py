"""The texts that a run has asked its teacher about, with the answers, as a data set in the run's folder.

They were paid for, and a student learns more from them than from as many fresh ones of the finished prompter: they are
broader, because they were written while it learnt, and chosen, where the run has a screen (docs/log.md).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from datasets import Features

from distill.common.files import replace_folder, write_text
from distill.replay import Replay
from prompter.exporting.dataset_card import header
from prompter.exporting.folder import RECIPE
from prompter.exporting.shards import features, write_shard
from prompter.runtime.markdown import render

COLUMNS = ("text", "label", "teacher_probs", "wanted_label", "topic", "confidence")
"""Of the columns of an export those that a run knows."""


def write_run_dataset(folder: Path, replay: Replay, manifest: Mapping[str, Any]) -> None:
    """Write the data set: one Parquet file, a card, and the recipe by which `prompter distill` knows the teacher.

    Args:
        folder: Where; an earlier data set of the run is replaced.
        replay: The run's texts, at least one; what it has dropped for want of room (`replay_capacity`) is missing.
        manifest: Content of the run's `prompter.json`.

    Raises:
        InputError: The folder cannot be written, or holds something else.
    """
    labels: list[str] = manifest["labels"]
    known = features(labels, teacher=True)
    columns = Features({name: known[name] for name in COLUMNS})
    rows = len(replay)
    probabilities = replay.logprobs[:rows].exp()
    confidence, answered = probabilities.max(dim=1)
    table = zip(
        replay.texts,
        answered.tolist(),
        probabilities.tolist(),
        replay.targets[:rows].tolist(),
        replay.topics,
        confidence.tolist(),
        strict=True,
    )
    with replace_folder(folder, marker=RECIPE) as temporary:
        write_shard(temporary, 0, (dict(zip(COLUMNS, row, strict=True)) for row in table), columns)
        keys = ("name", "base", "writer", "teacher", "labels")
        recipe = {
            "prompter": {key: manifest.get(key) for key in keys},
            "export": {
                "teacher": manifest["teacher"],
                "teacher_labels": manifest.get("teacher_labels", []),
                "seed": manifest["seed"],
            },
            "result": {"complete": True, "rows": rows, "labels": torch.bincount(answered, minlength=len(labels)).tolist()},
        }
        write_text(temporary / RECIPE, yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))
        page = render(
            "run_dataset_card.md.j2",
            header=yaml.safe_dump(header(temporary, columns, rows), sort_keys=False, allow_unicode=True),
            recipe=recipe,
            labels=labels,
            confidence=float(confidence.mean()),
            met=float((answered == replay.targets[:rows]).float().mean()),
        )
        write_text(temporary / "README.md", page)
