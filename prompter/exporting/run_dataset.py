"""The dataset in the folder of a run: all texts that the run asked its teacher about, with the answers.

The teacher queries for these texts are already paid. A student learns more from them than from as many fresh texts of the
finished prompter (docs/log.md): they are more diverse, because the prompter was still learning, and selected, if the run
selects among candidates.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from datasets import Features

from distill.common.files import replace_folder, write_text
from distill.replay import Replay
from distill.teachers.found import remember
from eval.data.recipe import FILES, RECIPE_FILE, file_entry
from prompter.exporting.dataset_card import dataset_header
from prompter.exporting.shards import features, shard_path, write_shard
from prompter.runtime.markdown import render

COLUMNS = ("text", "text_pair", "label", "teacher_probs", "wanted_label", "topic", "confidence")
"""Columns of an export that a run can fill."""


def write_run_dataset(
    folder: Path, replay: Replay, manifest: Mapping[str, Any], findings: Sequence[Mapping[str, str]] = ()
) -> None:
    """Write the dataset: one Parquet file, a card, and the recipe that tells `prompter distill` the teacher.

    Args:
        folder: Folder of the dataset. An earlier dataset of the run is replaced.
        replay: Texts of the run, at least one. Texts that the replay dropped (`replay_capacity`) are missing.
        manifest: Content of the run's `prompter.json`.
        findings: What the run found wrong with itself, see `eval.classifiers.health.findings`; for the card.

    Raises:
        InputError: The folder cannot be written, or holds something else.
    """
    labels: list[str] = manifest["labels"]
    known = features(labels, teacher=True, pairs=replay.pairs is not None)
    columns = Features({name: known[name] for name in known if name in COLUMNS})
    rows = len(replay)
    confidence, predicted = replay.logprobs[:rows].exp().max(dim=1)
    recipe = {
        "prompter": {key: manifest.get(key) for key in ("name", "base", "writer", "teacher", "labels")},
        "export": {
            "teacher": manifest["teacher"],
            "teacher_labels": manifest.get("teacher_labels", []),
            **{key: manifest[key] for key in ("teacher_prompt", "teacher_hypothesis") if manifest.get(key)},
            "seed": manifest["seed"],
        },
        "result": {"complete": True, "rows": rows, "labels": torch.bincount(predicted, minlength=len(labels)).tolist()},
    }
    with replace_folder(folder, marker=RECIPE_FILE) as temporary:
        write_shard(temporary, 0, _rows(replay), columns)
        shard = shard_path(temporary, 0)
        recipe[FILES] = {shard.relative_to(temporary).as_posix(): file_entry(shard, rows)}
        write_text(temporary / RECIPE_FILE, yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))
        page = render(
            "run_dataset_card.md.j2",
            dataset_header(temporary, columns, rows),
            recipe=recipe,
            labels=labels,
            pairs=replay.pairs is not None,
            findings=findings,
            confidence=float(confidence.mean()),
            hits=float((predicted == replay.targets[:rows]).float().mean()),
        )
        write_text(temporary / "README.md", page)
    remember(folder / RECIPE_FILE, manifest["teacher"])


def _rows(replay: Replay) -> Iterator[dict[str, Any]]:
    """Yield the texts of a replay as rows of the dataset."""
    rows = len(replay)
    probabilities = replay.logprobs[:rows].exp()
    confidence, predicted = probabilities.max(dim=1)
    values: dict[str, list[Any]] = {
        "text": replay.texts,
        **({} if replay.pairs is None else {"text_pair": replay.pairs}),
        "label": predicted.tolist(),
        "teacher_probs": probabilities.tolist(),
        "wanted_label": replay.targets[:rows].tolist(),
        "topic": replay.topics,
        "confidence": confidence.tolist(),
    }
    return (dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True))
