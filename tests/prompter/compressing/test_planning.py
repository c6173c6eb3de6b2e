"""The rules of a plan, without any model."""

from typing import Any

import pytest

from distill.common.errors import InputError
from prompter.compressing.config import GENERATOR, CompressConfig
from prompter.compressing.looking import FUNCTION, MODEL, SERVICE, Looked
from prompter.compressing.planning import (
    BOTH,
    CRAFTED,
    FEWEST_EACH,
    PRETRAINED,
    PROMPTED,
    TEXTS,
    Plan,
    make_plan,
    teacher_layers,
)
from prompter.compressing.steps import carry_out, steps, training_settings, writing_settings
from prompter.compressing.words import plan_lines, teacher_words
from prompter.students.config import distill_settings
from prompter.training.settings import settings_from

BERT = Looked("models/teacher", MODEL, ["a", "b"], layers=6)
SEVERAL = Looked("models/several", MODEL, ["a", "b"], layers=6, answers="multi_label")
BLACK_BOX = Looked("https://host/predict", SERVICE)


def plan(looked: Looked, unmakeable: str = "", uncraftable: str = "", unreachable: str = "", **values: Any) -> Plan:
    config = CompressConfig(teacher=looked.name, to="small", **values)
    return make_plan(config, looked, lambda spec: unmakeable, lambda student: uncraftable, lambda generator: unreachable)


def test_weights_at_hand_are_crafted_from_into_layers_of_the_teacher() -> None:
    made = plan(BERT)
    assert (made.method, made.student, made.generator) == (CRAFTED, "teacher-layers:0,2", None)
    assert plan(BERT, size="base").student == "teacher-layers:0,2,4"
    assert all(reason.source.startswith("docs/") for reason in made.reasons)
    assert "--task_description" in made.notes[0] and not plan(BERT, data_free=True).notes


def test_as_dfd_and_then_texts_where_a_language_model_knows_what_to_write() -> None:
    named, told = plan(BERT, generator="gpt2"), plan(BERT, task_description="a report")
    assert (named.method, named.generator, named.last_rate) == (BOTH, "gpt2", 3e-4)
    assert (told.method, told.generator, told.learning_rate) == (BOTH, GENERATOR, 1e-3)
    offline = plan(BERT, task_description="a report", unreachable="no network")
    assert offline.method == CRAFTED and "no network" in offline.notes[0]
    numbered = plan(Looked("t", MODEL, ["LABEL_0", "LABEL_1"], layers=6), task_description="a report")
    assert numbered.method == CRAFTED and "--teacher_labels" in numbered.notes[0]
    assert plan(BERT, task_description="a report", uncraftable="x").method == PROMPTED


def test_a_budget_that_is_too_small_for_halves_is_said() -> None:
    few = 2 * FEWEST_EACH - 1
    alone, named = plan(BERT, budget=few, task_description="a report"), plan(BERT, budget=few, generator="gpt2")
    assert (alone.method, named.method) == (CRAFTED, PROMPTED)
    assert "1,023 is too small to be halved" in alone.notes[0] and "too small" in named.reasons[-1].words
    assert plan(BERT, budget=few + 1, generator="gpt2").method == BOTH


def test_the_two_halves_are_the_whole_budget_and_the_last_step_goes_on_from_the_first_student() -> None:
    made = plan(BERT, generator="gpt2", budget=6001, student="teacher-layers:0", seed=3)
    config = CompressConfig(teacher=BERT.name, to="small", generator="gpt2", budget=6001, eval_data="test.jsonl")
    run, craft, learn = steps(config, made, BERT)
    assert [step.folder.name for step in (run, craft, learn)] == ["run", "first_student", "student"]
    assert (run.values["budget"], craft.values["budget"], "budget" in learn.values) == (3000, 3001, False)
    assert craft.values["student"] == ["teacher-layers:0"] and learn.values["student"] == ["small/first_student"]
    assert learn.values["sources"] == ["small/run/dataset"] and "eval_data" not in craft.values
    rates = [(step.values["student_updates"], step.values["student_learning_rate"]) for step in (run, craft, learn)]
    assert rates == [(150, 1e-3), (300, 1e-3), (300, 3e-4)]
    assert craft.values["student_online_share"] == 0.25 and "student_online_share" not in learn.values
    stored = {
        "teacher": BERT.facts(),
        "plan": made.stored(),
        "settings": config.__dict__,
        "student_parameters": 1,
        "seconds": {},
    }
    lines = " ".join(plan_lines(stored, explain=False))
    assert "3,000 queries, into run/" in lines and "3,001 queries, 300 updates at rate 0.001, into first_student/" in lines
    assert "300 updates at rate 0.0003, into student/" in lines and "docs/benchmarks/compress.md, row both" in lines


def test_own_texts_are_used_alone() -> None:
    made = plan(BERT, texts="mine.txt", generator="gpt2")
    assert (made.method, made.student) == (TEXTS, "teacher-layers:0,2")
    assert "gpt2 is not used" in made.notes[0]
    assert "multi_label none is measured" in plan(SEVERAL, texts="mine.txt").notes[0]
    made = plan(SEVERAL)
    assert made.method == CRAFTED and "multi_label none is measured" in made.notes[0]


def test_a_toy_teacher_of_pairs_gets_texts_of_the_language_model_that_writes_pairs() -> None:
    pairs = Looked("toy:pairs", MODEL, ["entailment", "neutral", "contradiction"], layers=4, answers="pair")
    made = plan(pairs, uncraftable="x")
    assert (made.method, made.generator) == (PROMPTED, "toy:pairs")
    assert made.writing["label_descriptions"] == "{entailment: so, neutral: perhaps, contradiction: but}"


def test_a_black_box_gets_prompted_text_and_a_pre_trained_student() -> None:
    made = plan(BLACK_BOX, uncraftable="the teacher's weights are not at hand")
    assert (made.method, made.student, made.generator) == (PROMPTED, PRETRAINED["tiny"], GENERATOR)
    assert made.learning_rate == 3e-4 and made.writing["rollout_size"] == 64 and "--task_description" in made.notes[-1]
    assert plan(BLACK_BOX, uncraftable="x", size="base").student == PRETRAINED["base"]


def test_a_language_model_that_the_user_names_is_used() -> None:
    assert plan(BERT, uncraftable="x", generator="gpt2").generator == "gpt2"
    toy = Looked("toy:sentiment", MODEL, ["a", "b"], layers=4)
    named = plan(toy, generator="toy")
    assert named.method == BOTH and named.writing["in_context"] is False and plan(toy).method == CRAFTED


def test_random_weights_only_where_they_are_asked_for() -> None:
    made = plan(BERT, uncraftable="own embeddings", student="bert:layers=2,hidden=128")
    assert made.method == PROMPTED and "ten points" in made.notes[0]


@pytest.mark.parametrize(
    ("looked", "values", "said"),
    [
        (
            BLACK_BOX,
            {"unmakeable": "no network"},
            "student: the teacher's weights are not at hand, and no network: give --student",
        ),
        (BLACK_BOX, {"uncraftable": "no weights", "data_free": True}, "data_free .*no weights"),
        (BERT, {"unmakeable": "no such folder", "student": "x"}, "no such folder"),
    ],
)
def test_what_cannot_be_planned_is_said(looked: Looked, values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        plan(looked, **values)


def test_settings_that_contradict_each_other_are_refused() -> None:
    for values, said in (
        ({"data_free": True, "texts": "x"}, "texts is given"),
        ({"export": ["none", "onnx"]}, "export names"),
        ({"size": "huge"}, "size is 'huge'"),
        ({"to": ""}, "to is missing"),
    ):
        with pytest.raises(InputError, match=said):
            CompressConfig(**{"teacher": "t", "to": "small", **values})


@pytest.mark.parametrize("count", range(2, 13))
def test_a_student_of_layers_is_smaller_than_its_teacher(count: int) -> None:
    for size in ("tiny", "small", "base"):
        layers = [int(layer) for layer in str(teacher_layers(count, size)).partition(":")[2].split(",")]
        assert layers[0] == 0 and layers[-1] < count and 0 < len(layers) < count


@pytest.mark.parametrize(
    ("looked", "values", "verbs"),
    [
        (BERT, {}, ["distill"]),
        (BERT, {"texts": "mine.txt"}, ["distill"]),
        (BLACK_BOX, {"uncraftable": "x", "task_description": "a report"}, ["train", "distill"]),
        (Looked("toy:topic", MODEL, ["a", "b"], layers=4), {"generator": "toy"}, ["train", "distill", "distill"]),
        (BERT, {"task_description": "a report"}, ["train", "distill", "distill"]),
        (Looked("my:function", FUNCTION), {"uncraftable": "x", "eval_data": "test.jsonl"}, ["train", "distill"]),
    ],
)
def test_every_step_is_a_call_that_its_verb_understands(looked: Looked, values: dict[str, Any], verbs: list[str]) -> None:
    made = plan(looked, **values)
    config = CompressConfig(
        teacher=looked.name, to="small", **{k: v for k, v in values.items() if k in CompressConfig.__dataclass_fields__}
    )
    todo = steps(config, made, looked)
    assert [step.verb for step in todo] == verbs
    for step in todo:
        if step.verb == "train":
            settings = settings_from(step.values)
            assert settings.run.budget == 6000 // (len(verbs) - 1) and settings.policy == writing_settings(config, made)[0]
            assert step.command().startswith("prompter train --")
        else:
            training = distill_settings(step.values)[1]
            assert step is todo[-1] and len(verbs) == 3 or training == training_settings(made)
    assert Plan.read(made.stored()) == made
    assert callable(carry_out)


def test_a_writer_elsewhere_needs_a_name_and_is_passed_on() -> None:
    address = "http://host/v1?key=s3cret#m"
    with pytest.raises(InputError, match=r"^writer is 'http://host/v1#m', but no language model is named: give --generator"):
        CompressConfig(teacher="https://host/predict", to="small", writer=address)
    config = CompressConfig(teacher="https://host/predict", to="small", generator="gpt2", writer=address)
    made = make_plan(config, BLACK_BOX, lambda spec: "", lambda student: "its weights are not here", lambda generator: "")
    train, learn = steps(config, made, BLACK_BOX)
    assert train.values["writer"] == address and "writer" not in learn.values
    assert "--writer 'http://host/v1#m'" in train.command() and "s3cret" not in train.command()


def test_word_vectors_are_for_a_student_that_is_named() -> None:
    with pytest.raises(InputError, match="student_words is for a student of random weights.*give --student"):
        CompressConfig(teacher="models/teacher", to="small", student_words="models/lm")
    assert plan(BERT, student="bert:layers=2,hidden=128", student_words="models/lm").student == "bert:layers=2,hidden=128"


def test_edits_go_to_the_run_that_writes() -> None:
    made = plan(BERT, generator="gpt2", edit_labels=["negative"], edits=["swap"])
    assert {name: made.writing[name] for name in ("edit_labels", "edits", "edits_min", "edits_max")} == {
        "edit_labels": ["negative"], "edits": ["swap"], "edits_min": 1, "edits_max": 2
    }  # fmt: skip
    assert "edit_labels" not in plan(BERT, generator="gpt2").writing
    for given in ({}, {"texts": "mine.txt"}):
        with pytest.raises(InputError, match="edit_labels is for texts of a language model, and the plan has none"):
            plan(BERT, edit_labels=["negative"], **given)
    with pytest.raises(InputError, match="edit_labels is given, but data_free says to use no text"):
        plan(BERT, edit_labels=["negative"], data_free=True)


def test_words_for_classes_go_to_the_run_that_writes() -> None:
    made = plan(BERT, generator="gpt2", label_descriptions="{negative: bad}")
    assert made.writing["label_descriptions"] == "{negative: bad}"
    assert "label_descriptions" not in plan(BERT, generator="gpt2").writing
    with pytest.raises(InputError, match="label_descriptions is for texts of a language model, and the plan has none"):
        plan(BERT, label_descriptions="{negative: bad}")
    with pytest.raises(InputError, match="label_descriptions is given, but data_free says to use no text"):
        plan(BERT, label_descriptions="{negative: bad}", data_free=True)


@pytest.mark.parametrize("kind", ["score", "score_pair"])
def test_a_number_needs_no_name(kind: str) -> None:
    made = plan(Looked("models/stars", MODEL, ["LABEL_0"], layers=6, answers=kind), generator="gpt2")
    assert made.method == BOTH and not any("numbered" in note for note in made.notes)


def test_names_of_classes_and_tags_are_called_so() -> None:
    for answers, words in (("single", "2 classes"), ("pair", "2 classes"), ("multi_label", "2 labels"), ("tokens", "2 tags")):
        seen = {"kind": MODEL, "answers": answers, "labels": ["a", "b"], "layers": 2, "parameters": 9, "bytes": 9}
        assert f"{words} (a, b)" in teacher_words(seen | {"milliseconds": 1.0})


def test_a_fault_of_the_student_is_said_once() -> None:
    fault = "student: layers of a x teacher cannot be copied; one of random weights can be made: x:layers=2."
    with pytest.raises(InputError) as caught:
        plan(BERT, unmakeable=fault)
    assert str(caught.value).startswith("student: layers of a x teacher cannot be copied, and layers of a x teacher")
