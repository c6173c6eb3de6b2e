"""Texts to check a converted student on: the user's, those that it was made from, or random words of its vocabulary."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from distill.common.errors import InputError
from distill.common.files import read_json
from distill.common.seeding import random_generator
from distill.student import Student
from eval.data.labelled import load_texts
from eval.data.recipe import RECIPE_FILE
from eval.report.values import mapping

RANDOM_WORDS = "random words of its vocabulary"


def texts_for(student: Student, folder: Path | None, count: int) -> tuple[list[str], str]:
    """Return texts that fit a student, and what they are.

    Args:
        student: The student.
        folder: Its folder; None for a model of the hub.
        count: Most texts.
    """
    for source in _sources(folder) if folder else ():
        try:
            return spread(load_texts(source, "text", "train"), count), origin_of(source)
        except InputError:  # moved or changed since
            continue
    return random_texts(student, count), RANDOM_WORDS


def origin_of(source: str) -> str:
    """Return how a record names texts: without the path on this machine, as the record may be published."""
    return f"texts of {Path(source).name if Path(source).expanduser().exists() else source}"


def _sources(folder: Path) -> Iterator[str]:
    """Yield where the texts may lie that a student was made from."""
    for place in (folder, *folder.resolve().parents[:2]):
        if (place / "dataset" / RECIPE_FILE).is_file():
            yield str(place / "dataset")
        config = _run_settings(place)
        sources = config.get("sources")
        for source in [*(sources if isinstance(sources, list) else []), config.get("corpus")]:
            if isinstance(source, str) and Path(source).exists():
                yield str(Path(source) / "dataset") if (Path(source) / "dataset").is_dir() else source


def _run_settings(folder: Path) -> Mapping[str, Any]:
    """Return the settings of the run in a folder; {} where its `summary.json` is missing, damaged or no run's."""
    try:
        summary = read_json(folder / "summary.json")
    except InputError:
        return {}
    return mapping(mapping(summary).get("config"))


def spread(texts: list[str], count: int) -> list[str]:
    """Return at most `count` texts, evenly spread over all.

    Examples:
        >>> spread(["a", "b", "c", "d", "e"], 2)
        ['a', 'd']
    """
    used = min(count, len(texts))
    return [texts[-(-index * len(texts) // used)] for index in range(used)]


def random_texts(student: Student, count: int) -> list[str]:
    """Return texts of random tokens, of 1 to as many as the student reads."""
    random = random_generator(0, "export", 0)
    tokenizer, longest = student.tokenizer, min(student.max_length, 64)
    special = set(tokenizer.all_special_ids)
    known = torch.tensor(sorted(number for number in tokenizer.get_vocab().values() if number not in special))
    lengths = torch.randint(1, longest + 1, (count,), generator=random).tolist()
    drawn = [known[torch.randint(len(known), (length,), generator=random)].tolist() for length in lengths]
    return [str(tokenizer.decode(ids)) for ids in drawn]
