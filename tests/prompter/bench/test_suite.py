"""Suites: how they are laid out, and what they refuse."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from distill.common.errors import InputError
from prompter.bench.suite import PROMPTERS, read_suite
from prompter.training.baseline_names import BASELINES
from tests.prompter.bench.suites import SMALL, bench


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bugdets": [1]}, "unknown key 'bugdets'.*budgets"),
        ({"methods": ["promted"]}, "unknown method 'promted'.*prompted"),
        ({"methods": [{"real": {"budget": 3}}]}, "expected a known name, or a new one"),
        ({"tasks": {}}, "'tasks' is .*at least one"),
        ({"tasks": [1]}, "expected lines of the form"),
        ({"seeds": []}, "'seeds' is .*at least one"),
        ({"more": [{"tasks": ["tni"]}]}, "entry 1: unknown task 'tni'"),
        ({"more": [{"tasks": [{"tiny": {}}]}]}, "entry 1: unknown task"),
        ({"more": 5}, "'more' is 5, expected a list"),
        ({"more": {"seeds": [1]}}, "'more' is .*expected a list"),
        ({"settings": SMALL | {"student_update": 3}}, "student_update.*student_updates"),
        ({"methods": ["prompted", {"longer": {"student_updates": 9}}]}, "has to cost the same"),
        ({"methods": ["prompted", {"fewer": {"eval_limit": 9}}]}, "eval_limit is 9, but 0 for others.*a task of its own"),
        ({"methods": ["real", {"other": {"eval_metric": "macro_f1"}}]}, "eval_metric is 'macro_f1', but 'auto'"),
        ({"methods": ["real", {"other": {"teacher": "toy:sentiment"}}]}, "teacher is 'toy:sentiment', but .*measured alike"),
        ({"more": [{"budgets": [64], "settings": SMALL | {"eval_limit": 9}}]}, "entry 1: .*eval_limit is 9"),
        ({"settings": SMALL | {"compare": ["real"]}}, "compare is one of the suite's 'methods'"),
        ({"methods": [{"more": {"budget": 64}}]}, "budget is one of the suite's 'budgets'"),
        ({"settings": SMALL | {"seed": 7}}, "seed is one of the suite's 'seeds'"),
        ({"settings": SMALL | {"push_to_hub": "somebody/else"}}, "push_to_hub is not for a suite"),
        ({"budgets": ["many"]}, "budget"),
        ({"students": ["bert:layers=1", "hidden=32"]}, "'hidden=32' is part of a student: put quotes around it"),
        ({"more": [{"settings": SMALL | {"student_learning_rate": 0.01}}]}, "entry 1: .*there already, with other settings"),
        ({"tasks": {"tiny": {"teacher": "t", "generator": "g"}}, "methods": ["prompted"]}, "eval_data is missing"),
    ],
)
def test_a_wrong_suite_is_refused_before_anything_runs(
    suite, tmp_path: Path, changes: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=message):
        read_suite(suite(**changes))
    assert bench(tmp_path / "suite.yaml", tmp_path / "out") == 2
    assert "Traceback" not in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", ["tiny", "tniy.corpus=x", "tiny.corpsu=x"])
def test_a_wrong_change_is_refused(suite, change: str) -> None:
    with pytest.raises(InputError, match="set is|set names|corpsu"):
        read_suite(suite(), [change])


def test_own_methods_and_further_combinations(suite) -> None:
    file = suite(
        methods=["prompted", {"hotter": {"writer_temperature": 1.3}}],
        more=[
            {"seeds": [1], "methods": ["real"]},
            {"seeds": [0], "methods": ["prompted"]},
            {"budgets": [64], "methods": ["real"], "settings": {"student_updates": 9}},
        ],
    )
    found = read_suite(file).cells
    assert [(cell.method, cell.seed, cell.settings["student_updates"]) for cell in found] == [
        ("prompted", 0, 6), ("hotter", 0, 6), ("real", 1, 6), ("real", 0, 9)
    ]  # fmt: skip
    assert found[1].parsed("x").writer.writer_temperature == 1.3 and found[2].text == "real"


def test_the_shipped_suites_are_sound() -> None:
    toy, real = read_suite("configs/bench/toy.yaml"), read_suite("configs/bench/real.yaml")
    assert {cell.method for cell in toy.cells} >= {*PROMPTERS}
    assert {cell.text for cell in real.cells} >= {*BASELINES}
    assert {cell.task for cell in real.cells} == {"ag_news", "sst2"}


def test_an_own_method_may_be_a_baseline(suite) -> None:
    (cell,) = read_suite(suite(methods=[{"edited": {"method": "unprompted", "writer_temperature": 1.3}}])).cells
    assert (cell.method, cell.text, cell.parsed("x").run.compare) == ("edited", "unprompted", ["unprompted"])
    with pytest.raises(InputError, match="method 'edited' is of method 'unpromted', expected one of prompted, .*unprompted"):
        read_suite(suite(methods=[{"edited": {"method": "unpromted"}}]))


@pytest.mark.parametrize("written", ["1e3", "1_000", "'1,000'", "1000.0", "1000"])
def test_numbers_may_be_written_as_everywhere(suite, written: str) -> None:
    file = suite()
    text = yaml.safe_dump(yaml.safe_load(file.read_text()) | {"budgets": "BUDGETS", "seeds": "SEEDS"})
    file.write_text(text.replace("BUDGETS", f"[{written}]").replace("SEEDS", "[1.0]"))
    assert (cells := read_suite(file).cells)
    for cell in cells:
        assert (cell.budget, cell.seed) == (1000, 1) and type(cell.budget) is type(cell.seed) is int
        assert cell.name.endswith("--1000--1") and cell.settings["budget"] == 1000


def test_tasks_may_have_any_name(suite) -> None:
    tasks = yaml.safe_load(suite().read_text())["tasks"]
    (task,) = tasks.values()
    names = [2024, 1.50, "новости", "отзывы", "b/c", "b-c"]
    file = suite(tasks={name: task | {"eval_limit": 10 + place} for place, name in enumerate(names)}, more=[{"tasks": [2024]}])
    cells = read_suite(file).cells
    assert list(dict.fromkeys(cell.task for cell in cells)) == [str(name) for name in names]
    assert len({cell.name for cell in cells if not cell.task.startswith("b")}) == 4 * len(cells) // 6
