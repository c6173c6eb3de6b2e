"""The card of a student: what its header tells the hub, and what it keeps to itself."""

from pathlib import Path

import pytest
import torch
import yaml

from distill.common.files import write_json
from distill.common.precision import using_dtype
from distill.kinds.classes import PAIR, SINGLE
from distill.kinds.found import written
from distill.kinds.kind import Kind
from distill.kinds.labels import MULTI_LABEL
from distill.kinds.scores import Score
from distill.student import Student
from distill.students.static import static_model
from eval.classifiers.calibration import Calibration
from prompter.deploying.calibrating import write_calibration
from prompter.saved.hub import USE, _by_id
from prompter.saved.student_card import calibration_section, write_student_card
from tests.prompter.tiny import word_tokenizer

METRICS = {
    "spec": "bert:layers=1,hidden=16", "updates": 40, "selected_update": 20, "held_out_agreement": 0.9, "held_out_kl": 0.1,
    "parameters": 1000, "bytes": 4000, "accuracy": 0.81234, "macro_f1": 0.8, "n": 30,
}  # fmt: skip


def header_of(folder: Path, eval_data: str | None) -> dict:
    metrics = METRICS if eval_data else {key: value for key, value in METRICS.items() if key not in ("accuracy", "macro_f1")}
    summary = {
        "labels": ["good", "bad"], "teacher": "toy:sentiment", "sources": ["data"], "texts": 100, "teacher_queries": 50,
        "held_out_texts": 5, "students": {"tiny": metrics},
        "config": {"to": "models/small one", "student_batch_size": 16, "eval_data": eval_data, "eval_split": "test"},
    }  # fmt: skip
    write_student_card(folder, "tiny", summary)
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_the_header_holds_the_figures_on_a_dataset_of_the_hub(tmp_path: Path) -> None:
    head = header_of(tmp_path, "org/reviews")
    assert head["library_name"] == "transformers" and head["pipeline_tag"] == "text-classification"
    (index,) = head["model-index"]
    (result,) = index["results"]
    assert index["name"] == "small one"
    assert result["dataset"] == {"name": "org/reviews", "type": "org/reviews", "split": "test"}
    assert {metric["type"]: metric["value"] for metric in result["metrics"]} == {"accuracy": 0.8123, "f1": 0.8}


@pytest.mark.parametrize("data", ["/home/me/private.csv", "private/data.jsonl", "toy:sentiment", "~/x"])
def test_a_file_of_the_user_is_not_named_in_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "data.jsonl").touch()
    head = header_of(tmp_path, data)
    if data.startswith("/"):
        assert f"on {Path(data).name} (30 rows)" in (tmp_path / "README.md").read_text()
        assert data not in (tmp_path / "README.md").read_text()
    assert data not in yaml.safe_dump(head) and head["model-index"][0]["results"][0]["dataset"]["type"] == "unknown"


def test_without_evaluation_data_there_are_no_figures(tmp_path: Path) -> None:
    assert "model-index" not in header_of(tmp_path, None)


@pytest.mark.parametrize(
    ("scores", "types", "task", "line"),
    [
        (
            {"entity_f1": 0.51234},
            ["f1"],
            "token-classification",
            "| entity F1 | 0.512 on org/reviews (30 rows), which",
        ),
        (
            {"pearson": 0.9, "mse": 0.25},
            ["mse", "pearsonr"],
            "text-classification",
            "| squared error | 0.25 on the same rows",
        ),
        (
            {"micro_f1": 0.5, "macro_f1": 0.4},
            ["f1", "f1"],
            "text-classification",
            "| micro-F1 | 0.500 on org/reviews",
        ),
        ({"pearson": float("nan")}, [], None, "| Pearson correlation | – on"),
    ],
)
def test_each_kind_has_its_scores_on_the_card(tmp_path: Path, scores: dict, types: list, task: str | None, line: str) -> None:
    kept = {key: value for key, value in METRICS.items() if key not in ("accuracy", "macro_f1")}
    summary = {
        "labels": ["good", "bad"], "teacher": "toy:sentiment", "sources": ["data"], "texts": 100, "teacher_queries": 50,
        "held_out_texts": 5, "students": {"tiny": kept | scores},
        "config": {"to": "small", "student_batch_size": 16, "eval_data": "org/reviews", "eval_split": "test"},
    }  # fmt: skip
    if task == "token-classification":
        summary |= {"labels": ["O", "B-x"], "kind": "tokens", "tags": ["O", "B-x"]}
    write_student_card(tmp_path, "tiny", summary)
    text = (tmp_path / "README.md").read_text()
    results = yaml.safe_load(text.split("---\n")[1]).get("model-index", [{"results": []}])[0]["results"]
    assert sorted(metric["type"] for result in results for metric in result["metrics"]) == types
    assert not task or results[0]["task"]["type"] == task
    assert line in text


@pytest.mark.parametrize(
    ("about", "task", "title", "call"),
    [
        ({}, "text-classification", "A small text classifier", 'classify("A text.")\n'),
        ({"kind": "pair"}, "text-classification", "A small classifier of pairs of texts", 'classify([{"text": "A text."'),
        ({"kind": "tokens", "tags": ["O", "B-x"]}, "token-classification", "A small tagger of words", 'tag("A text.")'),
    ],
)
def test_the_code_on_the_card_opens_a_student_of_its_kind(
    tmp_path: Path, about: dict, task: str, title: str, call: str
) -> None:
    summary = {
        "labels": about.get("tags", ["good", "bad"]), "teacher": "toy:x", "sources": ["data"], "texts": 100,
        "teacher_queries": 50, "held_out_texts": 5, "students": {"tiny": METRICS},
        "config": {"to": "small", "student_batch_size": 16, "eval_data": None, "eval_split": "test"},
    }  # fmt: skip
    write_student_card(tmp_path, "tiny", summary | about)
    text = (tmp_path / "README.md").read_text()
    assert yaml.safe_load(text.split("---\n")[1])["pipeline_tag"] == task
    assert f'pipeline("{task}", "small"' in text and title in text and call in text


@pytest.mark.parametrize(
    ("tags", "joined"),
    [
        (["O", "B-x", "I-x"], True),
        (["O", "x"], True),
        (["NOUN", "VERB"], False),  # two nouns would come out as one
        (["O", "B-x", "I-x", "E-x", "S-x"], False),  # an E- would come out as an entity of its own
        (["O", "B-x", "L-x"], False),
    ],
)
def test_the_card_of_a_tagger_says_nothing_of_entities_that_pipeline_does_not_join(
    tmp_path: Path, tags: list[str], joined: bool
) -> None:
    summary = {
        "labels": tags, "teacher": "toy:x", "sources": ["data"], "texts": 100, "teacher_queries": 50, "held_out_texts": 5,
        "students": {"tiny": METRICS}, "kind": "tokens", "tags": tags,
        "config": {"to": "small", "student_batch_size": 16, "eval_data": None, "eval_split": "test"},
    }  # fmt: skip
    write_student_card(tmp_path, "tiny", summary)
    text = (tmp_path / "README.md").read_text()
    assert ('aggregation_strategy="simple"' in text) == ("the entities, each" in text) == joined
    assert ("the tag of each token" in text) == (not joined)


@pytest.mark.parametrize(
    ("kind", "labels"),
    [(SINGLE, ["good", "bad"]), (PAIR, ["good", "bad"]), (MULTI_LABEL, ["good", "bad"]), (Score(0, 5), ["stars"])],
)
def test_the_code_on_the_card_of_a_static_student_runs(
    tmp_path: Path, kind: Kind, labels: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = word_tokenizer()
    model = static_model(torch.randn(len(tokenizer), 8), tokenizer, len(labels))
    student = Student(model, tokenizer, torch.device("cpu"), labels, "static", kind)
    student.save(tmp_path / "s")
    summary = {
        "labels": labels, "teacher": "toy:x", "sources": ["data"], "texts": 100, "teacher_queries": 50, "held_out_texts": 5,
        "students": {"tiny": METRICS},
        "config": {"to": str(tmp_path / "s"), "student_batch_size": 16, "eval_data": None, "eval_split": "test"},
    }  # fmt: skip
    write_student_card(tmp_path / "s", "tiny", summary | written(kind))
    card = (tmp_path / "s" / "README.md").read_text()
    assert yaml.safe_load(card.split("---\n")[1])["library_name"] == "model2vec"
    with using_dtype("float32"):
        exec(card.split("```python\n")[1].split("```")[0])
        answers = student.answers(["A text."], ["Another text."] if kind == PAIR else None)
    wanted = answers if kind.name == "score" else answers.sigmoid() if kind == MULTI_LABEL else answers.exp()
    assert capsys.readouterr().out.strip() == f"{labels} {wanted}"
    published = USE.sub(lambda found: _by_id(found, "me/small"), card)
    assert 'load_teacher("me/small")\n' in published and str(tmp_path) not in published


def test_the_calibration_of_labels_speaks_of_the_least_sure_one() -> None:
    found = {
        "temperature": 1.5, "threshold": 0.9, "rate": 0.95, "confidence": 0.95, "texts": 400, "coverage": 0.5,
        "agreement": 0.97, "at_least": 0.951, "states": 1, "on": "texts of mine.txt",
    }  # fmt: skip
    one, several = (" ".join(calibration_section(found, kind).split()) for kind in (SINGLE, MULTI_LABEL))
    assert "Take the highest probability of its answer" in one and "For each label" not in one
    assert "For each label take the higher one" in several and "highest probability" not in several
    rest = "at 95 % confidence (lower Clopper-Pearson bound 95.1 %; 97.0 % were measured)"
    assert rest in one and rest in several and "on all labels of at least 95.0 % of texts" in several


@pytest.mark.parametrize("kind", [SINGLE, PAIR, MULTI_LABEL, Score(0, 5)])
def test_a_student_without_a_calibration_is_said_to_have_none(tmp_path: Path, kind: Kind) -> None:
    summary = {
        "labels": ["stars"] if kind.name == "score" else ["good", "bad"], "teacher": "toy:x", "sources": ["data"],
        "texts": 9, "teacher_queries": 9, "held_out_texts": 1, "students": {"tiny": METRICS},
        "config": {"to": str(tmp_path), "student_batch_size": 16, "eval_data": None, "eval_split": "test"},
    }  # fmt: skip
    write_student_card(tmp_path, "tiny", summary | written(kind))
    card = (tmp_path / "README.md").read_text()
    assert ("It is not calibrated" in card) == (kind.name != "score")
    assert ("--calibrate" in " ".join(card.split())) == (kind in (SINGLE, MULTI_LABEL))
    assert card.index("## When to trust it") < card.index("## Limits") if kind.name != "score" else True
    if kind == SINGLE:
        write_json(tmp_path / "config.json", {})
        write_calibration(tmp_path, Calibration(1.5, 0.9, 0.95, 0.95, 400, 0.5, 0.97, 0.951, 1, "texts of mine.txt"), kind)
        card = (tmp_path / "README.md").read_text()
        assert "not calibrated" not in card and card.count("## When to trust it") == 1 and "400 texts of mine.txt" in card


@pytest.mark.parametrize(
    ("spec", "teacher", "base"),
    [
        ("teacher-layers:0,2", "org/teacher", "org/teacher"),
        ("static:from-teacher", "org/teacher", "org/teacher"),
        ("static:org/vectors", "org/teacher", "org/vectors"),
        ("org/small", "toy:sentiment", "org/small"),
        ("bert:layers=1,hidden=16", "org/teacher", None),
        ("teacher-layers:0", "toy:sentiment", None),
        ("/home/me/small", "/home/me/teacher", None),
    ],
)
def test_the_base_model_is_what_its_weights_come_from(tmp_path: Path, spec: str, teacher: str, base: str | None) -> None:
    summary = {
        "labels": ["good", "bad"], "teacher": teacher, "sources": ["/home/me/texts.txt"], "texts": 100, "teacher_queries": 50,
        "held_out_texts": 5, "students": {"tiny": METRICS | {"spec": spec}},
        "config": {"to": "small", "student_batch_size": 16, "eval_data": "org/reviews", "eval_split": "test"},
    }  # fmt: skip
    write_student_card(tmp_path, "tiny", summary)
    text = (tmp_path / "README.md").read_text()
    head = yaml.safe_load(text.split("---\n")[1])
    assert head.get("base_model") == base and head.get("base_model_relation") == ("finetune" if base else None)
    assert head["metrics"] == ["accuracy", "f1"] and "datasets" not in head
    assert "/home/me" not in text and "texts.txt" in text.replace("\\", "")


def test_stages_of_a_crafted_sample_count_once(tmp_path: Path) -> None:
    summary = {
        "labels": ["good", "bad"], "teacher": "t", "sources": ["method as-dfd"], "texts": 100, "teacher_queries": 50,
        "held_out_texts": 40, "held_out_samples": 10, "synthetic": True, "students": {"tiny": METRICS},
        "config": {"to": "x", "student_batch_size": 16, "eval_data": "d", "eval_split": "test", "method": "as-dfd"},
    }  # fmt: skip
    write_student_card(tmp_path, "tiny", summary)
    assert "90.0 % on 10 crafted samples it was not trained on" in (tmp_path / "README.md").read_text()
