"""A Python function as teacher: what it may return, how it is named, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.common.errors import InputError
from distill.teachers.callable_teacher import CallableTeacher, function_file

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


def test_callable_answers_become_log_probabilities() -> None:
    teacher = CallableTeacher("my_teacher:by_length")
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
        ("words", r"the name 'positive', which is none of \['a', 'b'\]"),
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
        ("my_teacher:number", "my_teacher:number is of type int; expected a function"),
        ("my_teacher:words", "one row of class probabilities .*give --teacher_labels"),
        ("my_teacher:nothing", "one row of class probabilities"),
    ],
)
def test_callables_that_cannot_be_used(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        CallableTeacher(spec)


def test_callable_needs_two_different_labels() -> None:
    for labels in (["a"], ["a", "a"], []):
        with pytest.raises(InputError, match="two or more different names"):
            CallableTeacher("my_teacher:sure", labels)


def answer(texts: list[str]) -> list[list[float]]:
    return [[0.25, 0.75]] * len(texts)


def test_a_function_is_taken_as_it_is_and_named_by_its_module() -> None:
    teacher = CallableTeacher(answer, ["a", "b"])
    assert teacher.path == f"{__name__}:answer"
    torch.testing.assert_close(teacher(["x"]).exp(), torch.tensor([[0.25, 0.75]]))
    assert CallableTeacher(lambda texts: answer(texts)).labels == ["0", "1"]


def test_source_is_known_of_functions_at_the_top_of_a_module_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CallableTeacher(answer, ["a", "b"]).source_file() == Path(__file__).resolve()
    with pytest.raises(InputError, match="<lambda> is not a function at the top level"):
        CallableTeacher(lambda texts: answer(texts), ["a", "b"]).source_file()
    monkeypatch.delattr(sys.modules[__name__], "__file__")
    with pytest.raises(InputError, match="has no source file"):
        CallableTeacher(answer, ["a", "b"]).source_file()


def test_file_of_a_function_is_found_without_running_it(tmp_path: Path) -> None:
    assert function_file("broken_module:f") == tmp_path / "broken_module.py"
    assert function_file("no_such_module:f") is None
    assert function_file("not a function") is None
