"""Sentences of a general corpus, from a text file, a folder of them, a data file, or a hub dataset."""

import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from distill.common.errors import InputError
from eval.data.labelled import SUFFIXES, load_texts
from eval.toy import located

OPENERS: dict[str, Callable] = {".gz": gzip.open, ".xz": lzma.open}
TEXT_FILES = (".txt", ".txt.gz", ".txt.xz")

READ_AT_ONCE = 1 << 16
"""Characters of a line that are read at a time: a file that is one enormous line is cut here, not held in memory."""


def read_sentences(source: str, limit: int = 200_000) -> list[str]:
    """Sentences of 5 to 60 words.

    Args:
        source: A text file (`.txt`, also `.gz` or `.xz`), a paragraph a line; a folder, of which all text files are read
            in the order of their names; a file of JSON lines, CSV or Parquet, or a hub dataset (split train), of which the
            column `text` is read; or `toy`, the general corpus of the toy world.
        limit: Sentences read at most; the first ones.

    Raises:
        InputError: There is no such file, it is not text, or it holds no sentence.
    """
    source = located(source, "corpus")
    path = Path(source)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.name.endswith(TEXT_FILES))
        if not files:
            raise InputError(f"corpus '{source}' is a folder without text files ({', '.join(TEXT_FILES)})")
    elif path.name.endswith(SUFFIXES) or (not path.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+(:[\w.-]+)?", source)):
        return _checked([part for text in load_texts(source, "text") for part in _sentences(text)][:limit], source)
    elif path.is_file():
        files = [path]
    else:
        raise InputError(f"corpus '{source}' is not a file: give a text file, a paragraph a line, a folder, or a hub dataset")
    sentences: list[str] = []
    for file in files:
        try:
            with OPENERS.get(file.suffix, open)(file, "rt", encoding="utf-8") as lines:
                for line in _lines(lines):
                    if "\0" in line:
                        raise InputError(f"corpus '{file}' is a binary file: give text, a paragraph a line")
                    sentences += _sentences(line)
                    if len(sentences) >= limit:
                        return sentences[:limit]
        except (UnicodeDecodeError, OSError, EOFError, lzma.LZMAError, zlib.error) as error:
            raise InputError(f"corpus '{file}' cannot be read as UTF-8 text ({error})") from None
    return _checked(sentences, source)


def _lines(file: io.TextIOBase) -> Iterator[str]:
    while line := file.readline(READ_AT_ONCE):
        yield line


def _sentences(paragraph: str) -> list[str]:
    parts = re.split(r"(?<=[.!?])\s+", paragraph.strip())
    return [part for part in parts if 5 <= len(part.split()) <= 60]


def _checked(sentences: list[str], source: str) -> list[str]:
    if not sentences:
        raise InputError(f"corpus '{source}' holds no sentence of 5 to 60 words: give running text, a paragraph a line")
    return sentences
