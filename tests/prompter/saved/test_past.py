"""What a student had learnt before it went on: read from files that anybody may have written."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from prompter.saved.past import LONGEST, earliest, past_of
from prompter.saved.student_card import set_queries, write_student_card

FIRST = {
    "spec": "teacher-layers:0,2",
    "teacher": "org/teacher",
    "sources": ["method as-dfd"],
    "teacher_queries": 50,
    "updates": 9,
}


def write_summary(folder: Path, summary: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def summary_of(students: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"teacher": "org/teacher", "sources": ["method as-dfd"], "teacher_queries": 50, "students": students} | values


def test_a_folder_of_one_or_several_students_tells_their_past(tmp_path: Path) -> None:
    figures = {"spec": "teacher-layers:0,2", "updates": 9}
    one = write_summary(tmp_path / "one", summary_of({"x": figures}))
    several = write_summary(tmp_path / "several", summary_of({"a": figures, "b": figures | {"updates": 3}}))
    (several / "b").mkdir()
    assert past_of(str(one)) == FIRST and past_of(str(several / "b")) == FIRST | {"updates": 3}
    assert past_of(str(several)) == past_of("org/model") == past_of("teacher-layers:0") == {}
    chained = write_summary(tmp_path / "two", summary_of({"x": figures | {"spec": str(one), "went_on_from": FIRST}}))
    assert earliest(str(chained), "org/other", past_of(str(chained))) == ("teacher-layers:0,2", "org/teacher")


@pytest.mark.parametrize(
    "summary",
    [
        *([], {}, {"students": "x"}, summary_of({}), summary_of({"x": 1})),
        summary_of({"x": {"spec": "s", "updates": "many"}}),
        summary_of({"x": {"spec": "s", "updates": 1}}, teacher_queries=float("inf")),
    ],
)
def test_a_summary_of_others_tells_nothing(tmp_path: Path, summary: Any) -> None:
    assert past_of(str(write_summary(tmp_path, summary))) == {}


def test_a_past_without_end_is_cut(tmp_path: Path) -> None:
    past: dict[str, Any] = dict(FIRST)
    for _ in range(LONGEST + 5):
        past = FIRST | {"went_on_from": past}
    odd = [FIRST | {"spec": 5}, FIRST | {"teacher": ["a"]}, FIRST | {"went_on_from": FIRST | {"spec": None}}]
    for before in (past, FIRST | {"went_on_from": [1]}, "x", *odd):
        found = past_of(str(write_summary(tmp_path, summary_of({"x": {"spec": "s", "updates": 1, "went_on_from": before}}))))
        assert found["spec"] == "s" and "went_on_from" not in found


def test_the_card_says_both_and_names_the_first_model(tmp_path: Path) -> None:
    metrics = {"spec": "/home/me/first", "updates": 40, "parameters": 1000, "bytes": 4000, "went_on_from": FIRST}
    summary = {
        "labels": ["good", "bad"], "teacher": "org/teacher", "sources": ["texts"], "texts": 100, "teacher_queries": 0,
        "held_out_texts": 5, "students": {"x": metrics},
        "config": {"to": "small", "student_batch_size": 16, "eval_data": None, "eval_split": "test"},
    }  # fmt: skip
    write_student_card(tmp_path, "x", summary)
    set_queries(tmp_path, "100: 50 for this, 50 for that")
    text = (tmp_path / "README.md").read_text()
    assert yaml.safe_load(text.split("---\n")[1])["base_model"] == "org/teacher" and "/home/me" not in text
    assert "| went on from | teacher-layers:0,2, after 9 updates on method as-dfd and 50 teacher queries |" in text
    assert text.count("teacher queries |") == 2 and "| teacher queries | 100: 50 for this, 50 for that |" in text
