"""Sentences of a general corpus, from text files, a data file or the hub."""

import re
from collections.abc import Iterator
from pathlib import Path

from distill.common.errors import InputError
from eval.data.labelled import load_texts
from eval.data.reading import MissingColumn, text_lines
from eval.data.text_files import kind_of
from eval.toy import located

READ_AT_ONCE = 1 << 16
"""Characters after which a line is cut, so that a file with one enormous line is not held in memory."""

HUB_DATASET = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")


def read_sentences(source: str, limit: int = 200_000) -> list[str]:
    """Read sentences of 5 to 60 words.

    Args:
        source: Text file with one paragraph per line (`.txt`, also `.gz`, `.xz` or `.bz2`); folder of text files, read in the
            order of their names; JSON lines, CSV, Parquet or hub dataset with a column `text` (split train); or `toy`.
        limit: Sentences read at most; the first ones.

    Raises:
        InputError: The source does not exist, is not text, or holds no sentence.
    """
    sentences: list[str] = []
    try:
        for paragraph in _paragraphs(located(source, "corpus")):
            parts = re.split(r"(?<=[.!?])\s+", paragraph.strip())
            sentences += [part for part in parts if 5 <= len(part.split()) <= 60]
            if len(sentences) >= limit:
                return sentences[:limit]
    except InputError as error:
        raise InputError(f"corpus: {error}") from error
    if not sentences:
        raise InputError(f"corpus: {source}: holds no sentence of 5 to 60 words; give running text, one paragraph per line.")
    return sentences


def _paragraphs(source: str) -> Iterator[str]:
    path = Path(source).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if kind_of(file) == ".txt")
        if not files and not any(kind_of(file) for file in path.rglob("*")):
            raise InputError(f"{source}: is a folder without text files (.txt, also .gz, .xz or .bz2); add some.")
    else:
        files = [path] if path.is_file() and kind_of(path) in ("", ".txt") else []
    if not files and (
        path.is_dir() or kind_of(path) not in ("", ".txt") or (not path.exists() and HUB_DATASET.fullmatch(source))
    ):
        try:
            yield from load_texts(source, "text")
        except MissingColumn as missing:
            remedy = "A corpus is read from 'text': rename the column, or give a .txt file."
            raise InputError(f"{missing.found} {remedy}") from None
    elif not files:
        raise InputError(
            f"{source}: is not a file; give a text file, one paragraph per line, a folder of them, or a hub dataset."
        )
    for file in files:
        for line in text_lines(file, READ_AT_ONCE):
            if "\0" in line:
                raise InputError(f"{file}: is a binary file; give text, one paragraph per line.")
            yield line
