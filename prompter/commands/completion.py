"""`prompter completion`: a script that lets a shell complete verbs, flags and choices."""

import argparse
from typing import Any

from distill.common.errors import InputError

HELP = "print a script for completion in bash, zsh or tcsh"
EXAMPLES = (
    "prompter completion bash > ~/.local/share/bash-completion/completions/prompter",
    "prompter completion zsh > ~/.zfunc/_prompter",
)
SHELLS = ("bash", "zsh", "tcsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add SHELL."""
    parser.add_argument("shell", metavar="SHELL", nargs="?", help=f"one of: {', '.join(SHELLS)}")


def run(values: dict[str, Any]) -> int:
    """Print the script."""
    shell = values.get("shell")
    if shell not in SHELLS:
        raise InputError(f"shell is '{shell or ''}', expected one of: {', '.join(SHELLS)}")
    try:
        import shtab
    except ImportError:
        raise InputError("completion needs shtab: pip install 'topic-prompter[completion]'") from None

    from prompter.cli import build_parser

    print(shtab.complete(build_parser()[0], shell))
    return 0
