"""`prompter evaluate` with tiny models: the figures it prints are the models', and what it refuses."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoConfig

from distill.common.files import without_nan
from distill.common.seeding import random_generator
from distill.student import load_student
from distill.teachers.loading import load_teacher
from prompter.cli import main, parsed
from prompter.runtime.parser import fill
from prompter.students import evaluation
from prompter.students.evaluate_config import EvaluateConfig
from tests.distill.service import Service
from tests.prompter.tiny import tiny_teacher, word_tokenizer

TASK = {
    "kind": "single", "labels": ["good", "bad"], "data": "rows.jsonl", "text_columns": ["text"], "label_column": "label",
    "metrics": ["accuracy", "macro_f1"], "version": 1,
}  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "TIMED_TEXTS", {1: 2, 32: 4})
    monkeypatch.setattr(evaluation, "ROUNDS", 1)


@pytest.fixture
def task(tmp_path: Path, teacher_folder: Path) -> Path:
    """A task whose labels are the teacher's answers, but for every eighth row."""
    words = [f"w{i}" for i in range(25)] + ["good", "bad"]
    random = random_generator(5, "evaluation")
    texts = [" ".join(words[i] for i in torch.randint(27, (8,), generator=random)) for _ in range(64)]
    labels = load_teacher(str(teacher_folder), "cpu")(texts).argmax(1)
    labels[::8] = 1 - labels[::8]
    labels[:2] = torch.tensor([0, 1])
    return write(tmp_path, [{"text": text, "label": int(label)} for text, label in zip(texts, labels, strict=True)])


def write(folder: Path, rows: list[dict[str, Any]], **changes: object) -> Path:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "mood.yaml").write_text(yaml.safe_dump(TASK | changes))
    return folder / "mood.yaml"


@pytest.fixture
def students(tmp_path: Path, teacher_folder: Path) -> list[str]:
    folders = [tmp_path / "first", tmp_path / "second"]
    for seed, folder in enumerate(folders):
        teacher = load_teacher(str(teacher_folder), "cpu")
        load_student("bert:layers=1,hidden=16,heads=1", teacher=teacher, seed=seed, device="cpu").save(folder)
    return [str(folder) for folder in folders]


def classifier(folder: Path, **changes: object) -> str:
    """A tiny classifier whose configuration says something else."""
    tiny_teacher().save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def run(*arguments: object) -> int:
    return main(["evaluate", *map(str, arguments), "--device", "cpu"])


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()  # what the test itself printed
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    return captured.err


def test_the_figures_are_those_of_the_models(
    task: Path, students: list[str], teacher_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*students, "--task", task, "--teacher", teacher_folder, "--json") == 0
    result = json.loads(capsys.readouterr().out)  # and nothing else
    rows = [json.loads(line) for line in (task.parent / "rows.jsonl").read_text().splitlines()]
    texts, labels = [row["text"] for row in rows], torch.tensor([row["label"] for row in rows])
    teacher = load_teacher(str(teacher_folder), "cpu")(texts).double()
    chosen = {}
    for model, path in zip(result["models"], [str(teacher_folder), *students], strict=True):
        predictions = load_teacher(path, "cpu")(texts).double()
        chosen[path] = predictions.argmax(1)
        figures = {name: figure["value"] for name, figure in model["metrics"].items()}
        assert model["model"] == path
        assert figures["accuracy"] == pytest.approx((chosen[path] == labels).double().mean().item())
        assert model["bytes"] == (Path(path) / "model.safetensors").stat().st_size
        assert model["parameters"] == sum(p.numel() for p in load_teacher(path, "cpu").model.parameters())  # type: ignore[union-attr]
        assert model["milliseconds"] > 0 and set(model["texts_per_second"]) == {"1", "32"}
        for figure in model["metrics"].values():
            assert figure["low"] <= figure["value"] <= figure["high"]
        if model["role"] == "student":
            kl = (teacher.exp() * (teacher - predictions)).sum(1).mean().item()
            assert figures["kl"] == pytest.approx(kl, rel=1e-6)
            assert figures["agreement"] == pytest.approx((chosen[path] == teacher.argmax(1)).double().mean().item())
            assert figures["retention"] == pytest.approx(
                figures["accuracy"] / result["models"][0]["metrics"]["accuracy"]["value"]
            )
    assert set(result["models"][0]["metrics"]) == {"accuracy", "macro_f1"}
    (pair,) = result["pairs"]
    first, second = (chosen[path] == labels for path in students)
    assert (pair["first_only"], pair["second_only"]) == (int((first & ~second).sum()), int((second & ~first).sum()))
    assert result["task"]["classes"] == {"good": int((labels == 0).sum()), "bad": int((labels == 1).sum())}


def test_the_table_has_a_column_for_each_model_and_a_file_has_the_same_figures(
    task: Path, students: list[str], teacher_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    flags = ["--task", task, "--teacher", teacher_folder, "--metric", "expected_calibration_error", "--quiet"]
    assert run(*students, *flags, "--json", file) == 0
    shown = capsys.readouterr().out
    for word in (
        "mood",
        "64 rows",
        "(teacher)",
        "calibration error",
        "KL to",
        "retention",
        "latency",
        "texts/s",
        "McNemar p =",
    ):
        assert word in shown
    assert max(map(len, shown.splitlines())) <= 80
    written = json.loads(file.read_text())
    accuracy = written["models"][1]["metrics"]["accuracy"]["value"]
    assert f"{accuracy:.1%}" in shown and len(written["models"]) == 3
    assert run(students[0], *flags, "--json", file, "--limit", "20") == 0
    assert json.loads(file.read_text())["task"]["rows"] == 20 and "McNemar" not in capsys.readouterr().out


def test_a_pair_task_asks_about_pairs(
    tmp_path: Path, students: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pair_model.py").write_text(
        "def same(texts, pairs):\n    return [[0.9, 0.1] if a == b else [0.2, 0.8] for a, b in zip(texts, pairs)]\n"
        "same.labels = ['good', 'bad']\n"
    )
    monkeypatch.chdir(tmp_path)
    rows = [{"a": f"w{i}", "b": f"w{i + i % 2}", "label": i % 2} for i in range(10)]
    task = write(tmp_path, rows, kind="pair", text_columns=["a", "b"])
    assert run("pair_model:same", students[0], "--task", task, "--json") == 0
    model, student = json.loads(capsys.readouterr().out)["models"]
    assert model["metrics"]["accuracy"]["value"] == 1.0 and model["parameters"] is None and model["bytes"] is None
    asked = load_teacher(students[0], "cpu")([row["a"] for row in rows], [row["b"] for row in rows])
    right = sum(int(c) == row["label"] for c, row in zip(asked.argmax(1), rows, strict=True))
    assert student["metrics"]["accuracy"]["value"] == right / 10


def test_a_service_is_asked_once_not_timed_and_its_classes_are_put_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = Service()
    try:
        rows = [{"text": "w" * (1 + i % 9), "label": i % 2} for i in range(12)]
        task = write(tmp_path, rows, labels=["SHORT", "Long"])  # the service's names sort the other way round
        for _ in range(2):
            assert run(service.url, "--task", task, "--json") == 0
            (model,) = json.loads(capsys.readouterr().out)["models"]
            assert model["metrics"]["accuracy"]["value"] == 0.5 and model["milliseconds"] is None
        assert service.texts.count("A text.") == 2 and len(service.texts) == 2 + 9  # known answers are not paid for again
        assert run(service.url, "--task", task) == 0
        capsys.readouterr()
        # Addresses that differ in the query alone are two models, though the query is not shown.
        assert run(service.url + "?model=b", "--teacher", service.url + "?model=a", "--task", task, "--json") == 0
        said = capsys.readouterr().out
        assert [model["model"] for model in json.loads(said)["models"]] == [service.url, f"{service.url} (2)"]
        assert "model=" not in said and len(service.texts) == 3 + 9 + 2 * 10  # each was asked anew
    finally:
        service.close()


def test_json_has_no_nan(
    tmp_path: Path, task: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shaky.py").write_text(
        "def some(texts):\n    return [[0.5, 0.5] if 'w1 ' in t else [0.9, 0.1] if 'w2 ' in t else [2, 2] for t in texts]\n"
        "def hardly(texts):\n    return [[float('nan')] * 2 for t in texts]\n"
        "some.labels = hardly.labels = ['good', 'bad']\n"
    )
    monkeypatch.chdir(tmp_path)
    flags = ["--task", task, "--metric", "expected_calibration_error"]
    assert run("shaky:some", "--teacher", "shaky:hardly", "--limit", "40", *flags, "--json") == 0
    said = capsys.readouterr().out
    result = json.loads(said, parse_constant=lambda name: pytest.fail(name))
    student = result["models"][1]["metrics"]
    assert student["agreement"] == student["kl"] == student["retention"] == {"value": None, "low": None, "high": None}
    assert student["expected_calibration_error"]["value"] is not None
    assert any("shaky:hardly gave no usable answer to 40 of 40 rows" in note for note in result["notes"])
    assert run("shaky:some", "--teacher", "shaky:hardly", "--limit", "40", *flags) == 0
    assert "Note: shaky:hardly gave" in " ".join(capsys.readouterr().out.split())
    assert without_nan([math.inf]) == [None]


def test_a_model_that_only_numbers_its_classes_is_taken_by_index(
    task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbered = classifier(tmp_path / "numbered", id2label=None, label2id=None)
    assert AutoConfig.from_pretrained(numbered).id2label == {0: "LABEL_0", 1: "LABEL_1"}
    assert run(numbered, "--task", task, "--quiet") == 0
    assert "only numbers its classes; they are taken to be good, bad" in " ".join(capsys.readouterr().out.split())


def test_models_that_do_not_fit_are_refused(
    task: Path, tmp_path: Path, lm_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turned = classifier(tmp_path / "turned", id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1})
    said = refused(capsys, turned, "--task", task)
    assert "(bad, good), the task mood has 2 (good, bad): the same names in another order" in said
    other = classifier(tmp_path / "other", id2label={0: "sea", 1: "land"}, label2id={"sea": 0, "land": 1})
    assert "(sea, land), the task mood has 2 (good, bad)" in refused(capsys, other, "--task", task)
    assert f"model: {lm_folder} is not a sequence classifier" in refused(capsys, lm_folder, "--task", task)
    assert f"teacher: {lm_folder} is not a" in refused(capsys, turned, "--teacher", lm_folder, "--task", task)
    assert "there/is/none does not exist" in refused(capsys, "there/is/none", "--task", task)
    many = classifier(tmp_path / "many", problem_type="multi_label_classification")
    assert f"model: {many} is of the kind multi_label, the task mood of the kind single" in refused(
        capsys, many, "--task", task
    )


FUNCTIONS = """
def labels(texts):
    return [[0.9 if "w1" in t else 0.2, 0.7 if "w2" in t else 0.1] for t in texts]
def blind(texts):
    return [[0.1, 0.1 if "w3" in t else 0.9] for t in texts]
labels.labels = blind.labels = ["good", "bad"]
def length(texts):
    return [float(len(t)) for t in texts]
def nearly(texts, pairs):
    return [[len(t) + 0.5 * (i % 2)] for i, t in enumerate(texts)]
def four(texts):
    return [4.0 for t in texts]
length.labels = four.labels = nearly.labels = ["anything"]
def people(texts):  # a row for each word that is a run of letters, or one other character
    import re
    words = [re.findall(r"\\w+|[^\\w\\s]", t) for t in texts]
    return [[[0.1, 0.9, 0.0] if word == "Ann" else [0.9, 0.1, 0.0] for word in row] for row in words]
def nobody(texts):
    import re
    return [[[0.9, 0.05, 0.05] for word in re.findall(r"\\w+|[^\\w\\s]", t)] for t in texts]
people.labels = nobody.labels = ["O", "B-per", "I-per"]
"""
LABELS = {"kind": "multi_label", "metrics": ["micro_f1", "subset_accuracy"]}
LENGTH = {"kind": "score", "labels": ["length"], "metrics": ["pearson", "spearman", "mse"], "range": [0, 50]}


def test_each_kind_of_task_measures_functions_of_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "several.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    texts = [f"w{i % 4} w{i % 3} {'w' * (i % 7)}" for i in range(40)]
    rows = [{"text": t, "other": "x", "label": [int("w1" in t), int("w2" in t)], "length": len(t)} for t in texts]
    flags = ["--task", write(tmp_path, rows, **LABELS), "--json", "out.json", "--quiet"]
    assert run("several:blind", "--teacher", "several:labels", *flags) == 0
    shown, result = " ".join(capsys.readouterr().out.split()), json.loads(Path("out.json").read_text())
    teacher, student = (model["metrics"] for model in result["models"])
    assert teacher["micro_f1"]["value"] == 1.0 > student["micro_f1"]["value"] == student["retention"]["value"]
    assert result["task"]["kind"] == "multi_label" and result["models"][1]["coverage"]["surest"]
    assert "Without reading, always 'good': micro-F1" in shown and "all labels right" in shown
    for columns, models in ((["text"], ["several:length"]), (["text", "other"], ["several:nearly"])):
        task = write(tmp_path, rows, **LENGTH, text_columns=columns, label_column="length")
        assert run(*models, "--task", task, "--json", "out.json", "--quiet") == 0
        (found,) = json.loads(Path("out.json").read_text())["models"]
        right = columns == ["text"]
        assert (found["metrics"]["mse"]["value"] == 0) == right and (found["metrics"]["pearson"]["value"] > 1 - 1e-9) == right
    shown = " ".join(capsys.readouterr().out.split())
    assert "Without reading, always 8" in shown and "Pearson 0.000" in shown and "squared error" in shown


def test_scores_agree_by_the_range_of_the_teacher_not_by_that_of_the_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "several.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    texts = ["w" * (2 + i % 8) for i in range(40)]
    task = write(tmp_path, [{"text": t, "length": 5 * len(t)} for t in texts], **LENGTH, label_column="length")
    regressor = tiny_teacher()
    regressor.config.num_labels, regressor.config.problem_type = 1, "regression"
    regressor.config.prompter_kind = {"kind": "score", "score_low": 2.0, "score_high": 12.0}
    regressor.classifier = torch.nn.Linear(regressor.classifier.in_features, 1)
    regressor.save_pretrained(tmp_path / "known")
    word_tokenizer().save_pretrained(tmp_path / "known")
    flags = ["several:four", "--teacher", "several:length", "--task", task, "--json", "out.json", "--quiet"]
    for more, lengths, line in (
        ([], 1, "same fifth of 2 to 9, the range of the teacher's answers"),
        ([tmp_path / "known"], 2, "same fifth of 2 to 12."),
        ([tmp_path / "known", "--score_low", "0", "--score_high", "20"], 4, "same fifth of 0 to 20."),
    ):
        assert run(*more[:1], *flags, *more[1:]) == 0
        assert line in " ".join(capsys.readouterr().out.split())
        student = next(m for m in json.loads(Path("out.json").read_text())["models"] if m["model"] == "several:four")
        assert student["metrics"]["agreement"]["value"] == pytest.approx(lengths / 8)


def test_taggers_are_measured_on_the_words_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "several.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    rows: list[dict[str, Any]] = [{"tokens": ["Ann's", "cat", "(Tom)"], "tags": ["B-per", "O", "O"]}] * 3
    rows += [{"tokens": ["so", "Ann", "Lee"], "tags": ["O", "B-per", "I-per"]}] * 2
    task = write(
        tmp_path, rows, kind="tokens", labels=["O", "B-per", "I-per"], text_columns=["tokens"], label_column="tags",
        metrics=["entity_f1", "token_accuracy"],
    )  # fmt: skip
    flags = ["--task", task, "--json", "out.json", "--quiet"]
    assert run("several:nobody", "--teacher", "several:people", *flags) == 0
    teacher, student = (model["metrics"] for model in json.loads(Path("out.json").read_text())["models"])
    assert teacher["entity_f1"]["value"] == pytest.approx(2 * 3 / (5 + 5)) and student["entity_f1"]["value"] == 0
    assert teacher["token_accuracy"]["value"] == pytest.approx(13 / 15) and student["agreement"]["value"] == pytest.approx(
        10 / 15
    )
    assert "Without reading, always O: entity F1 0.000, words right 53.3%" in " ".join(capsys.readouterr().out.split())
    assert run("several:people", "--teacher", "several:nobody", *flags) == 0
    assert "retention –" in " ".join(capsys.readouterr().out.split())


def test_models_and_metrics_of_another_kind_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": f"w{i}", "other": "x", "label": [i % 2, 1 - i % 2, 0], "value": i} for i in range(8)]
    several = write(tmp_path, rows, **LABELS | {"labels": ["good", "bad", "odd"]})
    single = classifier(tmp_path / "single")
    assert f"model: {single} is of the kind single, the task mood of the kind multi_label" in refused(
        capsys, single, "--task", several
    )
    assert "metric names 'accuracy' (it is for the kind single or pair), expected some of: micro_f1" in refused(
        capsys, single, "--task", several, "--metric", "accuracy"
    )
    score = write(tmp_path, rows, **LENGTH, text_columns=["text", "other"], label_column="value")
    assert "is of the kind single, the task mood of the kind score_pair: give a model of this task" in refused(
        capsys, single, "--task", score
    )
    names = {0: "not_entailment", 1: "entailment"}
    entails = classifier(tmp_path / "entails", id2label=names, label2id={"not_entailment": 0, "entailment": 1})
    rows = [{"text": f"w{i}", "label": i % 2} for i in range(8)]
    task = write(tmp_path, rows, labels=list(names.values()))
    assert "is of the kind pair, the task mood of the kind single" in refused(capsys, entails, "--task", task)


@pytest.mark.parametrize(
    "rows, said",
    [
        ([], "holds no rows"),
        ([{"text": "w1", "label": 1}] * 5, "all 5 rows have the class 'bad'"),
        ([{"texts": "w1", "label": 1}], "has no column 'text', only texts, label. Did you mean 'texts'?"),
    ],
)
def test_data_that_does_not_fit_is_refused(
    rows: list[dict], said: str, tmp_path: Path, students: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(capsys, students[0], "--task", write(tmp_path, rows))


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "models is missing: prompter evaluate MODEL... --task NAME"),
        (["m"], "task is missing"),
        (["m", "--task", "ag_new"], "task 'ag_new' is unknown"),
        (["m", "--task", "ag_new"], "Did you mean 'ag_news'?"),
        (["m", "m", "--task", "sst2"], "models names one twice"),
        (["m", "--teacher", "m", "--task", "sst2"], "'m' is named as teacher and as model"),
        (["m", "--task", "sst2", "--metric", "acuracy"], "Did you mean 'accuracy'?"),
        (["m", "--task", "sst2", "--limit", "-1"], "limit is -1"),
        (["m", "--task", "sst2", "--limt", "3"], "unknown argument '--limt'. Did you mean 'limit'?"),
        (["m", "--task", "toy_sentiment", "--data", "/nowhere.jsonl"], "there is no such file"),
    ],
)
def test_mistakes_at_the_command_line_are_named(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(capsys, *arguments)


def test_metrics_of_the_hub_are_warned_of_and_need_the_hub(
    task: Path, students: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import evaluate as hub

    def unreachable(name: str) -> None:
        raise FileNotFoundError(f"Module '{name}' doesn't exist")

    monkeypatch.setattr(hub, "load", unreachable)
    said = refused(capsys, students[0], "--task", task, "--metric", "hub:f1")
    assert "metric: 'hub:f1' could not be fetched from the hub" in said

    class F1:
        def compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
            return {"f1": 0.625}

    monkeypatch.setattr(hub, "load", lambda name: F1())
    assert run(students[0], "--task", task, "--metric", "hub:f1", "--quiet") == 0
    assert "hub:f1" in (shown := capsys.readouterr().out) and "0.625" in shown
    assert main(["evaluate", "--help"]) == 0
    assert "RUNS CODE" in capsys.readouterr().out


def test_settings_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "evaluate.yaml"
    file.write_text("models: [a, b]\ntask: sst2\nlimit: 5\njson: out.json\n")
    config = fill((EvaluateConfig,), [("", parsed(["evaluate", "--config", str(file), "--limit", "6"])[1])])[0]
    assert (config.models, config.task, config.limit, config.json) == (["a", "b"], "sst2", 6, "out.json")
    assert fill((EvaluateConfig,), [("", parsed(["evaluate", "a", "--task", "sst2", "--json"])[1])])[0].json == "-"


def test_a_file_may_name_the_models_and_the_file_of_results(
    tmp_path: Path, task: Path, students: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    file, to = tmp_path / "evaluate.yaml", tmp_path / "results.json"
    settings = {"models": students[:1], "task": str(task), "limit": 20, "quiet": True}
    file.write_text(yaml.safe_dump(settings | {"json": str(to)}))
    assert run("--config", file) == 0
    found = json.loads(to.read_text())
    assert found["models"][0]["model"] == students[0] and "accuracy" in capsys.readouterr().out
    file.write_text(yaml.safe_dump(settings | {"json": "-"}))
    assert run("--config", file) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["metrics"] == found["models"][0]["metrics"]


def test_a_folder_as_the_file_of_results_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, tmp_path / "no-model", "--task", "sst2", "--json", tmp_path)
    assert f"json is '{tmp_path}', which is a folder" in said
    for flag in ("--json", "--html"):
        assert main(["evaluate-data", str(tmp_path / "nothing"), flag, f"{tmp_path}/"]) == 2
        assert f"{flag[2:]} is '{tmp_path}/', which is a folder" in capsys.readouterr().err


def test_a_file_that_is_read_is_never_the_file_of_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("a good day\n")
    (tmp_path / "link").symlink_to(texts)
    said = refused(capsys, tmp_path / "no-model", "--task", "sst2", "--data", texts, "--json", tmp_path / "link")
    assert f"json is '{tmp_path}/link', which is the file of data and would be lost" in said
    for flags, other in (
        (["--json", str(texts)], "data"),
        (["--reference", str(texts), "--html", str(tmp_path / "link")], "data"),
        (["--json", str(tmp_path / "new"), "--html", f"{tmp_path}/./new"], "json"),
    ):
        assert main(["evaluate-data", str(texts), *flags]) == 2
        assert f"which is the file of {other} and would be lost" in capsys.readouterr().err
    assert texts.read_text() == "a good day\n" and not (tmp_path / "new").exists()


def test_coverage_against_agreement(
    task: Path, students: list[str], teacher_folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(students[0], "--task", task, "--teacher", teacher_folder, "--json", tmp_path / "out.json", "--quiet") == 0
    shown = capsys.readouterr().out
    row = json.loads((tmp_path / "out.json").read_text())["models"][1]
    surest = {entry["coverage"]: entry["agreement"] for entry in row["coverage"]["surest"]}
    assert surest[1.0] == pytest.approx(row["metrics"]["agreement"]["value"]) and row["calibration"] is None
    assert "agreement on the" in shown and f"{surest[0.5]:.1%}" in shown


def test_a_corpus_whose_file_cannot_be_written_is_shown_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.txt").write_text("a good day\nno bad day at all\n")
    assert (
        main(["evaluate-data", str(tmp_path / "texts.txt"), "--json", str(tmp_path / "texts.txt" / "x.json"), "--quiet"]) == 2
    )
    said = capsys.readouterr()
    assert "distinct-1" in said.out and "cannot be written" in said.err
