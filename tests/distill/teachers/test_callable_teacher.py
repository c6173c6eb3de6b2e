"""A Python function as teacher: what it may return, how it is named, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.common.errors import InputError
from distill.kinds.names import GivenKind
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.functions.importing import function_file
from distill.teachers.loading import load_teacher

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
calls = []
def paid(text):
    calls.append(text)
    return {"label": "a" if "ok" in text else "b", "score": 0.75}
def flaky(texts):
    if not calls and not flaky.failed:
        flaky.failed = True
        raise flaky.error("try again")
    return [paid(t) for t in texts]
flaky.failed, flaky.error = False, TimeoutError
def walks(texts): return [paid(texts[i]) for i in range(len(texts))] if calls or "none" not in flags else None
def wrong_names(texts): return [paid(t)["label"] * 2 for t in texts]
def hides(texts):
    try: return [paid(t) for t in texts] if isinstance(texts, str) else None
    except Exception: return {"label": "a", "score": 0.5}
def passing(texts):  # a list of texts at once, with a failure that passes
    calls.append(texts)
    if len(calls) == 1: raise ValueError("not JSON")
    return [[0.25, 0.75]] * (1 if isinstance(texts, str) else len(texts))
def one(text):
    if isinstance(text, list): raise TypeError("one text, please")
    calls.append(text)
    if text == "stop": raise one.error("the line is down")
    return [0.25, 0.75]
one.error = RuntimeError
def one_wide(text): return np.array([[0.25, 0.75]]) if text.strip() else None
def one_wide_tensor(text): return torch.tensor([[0.25, 0.75]]) if text.strip() else None
def one_name(text): return np.array(["b"]) if text.strip() else None
def exits(texts): raise SystemExit(0)
flags = set()
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
    assert CallableTeacher(answer, ["a", "b"]).source_files()[0] == Path(__file__).resolve()
    with pytest.raises(InputError, match="<lambda> is not a function at the top level"):
        CallableTeacher(lambda texts: answer(texts), ["a", "b"]).source_files()[0]
    monkeypatch.delattr(sys.modules[__name__], "__file__")
    with pytest.raises(InputError, match="has no source file"):
        CallableTeacher(answer, ["a", "b"]).source_files()[0]


def test_file_of_a_function_is_found_without_running_it(tmp_path: Path) -> None:
    assert function_file("broken_module:f") == tmp_path / "broken_module.py"
    assert function_file("no_such_module:f") is None
    assert function_file("not a function") is None


def calls() -> list[str]:
    found: list[str] = sys.modules["my_teacher"].calls
    return found


@pytest.mark.parametrize("error", [TimeoutError, RuntimeError, OSError, KeyError, ValueError, TypeError, AttributeError])
def test_a_passing_failure_costs_no_call_for_each_character(error: type[Exception]) -> None:
    teacher = two_class("flaky")
    sys.modules["my_teacher"].flaky.error = error
    texts = [f"ok {number}" for number in range(32)]
    with pytest.raises(InputError, match=f"flaky raised {error.__name__} .* when asked 32 texts"):
        teacher(texts)
    assert calls() == []
    torch.testing.assert_close(teacher(texts).exp(), torch.tensor([[0.75, 0.25]] * 32))
    assert calls() == texts


@pytest.mark.parametrize("name", ["wrong_names", "hides"])
def test_a_function_of_lists_is_not_asked_about_characters(name: str) -> None:
    teacher = two_class(name)
    assert teacher(["ok yes", "no"]).isnan().all()
    assert all(len(text) > 1 for text in calls())


def test_a_list_that_is_walked_by_its_numbers_is_not_taken_apart() -> None:
    teacher = two_class("walks")
    sys.modules["my_teacher"].flags.add("none")
    assert teacher(["ok yes", "no"]).isnan().all() and calls() == []


def test_an_error_that_passes_when_the_list_is_asked_again_was_no_evidence() -> None:
    teacher = two_class("passing")
    assert teacher(["ok", "no"]).isfinite().all() and teacher(["more", "texts"]).isfinite().all()
    assert calls() == [["ok", "no"], "ok", ["ok", "no"], ["more", "texts"]]


def test_the_answers_of_a_function_of_one_text_arrive_before_its_failure() -> None:
    teacher = two_class("one")
    got: list[int] = []
    with pytest.raises(InputError, match=r"one raised RuntimeError \(the line is down\) when asked one text"):
        for rows, _ in teacher.answers(["a", "b", "stop", "c"]):
            got += rows
    assert got == [0, 1] and calls() == ["a", "b", "stop"]
    sys.modules["my_teacher"].one.error, got = KeyboardInterrupt, []
    with pytest.raises(KeyboardInterrupt):
        for rows, _ in teacher.answers(["a", "stop"]):
            got += rows
    assert got == [0]


@pytest.mark.parametrize("name", ["one_wide", "one_wide_tensor", "one_name"])
def test_one_text_may_be_answered_with_a_batch_of_one(name: str) -> None:
    answers = two_class(name)(["x", "longer", "y"])
    assert answers.argmax(1).tolist() == [1, 1, 1] and answers.isfinite().all()


def test_one_answer_to_one_text_does_not_settle_what_a_function_takes() -> None:
    def first(texts: list[str]) -> dict[str, object]:
        said = [{"label": "b", "score": 0.75}] * (1 if isinstance(texts, str) else len(texts))
        return said[0]

    teacher = CallableTeacher(first, ["a", "b"])
    assert teacher(["x"]).isfinite().all() and teacher(["x", "y", "z"]).isfinite().all()


def test_an_end_of_the_program_in_the_code_of_the_user_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"exits raised SystemExit \(0\)"):
        two_class("exits")(["x"])
    (tmp_path / "script.py").write_text("import sys\ndef f(texts): return texts\nsys.exit()\n")
    with pytest.raises(InputError, match="cannot be imported .SystemExit: ; put what ends the program under: if __name__"):
        CallableTeacher("script.py:f")


@pytest.mark.parametrize(
    "names", [np.array(["b", "a"]), ("b", "a"), {0: "b", 1: "a"}, {1: "a", 0: "b"}, {"b": 0, "a": 1}, ["b", "a"]]
)
def test_labels_may_be_given_in_any_ordered_form(names: object) -> None:
    def f(texts: list[str]) -> list[list[float]]:
        return answer(texts)

    f.labels = names  # type: ignore[attr-defined]
    assert CallableTeacher(f).labels == ["b", "a"]
    assert CallableTeacher(answer, names).labels == ["b", "a"]  # type: ignore[arg-type]


@pytest.mark.parametrize("names", ["neg,pos", {"b", "a"}, {3: "a"}, 7, [["a"], ["b"]]])
def test_labels_without_an_order_are_refused(names: object) -> None:
    with pytest.raises(InputError, match="teacher_labels: .* expected a list of names"):
        CallableTeacher(answer, names)  # type: ignore[arg-type]


def test_given_names_never_change_places_with_those_of_the_function(caplog: pytest.LogCaptureFixture) -> None:
    def f(texts: list[str]) -> list[list[float]]:
        return answer(texts)

    f.labels = ["neg", "pos"]  # type: ignore[attr-defined]
    for swapped in (["pos", "neg"], ["POS", "NEG"], ["pos", "other"], ["a", "b", "c"]):
        with pytest.raises(InputError, match=r"answers in the order \['neg', 'pos'\]; leave them out"):
            CallableTeacher(f, swapped)
    assert CallableTeacher(f, ["NEG", "Pos"]).labels == ["NEG", "Pos"]
    assert CallableTeacher(f, ["bad", "good"]).labels == ["bad", "good"]
    assert "are called ['bad', 'good'], in this order" in caplog.text


def test_the_files_that_a_function_is_written_in_are_part_of_its_source(tmp_path: Path) -> None:
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("from pack.core import classify, teacher\nfrom numpy import mean\nimport functools\n"
                                         "half = functools.partial(classify)\n")  # fmt: skip
    (package / "core.py").write_text("def classify(texts): return [[0.25, 0.75]] * len(texts)\nclass T:\n"
                                     "    def __call__(self, texts): return classify(texts)\nteacher = T()\n")  # fmt: skip
    for name in ("classify", "teacher", "half"):
        files = CallableTeacher(f"pack:{name}", ["a", "b"]).source_files()
        assert files == [(package / "__init__.py").resolve(), (package / "core.py").resolve()]
    assert CallableTeacher("pack:mean", ["a", "b"]).source_files() == [(package / "__init__.py").resolve()]
    assert len(CallableTeacher("my_teacher:sure", ["a", "b"]).source_files()) == 1


def test_a_file_that_a_module_of_python_hides_is_named(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("def f(texts): return texts\n")
    with pytest.raises(InputError, match="module 'json' has no function 'f'.* for the file here, write json.py:f"):
        CallableTeacher("json:f", ["a", "b"])


def test_a_function_without_answers_is_not_taken_for_one_of_single_texts(caplog: pytest.LogCaptureFixture) -> None:
    teacher = CallableTeacher("my_teacher:nothing", given=GivenKind("score"))
    assert teacher(["x", "y"]).isnan().all() and "one text at a time" not in caplog.text


def test_a_function_of_one_list_is_told_how_a_teacher_of_pairs_is_called() -> None:
    def of_pairs(pairs: list) -> list:
        return [[0.5, 0.5] for _first, _second in pairs]

    teacher = CallableTeacher(of_pairs, ["different", "same"], given=GivenKind("pair"))
    with pytest.raises(
        InputError, match=r"two lists of texts to see where\. A teacher of pairs .* classify\(texts, text_pairs\)"
    ):
        teacher(["a boat", "a cow"], ["a wave", "a barn"])


@pytest.mark.parametrize(
    ("kind", "labels", "wanted"),
    [
        (GivenKind("multi_label"), ["a", "b"], "return for each text a probability from 0 to 1 of each label"),
        (GivenKind("score"), ["stars"], "return one number for each text"),
    ],
)
def test_what_to_return_is_said_by_the_kind(
    kind: GivenKind, labels: list[str], wanted: str, caplog: pytest.LogCaptureFixture
) -> None:
    teacher = CallableTeacher(lambda texts: [["a"], *[[0.5] * len(labels)] * (len(texts) - 1)], labels, given=kind)
    teacher(["one", "two", "three"])
    CallableTeacher(lambda texts: [["a"]] * len(texts), labels, given=kind)(["one", "two", "three"])
    assert wanted in caplog.text and "sum 1" not in caplog.text


def test_the_path_of_a_file_may_begin_with_a_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "C:" / "answers.py"  # here it is a folder, on Windows a drive
    file.parent.mkdir()
    file.write_text("def classify(texts):\n    return [[0.25, 0.75]] * len(texts)\n")
    found = load_teacher("C:/answers.py:classify", labels=["a", "b"])
    assert isinstance(found, CallableTeacher) and found(["x"]).argmax() == 1
    assert found.source_files() == [file] and function_file(found.path) == file
