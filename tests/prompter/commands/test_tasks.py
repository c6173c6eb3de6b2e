"""`prompter tasks`: the shipped tasks are right, and each action says what it found."""

import pytest
import yaml
from huggingface_hub import constants

from distill.common.errors import InputError
from eval.data.reading import NotReachable
from prompter.cli import main
from prompter.runtime.shipped import find_task, task_file, task_files
from tests.eval.task_files import declared, hub, write


@pytest.mark.parametrize("name", sorted(task_files()))
def test_the_shipped_tasks_are_right(name):
    found = find_task(name)
    assert found.name == name and found.split in ("test", "validation", "validation_matched")
    assert found.kind in ("pair", "score") or len(found.text_columns) == 1


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


def test_tasks_are_listed_and_shown(capsys):
    assert main(["tasks", "ls"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in task_files()) and max(map(len, listed.splitlines())) <= 80
    assert "score_pair" in next(line for line in listed.splitlines() if "stsb" in line)
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
    monkeypatch.setattr("eval.data.tasks.task_data", unreachable)
    assert main(["tasks", "validate"]) == 0
    assert capsys.readouterr().out.count("not reachable") == len(task_files())
    assert patience == [True] + [False] * (len(task_files()) - 1) and not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["lst"], "unknown action 'lst'"),
        (["validat"], "Did you mean 'validate'?"),
        (["show", "sst"], "Did you mean 'sst2'?"),
        (["validate", "--data", "x"], "data belongs to one task"),
    ],
)
def test_mistakes_at_the_command_line_are_named(arguments, said, capsys):
    assert main(["tasks", *arguments]) == 2
    assert said in capsys.readouterr().err
