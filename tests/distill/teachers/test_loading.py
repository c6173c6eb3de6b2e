import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import pipeline

from distill.common.errors import InputError
from distill.teachers.base import Teacher
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.loading import load_teacher
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import LABELS, random_texts

MODULE = """
import numpy as np, torch

def by_length(texts, text_pairs=None):
    share = np.array([len(t) / (len(t) + 10) for t in texts])
    if text_pairs is not None:
        share = share * 0.5
    return np.stack([share, 1 - share], axis=1)
by_length.labels = ["long", "short"]

def unlabelled(texts): return [[0.2, 0.3, 0.5]] * len(texts)
def as_tensor(texts): return torch.tensor(unlabelled(texts), requires_grad=True)
def as_tensors(texts): return list(as_tensor(texts))
def sure(texts): return [[1.0, 0.0]] * len(texts)
def with_nan(texts): return [[0.5, 0.5] if "ok" in t else [float("nan"), 0.5] for t in texts]
def negative(texts): return [[1.5, -0.5]] * len(texts)
def logits(texts): return [[2.0, 1.0]] * len(texts)
def too_few(texts): return [[0.5, 0.5]] * (len(texts) - 1)
def too_wide(texts): return [[0.2, 0.3, 0.5]] * len(texts)
def flat(texts): return [0.5] * len(texts)
def ragged(texts): return [[0.5, 0.5] if "ok" in t else [1.0] for t in texts]
def words(texts): return ["positive"] * len(texts)
def nothing(texts): return None
def broken(texts): raise RuntimeError("the service is down")
number = 5
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's file in the working directory, which is not on the path."""
    (tmp_path / "my_teacher.py").write_text(MODULE)
    (tmp_path / "broken_module.py").write_text("import no_such_package")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.delitem(sys.modules, "my_teacher", raising=False)


def two_class(name: str) -> CallableTeacher:
    return CallableTeacher(f"my_teacher:{name}", ["a", "b"])


def test_folder_answers_as_the_transformers_pipeline_does(bert_folder: Path) -> None:
    texts = random_texts(30, 0)
    teacher: Teacher = load_teacher(str(bert_folder), "cpu")
    predictions = teacher(texts)
    classify = pipeline("text-classification", model=str(bert_folder), top_k=None, device="cpu")
    for row, said in zip(predictions, classify(texts), strict=True):
        assert dict(zip(LABELS, row.exp().tolist(), strict=True)) == pytest.approx(
            {item["label"]: item["score"] for item in said}, abs=1e-4
        )


def test_every_text_asked_is_one_query(teacher: TransformersTeacher) -> None:
    teacher(["boat", "boat"])
    teacher([])
    teacher(["cow"], ["hay"])
    assert (teacher.queries, teacher.invalid) == (3, 0)


def test_tokenizer_without_pad_token_is_handled(bert_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert_folder, tmp_path / "nopad"))
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).exists():
            settings = json.loads((folder / name).read_text())
            settings.pop("pad_token", None)
            (folder / name).write_text(json.dumps(settings))
    texts = random_texts(20, 1)
    expected = TransformersTeacher(bert_folder, "cpu")(texts)
    torch.testing.assert_close(load_teacher(str(folder), "cpu")(texts), expected)


def test_teacher_with_nan_weights_is_stopped(bert_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert_folder, tmp_path / "nan"))
    weights = load_file(folder / "model.safetensors")
    weights["classifier.weight"].fill_(float("nan"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    teacher = load_teacher(str(folder), "cpu")
    assert teacher(["boat"]).isnan().all()
    with pytest.raises(InputError, match="101 of 101 answers .* were unusable"):
        teacher(random_texts(100, 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id2label": {"0": "score"}, "label2id": {"score": 0}}, "has 1 output"),
        ({"problem_type": "multi_label_classification"}, "multi-label"),
    ],
)
def test_classifiers_of_another_kind_are_refused(bert_folder: Path, tmp_path: Path, change: dict, message: str) -> None:
    folder = Path(shutil.copytree(bert_folder, tmp_path / "changed"))
    settings = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=message):
        load_teacher(str(folder), "cpu")


def test_given_labels_rename_but_must_be_as_many(bert_folder: Path) -> None:
    assert load_teacher(str(bert_folder), "cpu", ["x", "y", "z"]).labels == ["x", "y", "z"]
    with pytest.raises(InputError, match=r"teacher_labels: 2 names .* has 3 classes \['sea', 'field', 'town'\]"):
        load_teacher(str(bert_folder), "cpu", ["x", "y"])


def test_hidden_states_cost_no_query(teacher: TransformersTeacher) -> None:
    inputs = teacher.tokenizer(["boat"], return_tensors="pt")
    states = teacher.hidden_states(dict(inputs))
    assert [state.shape for state in states] == [(1, 3, 32)] * 4
    assert teacher.queries == 0


def test_callable_answers_become_log_probabilities() -> None:
    teacher = load_teacher("my_teacher:by_length")
    assert teacher.labels == ["long", "short"]
    predictions = teacher(["x" * 10, "x" * 30])
    assert predictions.dtype == torch.float32
    np.testing.assert_allclose(predictions.exp().numpy(), [[0.5, 0.5], [0.75, 0.25]], rtol=1e-5)
    np.testing.assert_allclose(teacher(["x" * 10], ["y"]).exp().numpy(), [[0.25, 0.75]], rtol=1e-5)
    assert teacher([]).shape == (0, 2)
    assert (teacher.queries, teacher.invalid) == (3, 0)


def test_callable_without_labels_is_asked_once_and_that_is_counted() -> None:
    teacher = CallableTeacher("my_teacher:unlabelled")
    assert (teacher.labels, teacher.queries) == (["0", "1", "2"], 1)
    for name in ("as_tensor", "as_tensors"):
        tensor = CallableTeacher(f"my_teacher:{name}", ["a", "b", "c"])
        assert tensor.queries == 0
        torch.testing.assert_close(tensor(["x"]), teacher(["x"]))
        assert not tensor(["x"]).requires_grad


def test_a_sure_answer_stays_finite() -> None:
    predictions = two_class("sure")(["x"])
    assert torch.isfinite(predictions).all()
    assert predictions[0, 1] < -15


@pytest.mark.parametrize("name", ["with_nan", "ragged"])
def test_bad_rows_are_dropped_and_counted_and_the_others_kept(name: str) -> None:
    teacher = two_class(name)
    predictions = teacher(["ok"] * 60 + ["bad"] * 40)
    torch.testing.assert_close(predictions[:60].exp(), torch.full((60, 2), 0.5))
    assert predictions[60:].isnan().all()
    assert (teacher.queries, teacher.invalid) == (100, 40)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("with_nan", "finite"),
        ("negative", r"sum 1, such as \[ ?1.5 -0.5\]"),
        ("logits", r"sum 1, such as \[2. 1.\]"),
        ("too_few", r"shape \(31, 2\) instead of \(32, 2\)"),
        ("too_wide", r"shape \(32, 3\) instead of \(32, 2\)"),
        ("flat", r"shape \(32,\)"),
        ("ragged", r"shape \(32, 1\)"),
        ("words", "not 2 numbers"),
        ("nothing", r"shape \(\)|NoneType"),
    ],
)
def test_only_bad_answers_stop_the_run_with_the_reason(name: str, reason: str) -> None:
    teacher = two_class(name)
    assert teacher(["bad"] * 32).isnan().all()  # too few to judge by
    with pytest.raises(InputError, match=f"64 of 64 answers of my_teacher:{name} were unusable.*{reason}"):
        teacher(["bad"] * 32)


def test_bad_answers_are_judged_over_the_whole_run() -> None:
    teacher = two_class("with_nan")
    teacher(["ok"] * 100)
    teacher(["bad"] * 100)
    with pytest.raises(InputError, match="101 of 201"):
        teacher(["bad"])


def test_exception_in_the_callable_is_named() -> None:
    with pytest.raises(InputError, match=r"my_teacher:broken raised RuntimeError \(the service is down\)"):
        two_class("broken")(["x"])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no_such_module:f", "module 'no_such_module' .* cannot be imported"),
        ("broken_module:f", "no_such_package"),
        ("my_teacher:by_lenght", "no function 'by_lenght'. Did you mean 'by_length'"),
        ("my_teacher:number", "no function 'number'"),
        ("my_teacher:flat", "one row of class probabilities"),
        ("my_teacher:nothing", "one row of class probabilities"),
    ],
)
def test_callables_that_cannot_be_used(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_teacher(spec)


def test_callable_needs_two_different_labels() -> None:
    for labels in (["a"], ["a", "a"], []):
        with pytest.raises(InputError, match="two or more different names"):
            CallableTeacher("my_teacher:sure", labels)


def test_existing_folder_wins_over_a_callable(bert_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(bert_folder, tmp_path / "models:teacher")
    assert isinstance(load_teacher("models:teacher", "cpu"), TransformersTeacher)
