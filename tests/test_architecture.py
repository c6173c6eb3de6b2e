"""The house rules that a reader relies on: who may import whom, and how large rooms and files are."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = ("distill", "eval", "prompter")
"""Each package may import those before it."""

ROOMS = {
    "distill.common": {"distill.checkpoints"},
    "distill.checkpoints": {"distill.common"},
    "distill.teachers": {
        "distill.checkpoints",
        "distill.common",
        "distill.kinds",
        "distill.portable",
        "distill.teachers.functions",
        "distill.teachers.services",
    },
    "distill.kinds": {"distill.common", "distill"},
    "distill.portable": {"distill.checkpoints", "distill.common", "distill.kinds", "distill.teachers"},
    "distill.teachers.functions": {"distill.common", "distill.kinds", "distill.teachers"},
    "distill.teachers.services": {
        "distill.checkpoints",
        "distill.common",
        "distill.kinds",
        "distill.teachers",
        "distill.teachers.functions",
    },
    "distill.students": {"distill.checkpoints", "distill.common"},
    "distill.language_models": {"distill.checkpoints", "distill.common"},
    "distill.processes": {"distill.common", "distill.kinds", "distill.teachers", "distill.teachers.services"},
    "distill": {
        "distill.checkpoints",
        "distill.common",
        "distill.kinds",
        "distill.processes",
        "distill.students",
        "distill.teachers",
    },
    "distill.methods": {"distill.checkpoints", "distill.common", "distill.kinds", "distill.teachers", "distill"},
    "eval.toy": {"eval.toy.tasks"},
    "eval.toy.tasks": {"eval.toy"},
    "eval.data": {"eval.data.targets", "eval.toy"},
    "eval.data.targets": {"eval.data"},
    "eval.classifiers": {"eval.classifiers.kinds", "eval.classifiers.metrics", "eval.data", "eval.toy"},
    "eval.classifiers.metrics": {"eval.data"},
    "eval.classifiers.kinds": {"eval.classifiers", "eval.classifiers.metrics", "eval.data"},
    "eval.report": set(),
    "eval.corpora": {"eval.classifiers", "eval.data", "eval.report", "eval.toy"},
    "prompter.runtime": set(),
    "prompter.printing": set(),
    "prompter.decoding": set(),
    "prompter.editing": set(),
    "prompter.generation": {"prompter.decoding", "prompter.editing", "prompter.generation.outside", "prompter.runtime"},
    "prompter.generation.outside": {"prompter.editing", "prompter.generation"},
    "prompter.pairs": {"prompter.decoding", "prompter.editing", "prompter.generation"},
    "prompter.rl": {"prompter.decoding", "prompter.generation", "prompter.pairs", "prompter.runtime"},
    "prompter.saved": {
        "prompter.decoding",
        "prompter.generation",
        "prompter.generation.outside",
        "prompter.pairs",
        "prompter.runtime",
    },
    "prompter.exporting": {"prompter.saved", "prompter.cluster", "prompter.generation", "prompter.runtime"},
    "prompter.cluster": {"prompter.exporting", "prompter.generation", "prompter.runtime", "prompter.saved"},
    "prompter.labelling": {"prompter.cluster", "prompter.exporting", "prompter.runtime", "prompter.saved"},
    "prompter.deploying": {"prompter.runtime", "prompter.saved"},
    "prompter.training": {
        "prompter.rl",
        "prompter.deploying",
        "prompter.generation",
        "prompter.generation.outside",
        "prompter.pairs",
        "prompter.saved",
        "prompter.exporting",
        "prompter.runtime",
    },
    "prompter.students": {
        "prompter.training",
        "prompter.deploying",
        "prompter.exporting",
        "prompter.saved",
        "prompter.generation",
        "prompter.runtime",
    },
    "prompter.compressing": {
        "prompter.students",
        "prompter.training",
        "prompter.deploying",
        "prompter.editing",
        "prompter.generation",
        "prompter.printing",
        "prompter.rl",
        "prompter.runtime",
        "prompter.saved",
    },
    "prompter.bench": {"prompter.students", "prompter.training", "prompter.runtime"},
}
"""The rooms of its own package that a room may import."""

FREE = {"prompter.commands", "prompter", "eval"}


def modules() -> dict[str, Path]:
    """Every module of the three packages by its dotted name."""
    found = {}
    for package in ORDER:
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = modules()


def imported(file: Path) -> set[str]:
    """The modules of ours that a file imports, inside functions too; what only annotations need is left out."""
    names: set[str] = set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    only_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in only_types:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {full if (full := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names}
    return {name for name in names if name.partition(".")[0] in ORDER}


def room(module: str) -> str:
    """The room of a module: its folder."""
    file = MODULES[module]
    return ".".join(file.relative_to(ROOT).parts[:-1])


IMPORTS = {module: imported(file) for module, file in MODULES.items()}
IMPORTS["prompter"] = set()  # its functions are imported when they are asked for, so it closes no circle


def test_packages_import_in_one_direction() -> None:
    wrong = {
        (module, name)
        for module, names in IMPORTS.items()
        for name in names
        if ORDER.index(name.partition(".")[0]) > ORDER.index(module.partition(".")[0])
    }
    assert not wrong


def test_rooms_import_only_what_they_may() -> None:
    wrong = {
        (module, name)
        for module, names in IMPORTS.items()
        for name in names
        if (here := room(module)) not in FREE
        and (there := room(name)) != here
        and there.partition(".")[0] == here.partition(".")[0]
        and there not in FREE
        and there not in ROOMS[here]
    }
    assert not wrong


def test_no_module_imports_itself_by_way_of_others() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module in done:
            return
        for name in sorted(IMPORTS[module]):
            visit(name, (*path, module))
        done.add(module)

    for module in MODULES:
        visit(module, ())


def test_rooms_and_files_stay_small() -> None:
    rooms = {file.parent for file in MODULES.values()}
    sizes = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in rooms}
    assert not {name: size for name, size in sizes.items() if size > 12}
    lengths = {module: len(file.read_text(encoding="utf-8").splitlines()) for module, file in MODULES.items()}
    assert not {module: lines for module, lines in lengths.items() if lines > 400}


def test_the_readme_names_each_room() -> None:
    tree = (ROOT / "README.md").read_text(encoding="utf-8").partition("## What lies where")[2].partition("## ")[0]
    inside = {
        folder.name
        for name in ("prompter", "distill")
        for folder in (ROOT / name).iterdir()
        if (folder / "__init__.py").exists()
    }
    assert {name for name in inside if f"  {name}/ " not in tree} == set()


@pytest.mark.parametrize("module", [name for name in MODULES if MODULES[name].name == "__init__.py"])
def test_each_room_says_what_it_is_for(module: str) -> None:
    assert len(ast.get_docstring(ast.parse(MODULES[module].read_text(encoding="utf-8"))) or "") > 40
