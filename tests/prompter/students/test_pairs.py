"""`prompter distill` and `prompter label` with a teacher of pairs: files, columns, answers, and what is refused."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from transformers import pipeline

from distill.common.errors import InputError
from distill.kinds.classes import PAIR, SINGLE
from distill.teachers.loading import load_teacher
from prompter.cli import main
from prompter.students.inputs import settle_texts
from prompter.students.sources import TextSource, open_source
from tests.prompter.students.distilling import STUDENT, run, texts


@pytest.fixture
def own_pairs(tmp_path: Path) -> Path:
    """A file of pairs; each first text comes twice."""
    file = tmp_path / "pairs.jsonl"
    ones, twos = ([f"{text} the good room was very bad" for text in texts(count, count)] for count in (200, 400))
    rows = enumerate(zip(ones * 2, twos, strict=True))
    objects = [{"text": one, "text_pair": two, "other": one, "label": number % 2} for number, (one, two) in rows]
    file.write_text("".join(json.dumps(row) + "\n" for row in objects))
    return file


def label(file: Path, teacher: Path, to: Path, *more: str) -> int:
    given = ["--texts", str(file), "--teacher", str(teacher), "--to", str(to)]
    return main(["label", *given, "--device", "cpu", "--quiet", *more])


def test_labelled_pairs_are_a_source(own_pairs: Path, pair_teacher: Path, tmp_path: Path) -> None:
    assert label(own_pairs, pair_teacher, tmp_path / "d") == 0
    frame = pd.read_parquet(tmp_path / "d" / "data")
    assert list(frame.columns[:2]) == ["text", "text_pair"] and frame["keep"].all()  # a text may come again beside another
    answers = load_teacher(str(pair_teacher), "cpu")(frame["text"].tolist(), frame["text_pair"].tolist()).exp()
    assert frame["confidence"].tolist() == pytest.approx(answers.max(1).values.tolist(), abs=1e-5)
    for name in ("", "data"):
        source = open_source(str(tmp_path / "d" / name))
        portion = source.portion(0)
        assert source.pairs and portion is not None and portion.logprobs is not None
        assert (portion.texts, portion.text_pairs) == (frame["text"].tolist()[:256], frame["text_pair"].tolist()[:256])
        assert portion.logprobs.exp().allclose(answers[:256], atol=1e-5)
    assert "`text_pair`" in (tmp_path / "d" / "README.md").read_text()


def test_own_pairs_are_asked_about_and_learnt_from(own_pairs: Path, pair_teacher: Path, tmp_path: Path) -> None:
    call = ["--from", own_pairs, "--student", STUDENT, "--teacher", pair_teacher, "--eval_data", own_pairs]
    assert run(*call, "--held_out", 0.5, "--no_pilot", "--to", tmp_path / "a") in (0, 3)  # the random teacher may be one-sided
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert (summary["teacher_queries"], summary["kind"]) == (400, "pair")
    assert 0 <= summary["students"]["bert-layers1-hidden16-heads1"]["accuracy"] <= 1
    classify = pipeline("text-classification", str(tmp_path / "a"))
    first, other = (classify([{"text": "w1 good", "text_pair": second}])[0]["score"] for second in ("bad", "w7 w9"))
    assert first != other
    assert '"text_pair"' in (tmp_path / "a" / "README.md").read_text()


def test_the_column_of_second_texts(own_pairs: Path) -> None:
    source = TextSource(str(own_pairs), "text", "train", "other")
    with pytest.raises(InputError, match="the teacher classifies single texts: leave it out"):
        source.settle(False)
    source.settle(True)
    portion = source.portion(1)
    assert portion is not None and portion.text_pairs == portion.texts and len(portion.texts) == 144


def test_a_teacher_of_single_texts_leaves_second_texts_alone(own_pairs: Path, teacher_folder: Path, tmp_path: Path) -> None:
    assert label(own_pairs, teacher_folder, tmp_path / "d") == 0
    frame = pd.read_parquet(tmp_path / "d" / "data")
    assert "text_pair" not in frame.columns and frame["keep"].sum() == frame["text"].nunique()


@pytest.mark.parametrize(
    ("row", "more", "message"),
    [
        ({"text": "w1"}, [], "holds single texts, but the teacher classifies pairs .*--text_pair_column"),
        ({"text": "w1", "text_pair": " "}, [], "row 1: column 'text_pair' is empty, expected a second text"),
        ({"text": "w1", "text_pair": None}, [], "row 1: column 'text_pair' holds nothing"),
        ({"text": "w1", "text_pair": "w2"}, ["--text_pair_column", "pair"], "has no column 'pair'"),
    ],
)
def test_what_is_refused(
    row: dict, more: list[str], message: str, pair_teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    assert label(tmp_path / "a.jsonl", pair_teacher, tmp_path / "d", *more) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(message, error)


def test_kinds_are_not_mixed(
    own_pairs: Path,
    exported: Path,
    pair_teacher: Path,
    teacher_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert label(own_pairs, pair_teacher, tmp_path / "d", "--budget", "20") == 0
    assert settle_texts([open_source(str(tmp_path / "d"))], SINGLE, False) == PAIR
    with pytest.raises(InputError, match="the teacher .--kind. has single texts"):
        settle_texts([open_source(str(tmp_path / "d"))], SINGLE, True)
    with pytest.raises(InputError, match="has single texts, .* has pairs of texts: give one kind only"):
        settle_texts([open_source(str(exported)), open_source(str(tmp_path / "d"))], SINGLE, False)
    assert label(own_pairs, teacher_folder, tmp_path / "e", "--text_pair_column", "other") == 2
    assert "the teacher classifies single texts: leave it out" in capsys.readouterr().err
