"""Versions of the libraries that decide a result, for the files that record them."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "topic-prompter"
"""Name of this package on the Python index; the import name and the command are `prompter`."""

RUN_LIBRARIES = ("prompter", "torch", "transformers", "trl", "peft", "datasets", "evaluate", "accelerate")
"""Packages in the `versions` of a summary."""


def library_versions(names: Sequence[str] = RUN_LIBRARIES) -> dict[str, str]:
    """Return the installed version of each package by name.

    Args:
        names: Names of distributions; "prompter" stands for this package.

    Examples:
        >>> list(library_versions(["prompter", "torch"]))
        ['prompter', 'torch']
    """
    return {name: _own_version() if name == "prompter" else version(name) for name in names}


def _own_version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:  # a checkout that was never installed
        from prompter import __version__

        return __version__
