"""The teachers of every kind: ordinary folders that say what they are, and have learnt."""

import json
from pathlib import Path

import pytest
import torch
from sklearn.metrics import f1_score, matthews_corrcoef
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

from eval.toy import located
from eval.toy.tasks.table import TASKS
from eval.toy.tasks.teachers import KindTeacherSettings, train_kind_teacher
from eval.toy.tasks.world import Row, private_rows

SMALL = KindTeacherSettings(layers=1, hidden=24, heads=2, epochs=1)
PROBLEM = {
    "acceptable": "single_label_classification",
    "topics": "multi_label_classification",
    "score": "regression",
    "pairs": "single_label_classification",
}


@pytest.mark.parametrize("name", TASKS)
def test_teacher_says_its_kind_and_answers_as_it_says(name: str, tmp_path: Path) -> None:
    task = TASKS[name]
    rows = private_rows(name, task.draw, set(), train=64, test=8)
    train_kind_teacher(name, task.kind, task.labels, rows["train"], SMALL, 0, tmp_path, quiet=True)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config.get("problem_type") == PROBLEM.get(name)
    assert [config["id2label"][str(number)] for number in range(len(task.labels))] == task.labels
    assert not list(tmp_path.glob("*.bin"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    logits = answers(tmp_path, task.kind, rows["test"])
    if task.kind == "tokens":  # each word is one token, after the first one
        assert logits.shape[2] == len(task.labels)
        assert [len(tokenizer(row["text"])["input_ids"]) - 2 for row in rows["test"]] == [
            len(row["tags"]) for row in rows["test"]
        ]
    else:
        assert logits.shape == (8, len(task.labels))
    if name == "score":
        assert (logits - 3).abs().max() < 2  # it begins in the middle of the range
    assert tokenizer("a", "b").get("token_type_ids") == ([0, 0, 0, 1, 1] if name == "pairs" else None)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_whole_teacher_has_learnt(name: str) -> None:
    task = TASKS[name]
    teacher = Path(located(f"toy:{name}", "teacher"))
    rows = [json.loads(line) for line in Path(located(f"toy:{name}", "test")).read_text().splitlines()]
    logits = answers(teacher, task.kind, rows)
    if name == "score":
        truth = torch.tensor([row["label"] for row in rows])
        assert torch.corrcoef(torch.stack([logits[:, 0], truth]))[0, 1] > 0.9
    elif name == "topics":
        truth = torch.tensor([[label in row["labels"] for label in range(len(task.labels))] for row in rows])
        assert f1_score(truth, logits > 0, average="micro") > 0.7  # docs/benchmarks/toy.md: 75.8
    elif name == "acceptable":
        assert matthews_corrcoef([row["label"] for row in rows], logits.argmax(1)) > 0.5
    elif name == "pairs":
        assert (logits.argmax(1) == torch.tensor([row["label"] for row in rows])).float().mean() > 0.9
    else:
        right = [
            task.labels[answer[1 + place].argmax()] == tag
            for row, answer in zip(rows, logits, strict=True)
            for place, tag in enumerate(row["tags"])
            if tag != "O"
        ]
        assert sum(right) / len(right) > 0.9


def answers(folder: Path, kind: str, rows: list[Row]) -> torch.Tensor:
    """The outputs of a model."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    made = AutoModelForTokenClassification if kind == "tokens" else AutoModelForSequenceClassification
    model = made.from_pretrained(folder, dtype=torch.float32)
    pairs = [row["text_pair"] for row in rows] if kind == "pair" else None
    with torch.inference_mode():
        return model(**tokenizer([row["text"] for row in rows], pairs, padding=True, return_tensors="pt")).logits
