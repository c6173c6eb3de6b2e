"""A cascade gives the student's answers where it is sure and the teacher's elsewhere, and counts what it asked."""

import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch

from distill.common.errors import InputError
from distill.student import load_student
from distill.teachers.loading import load_teacher
from eval.classifiers.calibration import CALIBRATION_KEY, Calibration, confidences
from prompter import Cascade
from tests.distill.portable.programs import write_program
from tests.prompter.deploying.conftest import some_texts
from tests.prompter.tiny import word_tokenizer

FOUND = Calibration(2.0, 0.9, 0.95, 0.95, 400, 0.6, 0.97, 0.951, 20, "held-out synthetic texts")


@pytest.fixture(scope="module")
def student_folder(tmp_path_factory: pytest.TempPathFactory, teacher_folder: Path) -> Path:
    """A student that was not calibrated."""
    folder = tmp_path_factory.mktemp("uncalibrated") / "student"
    teacher = load_teacher(str(teacher_folder), "cpu")
    load_student("teacher-layers:0", teacher=teacher, device="cpu").save(folder)
    return folder


@pytest.fixture(params=["folder", "program"])
def student(request: pytest.FixtureRequest, student_folder: Path, tmp_path: Path) -> Path:
    """A calibrated student, as a folder or as an ONNX program."""
    folder = tmp_path / "student"
    if request.param == "folder":
        shutil.copytree(student_folder, folder)
    else:
        write_program(folder, word_tokenizer(), ["good", "bad"])
    sure = torch.softmax(load_teacher(str(folder), "cpu")(some_texts(60)).double() / 2.0, dim=1).amax(dim=1)
    calibrated(folder, dataclasses.replace(FOUND, threshold=round(float(sure.median()) + 1e-4, 6)))
    return folder


def calibrated(folder: Path, calibration: Calibration) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {CALIBRATION_KEY: dataclasses.asdict(calibration)}))
    (folder / "checksums.json").unlink(missing_ok=True)


class Oracle:
    """A teacher that notes what it is asked, and always answers "bad"."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(list(texts))
        return [[0.25, 0.75]] * len(texts)


def test_the_teacher_is_asked_only_where_the_student_is_unsure(student: Path) -> None:
    texts, oracle = some_texts(60), Oracle()
    own = load_teacher(str(student), "cpu")(texts).double()
    sure = torch.softmax(own / 2.0, dim=1)
    threshold = json.loads((student / "config.json").read_text())[CALIBRATION_KEY]["threshold"]
    expected = (sure.amax(dim=1) >= threshold).tolist()
    assert 5 < sum(expected) < 55
    cascade = Cascade(student, oracle, batch_size=7, device="cpu")
    oracle.calls.clear()
    answers = cascade(texts)
    assert [answer.by == "student" for answer in answers] == expected
    for row, answer in zip(sure, answers, strict=True):
        if answer.by == "student":
            assert answer.label == ["good", "bad"][row.argmax()] and answer.probability == pytest.approx(
                float(row.max()), abs=1e-5
            )
        else:
            assert answer.label == "bad" and answer.probability == pytest.approx(0.75)
    assert [text for call in oracle.calls for text in call] == [t for t, own in zip(texts, expected, strict=True) if not own]
    assert max(map(len, oracle.calls)) <= 7
    unsure = len(texts) - sum(expected)
    assert (cascade.texts, cascade.asked, cascade.unusable, cascade.share) == (60, unsure, 0, unsure / 60)
    assert cascade(texts[:1]) == answers[:1] and cascade.texts == 61 and cascade([]) == []


def test_a_text_that_is_just_as_sure_as_the_threshold_is_the_students(student: Path) -> None:
    (text,) = some_texts(3)[-1:]
    own = float(confidences(load_teacher(str(student), "cpu")([text]), 2.0))
    for threshold, by in ((own, "student"), (np.nextafter(own, 1), "teacher")):
        (answer,) = Cascade(student, Oracle(), threshold=float(threshold), device="cpu")([text])
        assert answer.by == by


def test_the_teachers_classes_may_stand_in_another_order(student: Path, teacher_folder: Path, tmp_path: Path) -> None:
    turned = shutil.copytree(teacher_folder, tmp_path / "turned")
    config = json.loads((turned / "config.json").read_text())
    config["id2label"], config["label2id"] = {"0": "bad", "1": "good"}, {"bad": 0, "good": 1}
    (turned / "config.json").write_text(json.dumps(config))
    texts = some_texts(20)
    answers = Cascade(student, turned, threshold=1.0, device="cpu")(texts)
    expected = load_teacher(str(turned), "cpu")(texts).argmax(dim=1).tolist()
    assert [answer.label for answer in answers] == [["bad", "good"][row] for row in expected]


def test_an_unusable_answer_leaves_the_students(student: Path) -> None:
    def broken(texts: list[str]) -> list[list[float]]:
        return [[math.nan, math.nan] if text == "w1" else [0.0, 1.0] for text in texts]

    cascade = Cascade(student, broken, threshold=1.0, device="cpu")
    texts = [f"w{i}" for i in range(20)]
    by = {text: answer.by for text, answer in zip(texts, cascade(texts), strict=True)}
    assert by.pop("w1") == "student" and set(by.values()) == {"teacher"} and cascade.unusable == 1


def test_a_teacher_that_is_well_again_answers_again(student: Path) -> None:
    ill = True

    def teacher(texts: list[str]) -> list[list[float]]:
        return [[math.nan, math.nan] if ill else [0.0, 1.0] for _ in texts]

    cascade = Cascade(student, teacher, threshold=1.0, device="cpu")
    with pytest.raises(InputError, match="64 of 64 answers .* were unusable"):
        cascade(some_texts(200))
    ill = False
    assert [answer.by for answer in cascade(["good", "bad"])] == ["teacher"] * 2


def test_half_a_character_is_read_as_in_files_and_what_is_no_text_is_named(student: Path) -> None:
    seen: list[str] = []

    def teacher(texts: list[str]) -> list[list[float]]:
        seen.extend(texts)
        return [[0.0, 1.0]] * len(texts)

    cascade = Cascade(student, teacher, threshold=1.0, device="cpu")
    assert len(cascade(["good \ud83d w1", "bad"])) == 2 and seen == ["good ? w1", "bad"]
    for texts, pairs, said in ((["a", None], None, r"texts\[1\] is NoneType"), (["a"], [3], r"text_pairs\[0\] is int")):
        with pytest.raises(InputError, match=f"{said}, expected a text"):
            cascade(texts, pairs)  # type: ignore[arg-type]


def test_any_sequence_of_texts_is_read_and_a_table_is_refused(student: Path) -> None:
    cascade = Cascade(student, Oracle(), threshold=1.0)
    texts = some_texts(3)
    expected = cascade(texts)
    for given in (tuple(texts), (text for text in texts), np.array(texts), pandas.Series(texts, index=[7, 8, 9])):
        assert cascade(given) == expected
    assert cascade.texts == 15
    for given in (pandas.DataFrame({"text": texts}), {"text": texts}, set(texts), None, 3, b"one"):
        with pytest.raises(InputError, match=f"texts is {type(given).__name__}, expected a list of texts"):
            cascade(given)  # type: ignore[arg-type]
    assert cascade.texts == 15


def test_second_texts_for_a_student_of_single_ones_are_refused(student_folder: Path) -> None:
    with pytest.raises(InputError, match="text_pairs is given, but the student learnt from single texts"):
        Cascade(student_folder, Oracle(), threshold=1.0)(["one"], ["two"])


def test_names_of_classes_may_be_an_array_but_no_text(student: Path) -> None:
    assert Cascade(student, Oracle(), threshold=1.0, teacher_labels=np.array(["good", "bad"])).labels == ["good", "bad"]
    with pytest.raises(InputError, match="teacher_labels: 'good,bad'; expected a list of names"):
        Cascade(student, Oracle(), teacher_labels="good,bad")


def test_a_number_of_another_type_is_named(student: Path) -> None:
    for name, value in (("threshold", "0.9"), ("batch_size", 2.5), ("batch_size", None), ("max_length", 0)):
        with pytest.raises(InputError, match=f"{name} is {value!r}, expected a"):
            Cascade(student, Oracle(), **{name: value})
    Cascade(student, Oracle(), threshold=np.float32(0.5), batch_size=np.int64(2))


def test_what_does_not_fit_is_named(student: Path, student_folder: Path) -> None:
    oracle = Oracle()
    with pytest.raises(InputError, match=r"is not calibrated: prompter evaluate .* --calibrate TEXTS, or give threshold="):
        Cascade(student_folder, oracle)
    assert Cascade(student_folder, oracle, threshold=0.5).calibration is None
    with pytest.raises(InputError, match="threshold is 2, expected a number >= 0 and <= 1"):
        Cascade(student, oracle, threshold=2)
    with pytest.raises(InputError, match="batch_size is 0, expected a whole number >= 1"):
        Cascade(student, oracle, batch_size=0)
    with pytest.raises(InputError, match="has the classes good, bad, but the teacher .* has yes, no: give the teacher"):
        Cascade(student, oracle, teacher_labels=["yes", "no"])
    cascade = Cascade(student, oracle)
    with pytest.raises(InputError, match=r"texts is one text, expected a list of them: cascade\(\[text\]\)"):
        cascade("good")
    with pytest.raises(InputError, match="text_pairs holds 1 texts, expected as many as texts: 2"):
        cascade(["a", "b"], ["c"])
    calibrated(student, dataclasses.replace(FOUND, threshold=None))
    with pytest.raises(
        InputError, match=r"has no threshold for 95.0% agreement.*calibrate it for a lower rate \(--calibrate_to\)"
    ):
        Cascade(student, oracle)
    with pytest.raises(InputError, match="student: .*nowhere/there"):
        Cascade(student / "nowhere/there", oracle)
