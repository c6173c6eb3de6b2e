"""Programs, thresholds and cascades of students that give labels, values, or answers to two texts."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification

from distill.common.errors import InputError
from distill.kinds.classes import PAIR
from distill.kinds.kind import Kind
from distill.kinds.labels import MULTI_LABEL
from distill.kinds.scores import Score
from distill.kinds.tokens import Tokens
from distill.student import Student
from distill.teachers.loading import load_teacher
from eval.classifiers.calibration import stored_calibration
from prompter import Cascade
from prompter.cli import main
from prompter.deploying.cascade import LabelsAnswer
from prompter.deploying.checking import compare, student_logits
from tests.prompter.deploying.conftest import some_texts
from tests.prompter.tiny import word_tokenizer

TOPICS = ["food", "staff", "price"]


def make_student(folder: Path, kind: Kind, labels: list[str], seed: int = 0) -> Path:
    """Write a student of random weights whose answers differ from text to text."""
    torch.manual_seed(seed)
    tokenizer = word_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=32,
        max_position_embeddings=64, num_labels=len(labels),
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.weight.mul_(40)
    Student(model, tokenizer, torch.device("cpu"), labels, str(folder), kind).save(folder)
    return folder


class Program:
    """Stands for a program: the student's outputs, changed."""

    def __init__(self, student: Student, change: Any) -> None:
        self.student, self.change, self.asked = student, change, 0

    def logits(self, texts: list[str], text_pairs: list[str] | None = None, batch_rows: int = 64) -> np.ndarray:
        self.asked += 1 if text_pairs is None else 100
        return np.asarray(self.change(student_logits(self.student, texts, text_pairs)), dtype=np.float32)


def opened(folder: Path) -> Student:
    from prompter.deploying.export import open_student

    return open_student(str(folder))


def test_a_program_agrees_where_it_gives_the_same_labels(tmp_path: Path) -> None:
    student = opened(make_student(tmp_path / "labels", MULTI_LABEL, TOPICS))
    texts = some_texts(40)
    found = compare(student, Program(student, lambda z: z * 0.5), texts, "onnx")  # type: ignore[arg-type]
    assert found["agreement"] == 1.0 and found["largest_logit_difference"] > 0

    def least_turned(z: np.ndarray) -> np.ndarray:  # the likeliest label stays
        return np.where(z == z.min(axis=1, keepdims=True), -z, z)

    assert (student_logits(student, texts).min(axis=1) < 0).mean() > 0.1
    with pytest.raises(InputError, match="onnx: the program agrees with the student on"):
        compare(student, Program(student, least_turned), texts, "onnx")  # type: ignore[arg-type]


def test_a_program_agrees_where_its_value_is_near(tmp_path: Path) -> None:
    student = opened(make_student(tmp_path / "score", Score(0, 5), ["stars"]))
    assert compare(student, Program(student, lambda z: z + 0.09), some_texts(40), "onnx")["agreement"] == 1.0  # type: ignore[arg-type]
    with pytest.raises(InputError, match="99% are required"):
        compare(student, Program(student, lambda z: z + 0.11), some_texts(40), "onnx")  # type: ignore[arg-type]


def test_a_program_of_two_texts_is_asked_about_two(tmp_path: Path) -> None:
    student = opened(make_student(tmp_path / "pairs", PAIR, ["equivalent", "not_equivalent"]))
    program = Program(student, lambda z: z)
    assert student.kind == PAIR and compare(student, program, some_texts(40), "onnx")["agreement"] == 1.0  # type: ignore[arg-type]
    assert program.asked == 400


def test_labels_are_calibrated_and_a_cascade_gives_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_student(tmp_path / "student", MULTI_LABEL, TOPICS)
    teacher = make_student(tmp_path / "teacher", MULTI_LABEL, TOPICS)
    (tmp_path / "texts.txt").write_text("\n".join(dict.fromkeys(some_texts(400))))
    line = ["evaluate", folder, "--teacher", teacher, "--calibrate", tmp_path / "texts.txt", "--no_teacher_cache", "--quiet"]
    assert main([*map(str, line), "--device", "cpu"]) == 0
    assert "In its config.json." in capsys.readouterr().out
    config = json.loads((folder / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"

    def oracle(texts: list[str]) -> list[list[float]]:
        return [[0.9, 0.1, 0.6]] * len(texts)

    texts = some_texts(30)
    own = load_teacher(str(folder), "cpu")(texts).double().numpy()
    temperature = config["prompter_calibration"]["temperature"]
    p = 1 / (1 + np.exp(-own / temperature))
    sure = np.maximum(p, 1 - p).min(axis=1)
    cascade = Cascade(folder, oracle, threshold=float(np.median(sure)), device="cpu")
    answers = cascade(texts)
    assert [answer.by for answer in answers] == ["student" if value >= np.median(sure) else "teacher" for value in sure]
    for row, answer in enumerate(answers):
        assert isinstance(answer, LabelsAnswer)
        expected = p[row] if answer.by == "student" else [0.9, 0.1, 0.6]
        assert list(answer.probabilities.values()) == pytest.approx(list(expected), abs=1e-6)
        assert answer.labels == tuple(label for label, value in zip(TOPICS, expected, strict=True) if value > 0.5)
    assert not math.isclose(cascade.share, 0)


def test_what_has_no_threshold_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score, other_score = (make_student(tmp_path / name, Score(0, 5), ["stars"]) for name in ("score", "other_score"))
    pair, other_pair = (make_student(tmp_path / name, PAIR, ["equivalent", "not_equivalent"]) for name in ("pair", "other"))
    labels = make_student(tmp_path / "labels", MULTI_LABEL, TOPICS)
    (tmp_path / "texts.txt").write_text("\n".join(dict.fromkeys(some_texts(100))))
    (tmp_path / "pairs.csv").write_text("premise,hypothesis\na,b\n")  # refused before it is read
    for folder, teacher, said, *other in (
        (score, other_score, f"model: {score} is of the kind score, whose answers do not say how sure it is"),
        (pair, other_pair, f"model: {pair} reads two texts, and calibrate takes single ones"),
        (pair, other_pair, f"model: {pair} reads two texts, and calibrate takes single ones", "pairs.csv"),
        (labels, pair, f"model: {labels} is of the kind multi_label, but the teacher {pair} of the kind pair"),
    ):
        line = [
            "evaluate",
            folder,
            "--teacher",
            teacher,
            "--calibrate",
            tmp_path / (other or ["texts.txt"])[0],
            "--no_teacher_cache",
        ]
        capsys.readouterr()
        assert main([*map(str, line), "--quiet", "--device", "cpu"]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"prompter: {said}") and error.count("\n") == 1, error
    with pytest.raises(InputError, match="whose answers do not say how sure it is"):
        Cascade(score, score, threshold=0.5)
    with pytest.raises(InputError, match="not calibrated: distil it with more texts held out"):
        Cascade(pair, pair, device="cpu")
    cascade = Cascade(pair, pair, threshold=0.5, device="cpu")
    with pytest.raises(InputError, match="text_pairs is missing: the student reads two texts"):
        cascade(["good"])
    assert len(cascade(["good"], ["bad"])) == 1 and stored_calibration(opened(pair).model.config, "") is None


@pytest.mark.slow
def test_a_program_tags_the_words_that_the_student_tags(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    tokenizer, tags = word_tokenizer(), ["O", "B-a", "I-a"]
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=32,
        max_position_embeddings=64, num_labels=3,
    )  # fmt: skip
    student = Student(BertForTokenClassification(config), tokenizer, torch.device("cpu"), tags, "student", Tokens(tuple(tags)))
    student.max_length = 12
    student.save(tmp_path / "student")
    line = ["export-student", str(tmp_path / "student"), "--to", str(tmp_path / "onnx"), "--format", "onnx"]
    assert main([*line, "--quiet"]) == 0
    program = load_teacher(str(tmp_path / "onnx"), "cpu")
    texts = [*some_texts(20), "", "a " * 50, "...!?"]
    answers, expected = program(texts), student.answers(texts)
    assert program.kind == student.kind
    assert torch.equal((answers != 0).any(-1), (expected != 0).any(-1))
    torch.testing.assert_close(answers, expected, atol=1e-4, rtol=1e-4)
