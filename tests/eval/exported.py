"""A small dataset as `prompter export` writes it, without any model."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features

from prompter.exporting.shards import features

COLUMNS = {name: kind for name, kind in features(["bad", "good"], teacher=True).items() if name not in ("prompter", "seed")}
WORDS = "soup film bread story waiter actor room scene cold warm kind rude dull bright long short fresh stale good bad".split()


def sentence(number: int) -> str:
    """A text of nine words that depends on its number."""
    picked = [WORDS[(number * step + step * step) % len(WORDS)] for step in (1, 3, 7, 9, 11, 13, 17)]
    return f"the {' '.join(picked)} {number}."


def rows(count: int = 40) -> list[dict]:
    """Rows, every tenth marked as a near-duplicate."""
    made = []
    for number in range(count):
        sure = 0.5 + (number % 50) / 100
        probabilities = [1 - sure, sure] if number % 2 else [sure, 1 - sure]
        marked = number % 10 == 9
        made.append(
            {
                "text": sentence(number),
                "label": number % 2,
                "teacher_probs": probabilities,
                "wanted_label": number % 2,
                "topic": f"the {WORDS[number % 5]}",
                "confidence": sure,
                "lm_logprob": -1.0 - number / 100,
                "near_duplicate_of": 0 if marked else None,
                "keep": not marked,
                "drop_reason": "near duplicate" if marked else None,
            }
        )
    return made


def write_dataset(folder: Path, made: list[dict] | None = None, without: tuple[str, ...] = (), shards: int = 2) -> Path:
    """Write rows as shards into `folder/data`, without some of the columns."""
    made = rows() if made is None else made
    schema = Features({name: feature for name, feature in COLUMNS.items() if name not in without}).arrow_schema
    (folder / "data").mkdir(parents=True, exist_ok=True)
    size = -(-len(made) // shards)
    for number in range(shards):
        part = [{key: row[key] for key in schema.names} for row in made[number * size : (number + 1) * size]]
        pq.write_table(pa.Table.from_pylist(part, schema=schema), folder / "data" / f"train-{number:05d}.parquet")
    (folder / "recipe.yaml").write_text("export: {}\n")
    return folder


def write_texts(path: Path, texts: list[str]) -> str:
    """Write texts as JSON lines."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return str(path)


def other_texts(count: int = 60) -> list[str]:
    """Texts of the same words as `rows`, in another order."""
    random = np.random.default_rng(5)
    return [f"a {' '.join(random.choice(WORDS, 7))} b{number}." for number in range(count)]
