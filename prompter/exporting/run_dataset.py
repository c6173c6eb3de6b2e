"""The dataset in the folder of a run: all texts that the run asked its teacher about, with the answers.

The teacher queries for these texts are already paid. A student learns more from them than from as many fresh texts of the
finished prompter (docs/log.md): they are more diverse, because the prompter was still learning, and selected, if the run
selects among candidates.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from datasets import Features

from distill.common.files import replace_folder, write_text
from distill.kinds.found import written
from distill.replay import Replay
from distill.teachers.found import remember
from eval.data.config import PAIR_COLUMN
from eval.data.recipe import FILES, RECIPE_FILE, file_entry
from eval.report.texts import origin
from prompter.exporting.dataset_card import dataset_header
from prompter.exporting.marks import answered
from prompter.exporting.shards import ABOUT, CONFIDENCE, features, shard_path, write_shard
from prompter.generation.config import PolicyConfig
from prompter.runtime.markdown import render

LACKING = {"lm_logprob", "near_duplicate_of", "keep", "drop_reason", "prompter", "seed"}
"""Columns of an export that a run cannot fill."""


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
    if replay.next_row % len(replay):  # the ring has come round, and the rows are to stand in the order of writing
        replay = replay.without(torch.empty(0))
    labels: list[str] = manifest["labels"]
    known = features(labels, teacher=True, kind=replay.kind)
    columns = Features({name: known[name] for name in known if name not in LACKING})
    rows = len(replay)
    said = answered(replay.kind, replay.logprobs[:rows], replay.texts)
    confidence = [cells[CONFIDENCE] for _, cells in said if CONFIDENCE in cells]
    given = [replay.kind.given(cells) for _, cells in said]
    counts = Counter(itertools.chain.from_iterable(given))
    recipe = {
        "prompter": {key: manifest.get(key) for key in ("name", "base", "writer", "teacher", "labels")}
        | {"origin": origin(manifest["policy"])}
        | written(replay.kind),
        "export": {
            "teacher": manifest["teacher"],
            "teacher_labels": manifest.get("teacher_labels", []),
            **{key: manifest[key] for key in ("teacher_prompt", "teacher_hypothesis") if manifest.get(key)},
            "seed": manifest["seed"],
        },
        "result": {"complete": True, "rows": rows, "labels": [counts[target] for target in range(len(labels))]},
    }
    with replace_folder(folder, marker=RECIPE_FILE) as temporary:
        write_shard(temporary, 0, _rows(replay, said), columns)
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
            kind=replay.kind,
            learns=PolicyConfig(**manifest["policy"]).learns,
            confidence=float(torch.tensor(confidence).mean()) if confidence else None,
            hits=sum(wanted in met for wanted, met in zip(replay.targets[:rows].tolist(), given, strict=True)) / rows,
            about=ABOUT,
        )
        write_text(temporary / "README.md", page)
    remember(folder / RECIPE_FILE, manifest["teacher"])


def _rows(replay: Replay, said: Sequence[tuple[int, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Yield the texts of a replay as rows of the dataset, with what `answered` says of the answers."""
    seconds = [{}] * len(replay) if replay.pairs is None else [{PAIR_COLUMN: pair} for pair in replay.pairs]
    table = zip(replay.texts, seconds, said, replay.targets[: len(replay)].tolist(), replay.topics, strict=True)
    return (
        {"text": text, "wanted_label": wanted, "topic": topic} | second | cells
        for text, second, (_, cells), wanted, topic in table
    )
