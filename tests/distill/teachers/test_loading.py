"""Which name opens which kind of teacher."""

import json
import shutil
from pathlib import Path

import pytest

from distill.common.errors import InputError
from distill.kinds.names import AUTO, GivenKind
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.config import Asking
from distill.teachers.loading import load_teacher
from distill.teachers.services.http_teacher import HttpTeacher
from distill.teachers.transformers_teacher import TransformersTeacher


def test_each_name_opens_its_kind_of_teacher(bert_folder: Path) -> None:
    assert isinstance(load_teacher(str(bert_folder), "cpu"), TransformersTeacher)
    assert isinstance(load_teacher("http://host/predict", labels=["a", "b"]), HttpTeacher)
    by_name, itself = load_teacher("json:dumps", labels=["a", "b"]), load_teacher(json.dumps, labels=["a", "b"])
    assert isinstance(by_name, CallableTeacher) and isinstance(itself, CallableTeacher)
    assert by_name.path == itself.path == "json:dumps"
    assert by_name.function is itself.function


def test_given_labels_rename_but_must_be_as_many(bert_folder: Path) -> None:
    assert load_teacher(str(bert_folder), "cpu", ["x", "y", "z"]).labels == ["x", "y", "z"]
    with pytest.raises(InputError, match=r"teacher_labels: 2 names .* has 3 classes \['sea', 'field', 'town'\]"):
        load_teacher(str(bert_folder), "cpu", ["x", "y"])


@pytest.mark.parametrize(
    ("own", "given", "kinds"),
    [
        (["not_duplicate", "original", "duplicate"], ["other", "new", "same"], ("pair", "single", "pair")),  # by kind
        (["LABEL_0", "LABEL_1", "LABEL_2"], ["not_duplicate", "original", "duplicate"], ("pair", "single", "pair")),
        (["LABEL_0", "LABEL_1", "LABEL_2"], ["bad", "fair", "good"], ("single", "single", "pair")),
    ],
)
def test_new_names_of_its_classes_do_not_make_a_classifier_of_pairs_read_single_texts(
    bert_folder: Path, tmp_path: Path, own: list[str], given: list[str], kinds: tuple[str, ...]
) -> None:
    folder = shutil.copytree(bert_folder, tmp_path / "named")
    settings = json.loads((folder / "config.json").read_text()) | {"id2label": dict(enumerate(own)), "label2id": None}
    (folder / "config.json").write_text(json.dumps(settings))
    asked = (Asking(kind=GivenKind(name)) for name in (AUTO, "single", "pair"))
    assert tuple(load_teacher(str(folder), "cpu", given, asking=asking).kind.name for asking in asked) == kinds


def test_existing_folder_wins_over_a_callable(bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bert_folder, tmp_path / "models:teacher")
    assert isinstance(load_teacher("models:teacher", "cpu"), TransformersTeacher)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("127.0.0.1:8080/predict?key=hidden", "teacher: '127.0.0.1:8080/predict' is no address: write http://127.0.0.1:8080/predict"),
        ("localhost:8080", "write http://localhost:8080"),
        ("http:/host/predict", "write http://host/predict"),
        ("vllm+HTTPS:/host/classify", "write vllm[+]https://host/classify"),
        ("triton+http://host/predict", "names no format of a service: expected tei[+], endpoint[+], vllm[+], openai[+] or"),
    ],
)  # fmt: skip
def test_what_was_meant_as_an_address_is_said(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as failure:
        load_teacher(name)
    assert "hidden" not in str(failure.value)


def test_two_classes_of_one_name_are_refused(bert_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bert_folder, tmp_path / "twice")
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"id2label": {"0": "a", "1": "a", "2": "b"}, "label2id": None}
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match="correct id2label in its config.json, or give different names with --teacher_labels"):
        load_teacher(str(folder), "cpu")
    with pytest.raises(InputError, match="teacher_labels: .* expected two or more different names"):
        load_teacher(str(folder), "cpu", ["x", "x", "z"])
    assert load_teacher(str(folder), "cpu", ["x", "y", "z"]).labels == ["x", "y", "z"]
