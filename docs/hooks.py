"""Fill the command line's reference with what `prompter VERB --help` prints, so that it cannot go stale."""

import contextlib
import io
import os
import re
from typing import Any

MARK = re.compile(r"^\{\{ help\((?P<arguments>[^)]*)\) \}\}$", re.MULTILINE)


def on_page_markdown(markdown: str, **unused: Any) -> str:
    """Replace each line `{{ help(VERB) }}` by that verb's help."""
    return MARK.sub(lambda match: f"```text\n{help_text(match['arguments'].split())}\n```", markdown)


def help_text(arguments: list[str]) -> str:
    """Return what `prompter ARGUMENTS --help` prints, 100 columns wide."""
    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1"}
    from prompter.cli import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*arguments, "--help"])
    if not printed.getvalue().strip():
        raise RuntimeError(f"prompter {' '.join(arguments)} --help printed nothing")
    return printed.getvalue().rstrip()
