"""Cells: which content makes another cell, and what a cell may cost."""

from pathlib import Path

import pytest

from distill.common.errors import InputError
from prompter.bench import cells
from prompter.bench.cells import cell_folder, cell_result, check_cost, check_inputs, code_hash, content_hash
from prompter.bench.suite import read_suite


def test_other_content_is_another_cell(suite, tmp_path: Path) -> None:
    (cell, *_) = read_suite(suite()).cells
    before = cell_folder(cell, tmp_path)
    assert cell_folder(cell, tmp_path) == before
    with Path(cell.settings["eval_data"]).open("a") as file:
        file.write('{"text": "w1", "label": 0}\n')
    content_hash.cache_clear()
    assert cell_folder(cell, tmp_path) != before


def test_a_function_that_was_changed_is_another_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = []
    for body in ("1", "2"):
        (tmp_path / "teacher_of_the_bench.py").write_text(f"def answer(texts):\n    return {body}\n")
        content_hash.cache_clear()
        found.append(content_hash("teacher_of_the_bench:answer"))
    assert found[0] != found[1]
    assert content_hash("no_such_module:answer") == "no_such_module:answer"


def test_the_vectors_of_a_static_student_are_content(suite, tmp_path: Path) -> None:
    vectors = tmp_path / "vectors"
    (cell, *_) = read_suite(suite(students=[f"static:{vectors}"])).cells
    with pytest.raises(InputError, match=f"student is '{vectors}', but there is no such file or folder; .* suite$"):
        check_inputs([cell])
    found = []
    vectors.mkdir()
    for content in ("one", "other"):
        (vectors / "model.safetensors").write_text(content)
        content_hash.cache_clear()
        check_inputs([cell])
        found.append(cell_folder(cell, tmp_path))
    assert found[0] != found[1]
    check_inputs(read_suite(suite(students=["static:from-teacher", "static:owner/name"])).cells)


def test_an_edit_anywhere_in_the_packages_is_another_cell(tmp_path: Path) -> None:
    package = tmp_path / "prompter"
    (package / "rl" / "deep").mkdir(parents=True)
    (package / "commands").mkdir()
    files = [package / "__init__.py", package / "rl" / "rewards.py", package / "rl" / "deep" / "terms.py"]
    shown = package / "commands" / "train.py"
    for file in (*files, shown):
        file.write_text("x = 1\n")
    found = [code_hash((package,))]
    for file in files:
        file.write_text("x = 2\n")
        code_hash.cache_clear()
        found.append(code_hash((package,)))
    assert len(set(found)) == len(files) + 1
    shown.write_text("x = 2\n")  # decides what is printed, not what is measured
    code_hash.cache_clear()
    assert code_hash((package,)) == found[-1]


def test_every_module_counts(tmp_path: Path) -> None:
    assert {package.name for package in cells.PACKAGES} == {"distill", "eval", "prompter"}
    assert all((package / "__init__.py").is_file() for package in cells.PACKAGES)


def test_a_cell_of_another_cost_is_no_result(suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = read_suite(suite()).cells[1]
    figures = {"texts": 32, "queries": 32, "updates": 6}
    check_cost(figures, cell)
    for name in figures:
        with pytest.raises(InputError, match=f"{name} 31, expected"):
            check_cost(figures | {name: 31}, cell)
    monkeypatch.setattr(cells, "run_cell", lambda *arguments: figures | {"queries": 33})
    assert "queries 33, expected 32" in cell_result(cell, tmp_path / "cell")["error"]
    assert not (tmp_path / "cell" / "result.json").exists()
