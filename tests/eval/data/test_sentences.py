"""Sentences of a corpus: every kind of source, and errors."""

import gzip
import lzma
from pathlib import Path

import pytest

from distill.common.errors import InputError
from eval.data.sentences import READ_AT_ONCE, read_sentences

SENTENCES = ["The tide came in before noon.", "Nobody had counted the boats there."]


def test_sentences_are_read_from_plain_and_packed_files(tmp_path: Path) -> None:
    text = "  ".join(SENTENCES) + "\nToo short.\n"
    (tmp_path / "plain.txt").write_text(text, encoding="utf-8")
    (tmp_path / "packed.txt.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "packed.txt.xz").write_bytes(lzma.compress(text.encode()))
    for name in ("plain.txt", "packed.txt.gz", "packed.txt.xz"):
        assert read_sentences(str(tmp_path / name)) == SENTENCES
    assert read_sentences(str(tmp_path / "plain.txt"), limit=1) == SENTENCES[:1]


@pytest.mark.parametrize("content", [b"", b"Too short.\n", b"\xff\xfe\x00bad"])
def test_a_corpus_without_sentences_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "corpus.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="corpus"):
        read_sentences(str(path))


def test_a_missing_or_damaged_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a file"):
        read_sentences(str(tmp_path / "missing.txt"))
    text = b"A sentence of five words here. " * 50
    for name, content in (("cut.txt.xz", lzma.compress(text)[:-20]), ("cut.txt.gz", gzip.compress(text)[:20])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="cannot be read"):
            read_sentences(str(tmp_path / name))


def test_a_folder_and_a_data_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text(SENTENCES[1])
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "c.txt.gz").write_bytes(gzip.compress(SENTENCES[0].encode()))
    (tmp_path / "notes.md").write_text("This one is not a text file of the corpus.")
    assert read_sentences(str(tmp_path)) == [SENTENCES[1], SENTENCES[0]]
    rows = tmp_path / "rows.jsonl"
    rows.write_text(f'{{"text": "{" ".join(SENTENCES)}"}}\n{{"text": "Short."}}\n')
    assert read_sentences(str(rows)) == SENTENCES
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="folder without text files"):
        read_sentences(str(tmp_path / "empty"))


def test_a_corpus_in_another_column_and_a_packed_one_are_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"body": "a"}\n')
    with pytest.raises(InputError, match="has no column 'text', only body. A corpus is read from 'text': rename the column"):
        read_sentences(str(tmp_path / "rows.jsonl"))
    (tmp_path / "rows.csv.zip").write_bytes(b"PK\x03\x04\x14\x00\x00\x00\x08\x00\xff")
    with pytest.raises(InputError, match="is a ZIP archive"):
        read_sentences(str(tmp_path / "rows.csv.zip"))


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_bytes(b"These five words are there.\n\x00\x01\x02")
    with pytest.raises(InputError, match="binary file"):
        read_sentences(str(tmp_path / "corpus.txt"))


def test_one_enormous_line_is_read_in_parts(tmp_path: Path) -> None:
    count = 4 * READ_AT_ONCE // len(SENTENCES[0])
    (tmp_path / "corpus.txt").write_text(" ".join(SENTENCES[:1] * count))
    found = read_sentences(str(tmp_path / "corpus.txt"))
    assert count - 8 <= sum(sentence == SENTENCES[0] for sentence in found) <= len(found) <= count + 8
    (tmp_path / "one-word.txt").write_text("x" * 4 * READ_AT_ONCE)
    with pytest.raises(InputError, match="no sentence"):
        read_sentences(str(tmp_path / "one-word.txt"))
