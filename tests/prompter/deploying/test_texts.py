"""Where the texts come from that a program is checked on."""

import json
from pathlib import Path

import pytest

from prompter.deploying.export import open_student
from prompter.deploying.texts import RANDOM_WORDS, random_texts, spread, texts_for


def test_the_texts_that_the_student_was_made_from_are_found_again(student_folder: Path, tmp_path: Path) -> None:
    student = open_student(str(student_folder))
    mine = tmp_path / "mine.txt"
    mine.write_text("\n".join(f"good w{i}" for i in range(20)))
    folder = tmp_path / "students" / "tiny"
    folder.mkdir(parents=True)
    (folder.parent / "summary.json").write_text(json.dumps({"config": {"sources": ["gone.txt", str(mine)]}}))
    texts, origin = texts_for(student, folder, 10)
    assert texts == [f"good w{i}" for i in range(0, 20, 2)] and origin == "texts of mine.txt"
    mine.unlink()
    texts, origin = texts_for(student, folder, 10)
    assert len(texts) == 10 and origin == RANDOM_WORDS == texts_for(student, None, 10)[1]


@pytest.mark.parametrize("summary", ["[1]", "{", '"run"', '{"config": [1]}', '{"config": {"sources": 3, "corpus": ["a"]}}'])
def test_a_summary_that_is_damaged_or_no_runs_is_passed_over(student_folder: Path, tmp_path: Path, summary: str) -> None:
    (tmp_path / "summary.json").write_text(summary)
    folder = tmp_path / "students" / "tiny"
    folder.mkdir(parents=True)
    assert texts_for(open_student(str(student_folder)), folder, 3)[1] == RANDOM_WORDS


def test_random_words_are_those_of_the_vocabulary_and_always_the_same(student_folder: Path) -> None:
    student = open_student(str(student_folder))
    texts = random_texts(student, 50)
    assert texts == random_texts(student, 50) and len(set(texts)) > 40
    assert {word.strip(".:") for text in texts for word in text.split()} - {""} <= set(student.tokenizer.get_vocab())
    assert not any("<" in text for text in texts)


def test_texts_are_spread_over_all() -> None:
    assert spread([str(i) for i in range(100)], 4) == ["0", "25", "50", "75"]
    assert spread(["a"], 5) == ["a"]
