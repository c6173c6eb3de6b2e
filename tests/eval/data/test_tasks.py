"""Task files: the shipped ones are right, every mistake in one is named, and class names are held against each other."""

import json

import datasets
import pytest
import yaml
from huggingface_hub import constants

from distill.common.errors import InputError
from eval.data.reading import NotReachable
from eval.data.tasks import Task, describe, match_labels, read_task, task_data
from prompter.cli import main
from prompter.commands import tasks as verbs
from prompter.commands.tasks import find_task
from prompter.runtime.shipped import task_file, task_files

PAIR = {
    "kind": "pair", "labels": ["no", "yes"], "data": "rows.jsonl", "text_columns": ["a", "b"], "label_column": "same",
    "metrics": ["matthews_correlation", "accuracy"], "version": 1,
}  # fmt: skip
ROWS = [{"a": f"text {i}", "b": f"other {i}", "same": i % 2} for i in range(10)]


def write(folder, changes=None, rows=ROWS, without=()):
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {key: value for key, value in (PAIR | (changes or {})).items() if key not in without}
    file = folder / "same.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def task(labels=("negative", "positive")):
    return Task("mood", "single", tuple(labels), "x", ("text",), "label", ("accuracy",), 1)


def hub(monkeypatch, table):
    """Stand in for the hub: a table, or the error that it raises."""

    def load(name, config, **named):
        if isinstance(table, Exception):
            raise table
        hub.asked = (name, config, named)
        return table

    monkeypatch.setattr(datasets, "load_dataset", load)


def declared(names, labels, **columns):
    features = {name: datasets.Value("string") for name in columns} | {"label": datasets.ClassLabel(names=names)}
    return datasets.Dataset.from_dict(columns | {"label": labels}, features=datasets.Features(features))


@pytest.mark.parametrize("name", sorted(task_files()))
def test_the_shipped_tasks_are_right(name):
    found = find_task(name)
    assert found.name == name and found.split in ("test", "validation", "validation_matched")
    assert found.kind == "pair" or len(found.text_columns) == 1


def test_a_task_is_found_by_its_name_or_its_file(tmp_path, monkeypatch):
    assert {"ag_news", "sst2", "dbpedia_14", "imdb", "trec", "cola", "mrpc", "qnli", "rte", "qqp", "mnli"} < set(task_files())
    assert find_task(str(write(tmp_path))).labels == ("no", "yes")
    monkeypatch.chdir(tmp_path)
    assert find_task("same.yaml").name == "same"
    assert find_task("configs/tasks/rte.yaml") == find_task("rte")
    for name, said in (("ag_new", "Did you mean 'ag_news'?"), ("nothing_like_it", "is unknown: give the path")):
        with pytest.raises(InputError) as caught:
            task_file(name)
        assert said in str(caught.value)
    with pytest.raises(InputError, match=r"'missing.yaml' is not a file"):
        task_file("missing.yaml")


@pytest.mark.parametrize(
    "changes, without, said",
    [
        ({"lables": ["a", "b"]}, ["labels"], "unknown key 'lables'. Did you mean 'labels'?"),
        ({}, ["version"], "has no key 'version'"),
        ({"kind": "pairs"}, [], "kind is 'pairs', expected one of: single, pair"),
        ({"kind": "single"}, [], "text_columns are ['a', 'b'], expected 1 for the kind 'single'"),
        ({"labels": [False, True]}, [], "labels holds False, expected text; put quotes around it"),
        ({"labels": ["a", "a"]}, [], "labels are ['a', 'a'], expected two or more different names"),
        ({"labels": "no"}, [], "labels is 'no', expected a list"),
        ({"data": 5}, [], "data is 5, expected text"),
        ({"metrics": ["acuracy"]}, [], "metrics names 'acuracy', expected some of: accuracy, macro_f1"),
        ({"metrics": ["acuracy"]}, [], "Did you mean 'accuracy'?"),
        ({"metrics": []}, [], "metrics is empty"),
        ({"metrics": ["expected_calibration_error"]}, [], "put a metric first for which higher is better"),
        ({"version": "1"}, [], "version is '1', expected a whole number >= 1"),
    ],
)
def test_mistakes_in_a_task_file_are_named(tmp_path, changes, without, said):
    file = write(tmp_path, changes, without=without)
    with pytest.raises(InputError) as caught:
        read_task(file)
    assert said in str(caught.value) and str(caught.value).startswith(f"{file}: ")


def test_a_task_reads_its_pairs_from_beside_its_file_or_from_elsewhere(tmp_path):
    found = read_task(write(tmp_path))
    data = task_data(found)
    assert data.texts == [row["a"] for row in ROWS] and data.text_pairs == [row["b"] for row in ROWS]
    assert describe(data, found) == {"rows": 10, "classes": {"no": 5, "yes": 5}}
    elsewhere = tmp_path / "elsewhere.csv"
    elsewhere.write_text("a,b,same\nx,y,yes\nz,w,no\n")
    assert task_data(found, str(elsewhere)).labels == [1, 0]
    assert len(task_data(found, limit=7)) == 7


def test_the_hub_is_asked_for_configuration_split_and_revision(tmp_path, monkeypatch):
    changes = {"data": "owner/name", "config": "part", "revision": "abc", "split": "dev", "label_column": "label"}
    hub(monkeypatch, declared(["no", "yes"], [0, 1], a=["x", "y"], b=["z", "w"]))
    assert task_data(read_task(write(tmp_path, changes))).labels == [0, 1]
    assert hub.asked == ("owner/name", "part", {"split": "dev", "revision": "abc"})


@pytest.mark.parametrize(
    "rows, limit, said",
    [
        ([], 0, "holds no rows"),
        ([row | {"same": 1} for row in ROWS], 0, "all 10 rows have the class 'yes'"),
        (ROWS, 1, "all 1 rows drawn have the class"),
        ([{"a": "x", "same": 1}], 0, "has no column 'b'"),
        ([{"a": "x", "b": "y", "sama": 1}], 0, "has no column 'same', only a, b, sama. Did you mean 'sama'?"),
        ([ROWS[0], ROWS[1] | {"same": 2}], 0, "row 2: column 'same' holds 2, expected 0 to 1 or one of no, yes"),
    ],
)
def test_data_that_cannot_be_measured_on_is_refused(tmp_path, rows, limit, said):
    found = read_task(write(tmp_path, rows=rows))
    with pytest.raises(InputError) as caught:
        task_data(found, limit=limit)
    assert said in str(caught.value)


def test_class_names_of_the_data_are_held_against_the_task_s(monkeypatch):
    hub(monkeypatch, declared(["positive", "negative"], [0, 1], text=["x", "y"]))
    with pytest.raises(InputError, match="numbers its classes positive, negative, the task mood negative, positive"):
        task_data(task())
    for names in (["Negative", "POSITIVE"], ["neg", "pos"]):
        hub(monkeypatch, declared(names, [0, 1], text=["x", "y"]))
        assert task_data(task()).labels == [0, 1]


def test_class_names_of_a_model_are_held_against_the_task_s():
    assert match_labels(["NEGATIVE", "Positive"], task(), "m") is None
    for names in (["LABEL_0", "LABEL_1"], ["0", "1"]):
        assert "only numbers its classes; they are taken to be negative, positive" in str(match_labels(names, task(), "m"))
    for names, said in (
        (["positive", "negative"], r"\(positive, negative\), .* \(negative, positive\): the same names in another order"),
        (["bad", "good"], r"m predicts 2 classes \(bad, good\), the task mood has 2 \(negative, positive\)"),
        (["LABEL_0", "LABEL_1", "LABEL_2"], "3 classes .* has 2"),
        (["LABEL_1", "LABEL_0"], "LABEL_1, LABEL_0"),
    ):
        with pytest.raises(InputError, match=said):
            match_labels(names, task(), "m")


def test_tasks_are_listed_and_shown(capsys):
    assert main(["tasks", "ls"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in task_files()) and max(map(len, listed.splitlines())) <= 80
    assert main(["tasks", "show", "trec"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["label_column"] == "coarse_label"


def test_validate_tells_right_from_wrong_from_not_reachable(tmp_path, monkeypatch, capsys):
    file = str(write(tmp_path))
    assert main(["tasks", "validate", file, "toy_sentiment"]) == 0
    said = capsys.readouterr().out
    assert f"{file}: right; 10 rows: no 5, yes 5" in said and "toy_sentiment: right; 1,000 rows" in said
    hub(monkeypatch, ConnectionError("Couldn't reach the Hub"))
    assert main(["tasks", "validate", "rte"]) == 0
    assert "rte: the file is right; its data is not reachable: nyu-mll/glue:rte" in capsys.readouterr().out
    hub(monkeypatch, ValueError('Unknown split "test"'))
    assert main(["tasks", "validate", "rte", file]) == 2
    said = capsys.readouterr().out
    assert "rte: WRONG: " in said and f"{file}: right" in said
    hub(monkeypatch, declared(["neg", "pos"], [0, 1], text=["x", "y"]))
    assert main(["tasks", "validate", "imdb"]) == 0
    assert "the data calls its classes neg, pos; they were taken in this order" in capsys.readouterr().out


def test_validate_reads_other_data_and_all_tasks(tmp_path, monkeypatch, capsys):
    local = tmp_path / "rte.csv"
    local.write_text("sentence1,sentence2,label\nx,y,entailment\nz,w,not_entailment\n")
    assert main(["tasks", "validate", "rte", "--data", str(local)]) == 0
    assert "rte: right; 2 rows" in capsys.readouterr().out
    assert main(["tasks", "validate", "mnli", "--data", str(local)]) == 2
    assert "has no column 'premise'" in capsys.readouterr().out
    patience = []

    def unreachable(task, where):
        patience.append(not constants.HF_HUB_OFFLINE)
        raise NotReachable("no way")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(verbs, "task_data", unreachable)
    assert main(["tasks", "validate"]) == 0
    assert capsys.readouterr().out.count("not reachable") == len(task_files())
    assert patience == [True] + [False] * (len(task_files()) - 1) and not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["lst"], "unknown action 'lst'"),
        (["validat"], "Did you mean 'validate'?"),
        (["show", "sst"], "Did you mean 'sst2'?"),
        (["validate", "--data", "x"], "data is that of one task"),
    ],
)
def test_mistakes_at_the_command_line_are_named(arguments, said, capsys):
    assert main(["tasks", *arguments]) == 2
    assert said in capsys.readouterr().err
