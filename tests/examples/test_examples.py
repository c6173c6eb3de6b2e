"""The examples run as they stand, at a small size."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.portable.exported import ExportedClassifier
from tests.distill.portable.programs import write_program
from tests.prompter.conftest import lm_folder, teacher_folder  # noqa: F401
from tests.prompter.tiny import word_tokenizer

EXAMPLES = Path(__file__).parents[2] / "examples"

SMALL: dict[str, Any] = {
    **{"device": "cpu", "quiet": True, "rollout_size": 16, "minibatch_size": 8, "num_iterations": 1, "topic_max_tokens": 3},
    **{"writer_max_new_tokens": 8, "writer_min_new_tokens": 4, "student_updates": 20, "student": "bert:layers=1,hidden=32"},
}


@pytest.fixture(autouse=True)
def where_users_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let examples be imported by name, and write into an empty folder."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if (EXAMPLES / f"{name}.py").exists()]:
        monkeypatch.delitem(sys.modules, name)


def example(name: str) -> Any:
    return importlib.import_module(name)


@pytest.fixture
def task(tmp_path: Path, lm_folder: Path, teacher_folder: Path) -> dict[str, Any]:  # noqa: F811
    """Settings of a run of tiny models."""
    rows = tmp_path / "test.csv"
    rows.write_text("text,label\n" + "".join(f"good w{i} w{i + 1},0\nbad w{i} w{i + 2},1\n" for i in range(12)))
    return SMALL | {"teacher": str(teacher_folder), "generator": str(lm_folder), "eval_data": str(rows)}


def test_own_reward(task: dict[str, Any]) -> None:
    course = example("own_reward").main("run", 48, **task)
    assert len(course) == 3 and all(0 <= value <= 1 for value in course)


def test_ppo_any_task(lm_folder: Path) -> None:  # noqa: F811
    course = example("ppo_any_task").main(str(lm_folder), "ppo", 3, per_device_train_batch_size=8, num_generations=4)
    assert len(course) == 3 and all(0 <= value <= 1 for value in course)


def test_cascade(teacher_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    texts = [f"good w{i} bad w{i % 5}" for i in range(30)]
    cascade = example("cascade").main(str(teacher_folder), str(teacher_folder), texts, 0.9)
    assert cascade.texts == 30 and capsys.readouterr().out.count("by the student") == 30 - cascade.asked


def told(folder: Path, **fields: Any) -> Path:
    """Write fields into the configuration of a program."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    return folder


def test_a_program_of_pairs_is_asked_and_served_pairs(tmp_path: Path) -> None:
    testing = pytest.importorskip("fastapi.testclient")
    program = write_program(tmp_path / "program", word_tokenizer(), ["equivalent", "not_equivalent"])
    told(program, prompter_kind={"kind": "pair"})
    classify = example("run_without_torch").Classifier(program)
    ones, others = ["good w1", "", "bad"], ["w2", "w3 bad", "good good"]
    wanted = ExportedClassifier(program)(ones, others).exp()
    given = classify(list(zip(ones, others, strict=True)))
    torch.testing.assert_close(torch.tensor([list(row.values()) for row in given]), wanted, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="expected pairs of texts"):
        classify(ones)
    client = testing.TestClient(example("serve").make_app(program))
    served = client.post("/predict", json={"inputs": [list(pair) for pair in zip(ones, others, strict=True)]}).json()
    torch.testing.assert_close(torch.tensor([[row["score"] for row in a] for a in served]), wanted, atol=1e-5, rtol=0)
    for inputs in ("good", [["good"]], [["a", "b", "c"]], [["a", 1]]):
        assert client.post("/predict", json={"inputs": inputs}).status_code == 422


def test_of_several_labels_those_that_are_given_are_printed(tmp_path: Path) -> None:
    program = write_program(tmp_path / "program", word_tokenizer(), ["one", "two", "悲伤"])
    told(program, problem_type="multi_label_classification")
    texts = [f"good w{i} bad w{i % 3}" for i in range(20)]
    line = [sys.executable, str(EXAMPLES / "run_without_torch.py"), str(program), *texts]
    said = subprocess.run(line, capture_output=True, text=True, check=True, encoding="utf-8").stdout.splitlines()
    given = [
        [name for name, odds in row.items() if odds > 0.5] for row in example("run_without_torch").Classifier(program)(texts)
    ]
    assert [row.split("\t")[0] for row in said] == [", ".join(names) or "no label" for names in given]
    assert {len(names) for names in given} > {0, 2}


def test_a_program_that_tags_words_is_refused(tmp_path: Path) -> None:
    program = write_program(tmp_path / "program", word_tokenizer(), ["O", "B-PER"])
    told(program, architectures=["BertForTokenClassification"])
    with pytest.raises(ValueError, match="tags words"):
        example("run_without_torch").Classifier(program)


@pytest.mark.slow
def test_the_toy_examples() -> None:
    assert example("train").main("train", 1500, quiet=True) > 0.5
    assert example("callable_teacher").main("callable", 600, quiet=True) > 0.5
