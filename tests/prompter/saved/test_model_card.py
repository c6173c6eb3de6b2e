"""The card of a prompter: what it tells, and that foreign text cannot become markup."""

import ast
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from prompter.saved.manifest import read_prompter_manifest, training_summary
from prompter.saved.model_card import frequent_topics, render_prompter_card, sparkline, student_scores, write_prompter_card
from tests.eval.run_folder import metrics, samples, summary


@pytest.fixture
def card(run_folder: Path, tmp_path: Path) -> str:
    folder = Path(shutil.copytree(run_folder / "prompter", tmp_path / "prompter"))
    manifest = read_prompter_manifest(folder) | {
        "training": training_summary(metrics()),
        "teacher": "toy:sentiment",
        "base": "toy",
    }
    (folder / "prompter.json").write_text(json.dumps(manifest | {"writer": "toy"}))
    rows = samples()
    rows[-1]["text"] = "a | <b>bold</b> `code`\n# heading"
    write_prompter_card(folder, metrics(), rows, summary())
    return (folder / "README.md").read_text()


def test_the_card_tells_the_run(card: str, run_folder: Path) -> None:
    head = yaml.safe_load(card.split("---")[1])
    assert head["library_name"] == "peft" and "base_model" not in head  # a toy is on no hub
    assert "| teacher | toy:sentiment |" in card and "| teacher queries | 8,000 in 40 rollouts |" in card
    assert "accuracy 87.2 %, agreement with the teacher 88.1 %" in card
    assert "Prompter.load(" in card and '.texts("good", 5)' in card
    assert "| reward/confidence | 0." in card and "█" in card
    assert "## Topics" in card and "| This camera is |" in card
    assert "a \\| &lt;b&gt;bold&lt;/b&gt; \\`code\\` \\# heading" in card
    assert str(run_folder.parent) not in card
    assert "{{" not in card and "None" not in card


def test_the_card_names_models_without_their_places_on_this_machine(run_folder: Path) -> None:
    places = {"teacher": "/home/me/judge", "base": "/home/me/models/base", "writer": "/srv/writer"}
    manifest = read_prompter_manifest(run_folder / "prompter") | {"training": training_summary(metrics())} | places
    card = render_prompter_card(manifest, metrics(), samples(), {})
    assert "| teacher | judge |" in card and "| tuned model | base |" in card and "licences of base, writer and" in card
    assert "/home/me" not in card and "/srv" not in card


def test_rollouts_without_a_usable_answer_leave_a_gap(run_folder: Path) -> None:
    rows = [row | {"reward": None if i < 10 else float("nan") if i == 12 else 0.5} for i, row in enumerate(metrics())]
    manifest = read_prompter_manifest(run_folder / "prompter") | {"training": training_summary(rows)}
    card = render_prompter_card(manifest, rows, [], {})
    assert "| reward | – | 0.500 |" in card and "nan" not in card.lower()


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({"entity_f1": 0.4567, "token_accuracy": 0.9, "agreement": 0.85}, ("entity F1 0.457", "85.0 %")),
        ({"spearman": 0.5, "pearson": 0.625}, ("Spearman correlation 0.500", "Pearson correlation 0.625")),
        ({"accuracy": 0.8, "matthews_correlation": 0.3}, ("accuracy 80.0 %", "Matthews correlation 0.300")),
    ],
)
def test_the_student_is_told_by_the_metrics_of_its_kind(scores: dict[str, float], said: tuple[str, ...]) -> None:
    told = student_scores(scores)
    assert all(words in told for words in said) and student_scores({"texts": 9, "agreement": 0.5}) == ""


def test_a_base_from_the_hub_is_named_in_the_header(run_folder: Path) -> None:
    manifest = read_prompter_manifest(run_folder / "prompter") | {"base": "org/lm", "base_revision": "abc123"}
    card = render_prompter_card(manifest, [], [], {})
    assert yaml.safe_load(card.split("---")[1])["base_model"] == "org/lm"
    assert "org/lm (commit abc123)" in card


def test_the_card_calls_a_class_as_python_reads_it(run_folder: Path) -> None:
    manifest = read_prompter_manifest(run_folder / "prompter")
    names = ["快乐 😀", *manifest["labels"][1:]]
    (said,) = re.findall(r"prompter\.topics\((.*), 5\)", render_prompter_card(manifest | {"labels": names}, [], [], {}))
    assert ast.literal_eval(said) == names[0] and "\\u" not in said


def test_topics_are_counted() -> None:
    row = {"wanted": "good", "predicted": "good", "confidence": 1.0}
    table = frequent_topics(
        [{"topic": "a", **row}, {"topic": "b", **row}, {"topic": "b", **row, "predicted": "bad", "confidence": 0}]
    )
    assert table == [
        {"topic": "b", "count": 2, "hits": 0.5, "confidence": 0.5},
        {"topic": "a", "count": 1, "hits": 1.0, "confidence": 1.0},
    ]
    several = {"topic": "a", **row, "predicted": "bad, good", "given": ["bad", row["wanted"]]}
    (counted,) = frequent_topics([several, {"topic": "a", **row, "predicted": "none", "given": []}])
    assert counted["hits"] == 0.5


@given(st.lists(st.floats(-10, 10), max_size=50))
def test_a_curve_has_a_mark_per_piece(values: list[float]) -> None:
    assert len(sparkline(values)) == min(16, len(values))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"algorithm": "none"}, "left untrained as a control, that writes\nshort openings"),
        ({"writes": "subject"}, "tuned with PPO to write\nsubjects of texts for a target class. A frozen writer is asked"),
        ({"writes": "text"}, "tuned with PPO to write\ntexts for a target class. The texts are made"),
    ],
)
def test_the_card_says_what_the_policy_writes(run_folder: Path, changes: dict[str, str], said: str) -> None:
    manifest = read_prompter_manifest(run_folder / "prompter")
    card = render_prompter_card(manifest | {"policy": manifest["policy"] | changes}, [], [], {})
    assert said in card
    assert ("| frozen writer |" in card) == (changes.get("writes") != "text")
