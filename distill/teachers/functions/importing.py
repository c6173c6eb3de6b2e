"""Find the function that "module:function" or "file.py:function" names, and the files that it is written in."""

import functools
import hashlib
import importlib
import importlib.util
import inspect
import operator
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from distill.common.errors import InputError, did_you_mean
from distill.teachers.names import FUNCTION_NAME


def function_file(spec: str) -> Path | None:
    """Return the source file of the module in "module:function" without running it; None where none is found."""
    if not FUNCTION_NAME.fullmatch(spec):
        return None
    name = spec.rpartition(":")[0]
    if name.endswith(".py"):
        return Path(name).expanduser().resolve() if Path(name).expanduser().is_file() else None
    _search_working_directory()
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(found.origin) if found and found.has_location and found.origin else None


def _search_working_directory() -> None:
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # at the end: a file of the user must not hide an installed package


def _module_of_file(name: str) -> str:
    """Return the name under which the module of a file is known while the process runs."""
    return f"prompter_teacher_{hashlib.sha256(str(Path(name).expanduser().resolve()).encode()).hexdigest()[:12]}"


def _import_file(name: str) -> ModuleType:
    file = Path(name).expanduser().resolve()
    if not file.is_file():
        raise InputError(f"teacher: file {name} does not exist; check the path.")
    known = _module_of_file(name)
    if known in sys.modules:
        return sys.modules[known]
    found = importlib.util.spec_from_file_location(known, file)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))  # for what lies beside it
    sys.modules[known] = module
    try:
        found.loader.exec_module(module)
    except BaseException:
        del sys.modules[known]
        raise
    return module


def import_function(spec: str) -> Any:
    """Return what `spec` names: a function, an object, or a method of one."""
    module_name, _, name = spec.rpartition(":")
    _search_working_directory()
    try:
        module = _import_file(module_name) if module_name.endswith(".py") else importlib.import_module(module_name)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # importing runs the user's code, which may raise anything
        said = " ".join(str(error).split())[:300]
        if isinstance(error, SystemExit):
            said += "; put what ends the program under: if __name__ == '__main__'"
        raise InputError(
            f"teacher: module {module_name!r} of {spec} cannot be imported ({type(error).__name__}: {said}); "
            "run from the folder that holds it, or install it."
        ) from error
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            where = f"module {module_name!r}" if found is module else f"the {type(found).__name__} of {spec}"
            near = [option for option in dir(found) if not option.startswith("_")]
            raise InputError(f"teacher: {where} has no function {part!r}.{did_you_mean(part, near)}{_hidden(module, name)}")
        found = getattr(found, part)
    return found


def _hidden(module: ModuleType, name: str) -> str:
    """Return what to say where another module hides the file of the user that has the same name."""
    mine, found = Path.cwd() / f"{module.__name__.replace('.', '/')}.py", getattr(module, "__file__", None)
    if not mine.is_file() or (found and Path(found).resolve() == mine.resolve()):
        return ""
    where = f"The module that Python finds by this name is {found or 'built in'}"
    return f" {where}; for the file here, write {mine.relative_to(Path.cwd())}:{name}."


def source_files(function: Any, path: str) -> list[Path]:
    """Return the files that decide what a function answers: that of the module that names it, and those that define it.

    Args:
        function: What `path` names.
        path: "module:function" or "file.py:function".

    Returns:
        The file of the module first. Others follow where what it names was written elsewhere, beside or below it or in the
        same package; installed packages are left out.

    Raises:
        InputError: The source does not determine the answers: the module has no file, or the function is not one of its
            names (a lambda, a function inside a function, an object).
    """
    module_name, _, name = path.rpartition(":")
    module = sys.modules.get(_module_of_file(module_name) if module_name.endswith(".py") else module_name)
    if module is None or not getattr(module, "__file__", None):
        raise InputError(f"module {module_name!r} has no source file")
    try:
        found = operator.attrgetter(name)(module)
    except AttributeError:
        found = None
    if found is not function and found != function:  # a bound method is made anew each time
        raise InputError(f"{path} is not a function at the top level of its module")
    first = Path(str(module.__file__)).resolve()
    return [first, *sorted({file for part in _parts(function) if (file := _file_of_user(part, module, first)) != first})]


def sources(function: Any, path: str = "") -> dict[str, str]:
    """Return a SHA-256 of what a function of the user is written in, by the names of the files.

    Of a script that is run, and of a function inside a function, it is the function's own text: such a file may change for
    other reasons, as where `resume=True` is added.

    Args:
        function: The function, or an object that is called.
        path: What names it, see `source_files`; by default its own name.

    Returns:
        {} where nothing is known, as of what was typed at a prompt.
    """
    named = function if inspect.isroutine(function) or inspect.isclass(function) else type(function)
    try:
        asked, path = (function, path) if path else (named, f"{named.__module__}:{named.__qualname__}")
        if path.partition(":")[0] != "__main__":
            try:
                files = source_files(asked, path)
                return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
            except InputError:
                pass  # a function inside a function
        file = inspect.getsourcefile(named)
        return {Path(file).name: hashlib.sha256(inspect.getsource(named).encode()).hexdigest()} if file else {}
    except (AttributeError, TypeError, OSError):
        return {}


def changed_sources(before: Any, now: Mapping[str, str]) -> list[str]:
    """Return the names of files that `sources` found changed.

    Args:
        before: What it returned before, as a file holds it.
        now: What it returns now.
    """
    return sorted(name for name, found in now.items() if isinstance(before, dict) and before.get(name, found) != found)


def _parts(function: Any) -> list[Any]:
    """Return what a function is made of: the function, what it wraps or completes, and the object that it is a method of."""
    parts: list[Any] = []
    todo = [function]
    while todo and len(parts) < 100:
        part = todo.pop()
        parts.append(part if inspect.isroutine(part) else type(part))
        inside = [getattr(part, "__wrapped__", None), getattr(part, "__self__", None)]
        inside += [part.func] if isinstance(part, functools.partial) else []
        todo += [one for one in inside if one is not None and not isinstance(one, ModuleType)]
    return parts


def _file_of_user(part: Any, module: ModuleType, first: Path) -> Path:
    """Return the file that a part of a function is written in, `first` where it belongs to an installed package."""
    other = sys.modules.get(str(getattr(part, "__module__", None)))
    file = getattr(other, "__file__", None)
    if other is None or not file or not Path(file).is_file():
        return first
    found = Path(file).resolve()
    if found.is_relative_to(first.parent):
        return first if "site-packages" in found.relative_to(first.parent).parts else found
    return found if other.__name__.split(".")[0] == module.__name__.split(".")[0] else first
