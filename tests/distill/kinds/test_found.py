"""Which kind a classifier is: what its files say, what the user says, and what cannot be both."""

from types import SimpleNamespace

import pytest

from distill.common.errors import InputError
from distill.kinds.classes import PAIR, SINGLE
from distill.kinds.found import activation_of, kind_of, kind_of_model, store_kind, stored_kind, written
from distill.kinds.labels import MULTI_LABEL
from distill.kinds.names import NOT_GIVEN, GivenKind, given_by
from distill.kinds.scores import Score


def config(*labels: str, problem_type: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(num_labels=len(labels), problem_type=problem_type, id2label=dict(enumerate(labels)))


NLI = ("contradiction", "neutral", "entailment")


@pytest.mark.parametrize(
    ("about", "given", "expected"),
    [
        (config("a", "b"), NOT_GIVEN, SINGLE),
        (config("a", "b"), GivenKind("pair"), PAIR),
        (config(*NLI), NOT_GIVEN, PAIR),
        (config(*NLI), GivenKind("single"), SINGLE),
        (config("a", "b", problem_type="multi_label_classification"), NOT_GIVEN, MULTI_LABEL),
        (config("a", "b"), GivenKind("multi_label"), MULTI_LABEL),
        (config("a"), GivenKind("auto", 1, 5), Score(1, 5)),
        (config("a", problem_type="regression"), GivenKind("score_pair", 0, 5), Score(0, 5, texts=2)),
    ],
)
def test_a_models_kind(about: SimpleNamespace, given: GivenKind, expected: object) -> None:
    assert kind_of_model(about, given, "teacher: x") == expected


@pytest.mark.parametrize(
    ("about", "name"),
    [
        (config("a", "b", problem_type="multi_label_classification"), "single"),
        (config("a", "b", problem_type="single_label_classification"), "multi_label"),
        (config("a"), "multi_label"),
        (config("a", "b"), "score"),
    ],
)
def test_what_cannot_be_both_is_refused(about: SimpleNamespace, name: str) -> None:
    with pytest.raises(InputError, match=f"kind is {name}, but teacher: x is of the kind .*leave --kind out"):
        kind_of_model(about, GivenKind(name), "teacher: x")


SIGMOID, IDENTITY = "torch.nn.modules.activation.Sigmoid", "torch.nn.modules.linear.Identity"


@pytest.mark.parametrize(
    ("noted", "one", "several"),
    [
        ({"sentence_transformers": {"activation_fn": SIGMOID, "version": "5.1.0"}}, "Sigmoid", "Sigmoid"),
        ({"sentence_transformers": {"version": "5.1.0"}}, "Sigmoid", "Identity"),
        ({"sbert_ce_default_activation_function": IDENTITY}, "Identity", "Identity"),
    ],
)
def test_a_cross_encoder_of_sentence_transformers_reads_two_texts(noted: dict, one: str, several: str) -> None:
    for labels, kind, activation in ((["a"], Score(texts=2), one), (["a", "b", "c"], PAIR, several)):
        about = config(*labels)
        vars(about).update(noted)
        assert kind_of_model(about, NOT_GIVEN, "teacher: x") == kind and activation_of(about) == activation
        single = kind_of_model(about, GivenKind("score" if len(labels) == 1 else "single"), "teacher: x")
        assert single == (Score() if len(labels) == 1 else SINGLE)
        store_kind(about, single)  # a student of it answers with its outputs
        assert activation_of(about) is None and kind_of_model(about, NOT_GIVEN, "teacher: x") == single
        vars(about).update(noted, prompter_max_length=64)  # one of an earlier version, which kept the note
        assert activation_of(about) is None


def test_a_black_box_is_what_the_user_or_its_class_names_say() -> None:
    assert kind_of(NOT_GIVEN, ["a", "b"]) == SINGLE
    assert kind_of(NOT_GIVEN, NLI) == PAIR
    assert kind_of(GivenKind("score", 0, 5), []) == Score(0, 5)


@pytest.mark.parametrize("kind", [SINGLE, PAIR, MULTI_LABEL, Score(1, 5), Score(0, 5, texts=2)])
def test_a_students_files_hold_its_kind(kind) -> None:
    labels = ["a"] if isinstance(kind, Score) else ["a", "b"]
    about = config(*labels, problem_type=kind.problem_type)
    store_kind(about, kind)
    assert stored_kind(about) == kind
    assert kind_of_model(about, NOT_GIVEN, "model: x") == kind
    assert kind_of(given_by(written(kind)) or NOT_GIVEN, labels) == kind


def test_a_student_is_not_of_the_kind_of_the_model_that_it_was_made_of() -> None:
    about = config("a", "b")
    store_kind(about, PAIR)
    store_kind(about, SINGLE)
    assert stored_kind(about) == SINGLE


@pytest.mark.parametrize("values", [None, {}, {"kind": "other"}, {"kind": "score", "score_low": "0"}, {"kind": ["score"]},
                                    {"kind": "score", "score_low": 2, "score_high": 1}])  # fmt: skip
def test_nonsense_in_a_file_says_nothing(values: object) -> None:
    assert given_by(values) is None
