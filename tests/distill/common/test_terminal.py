"""Consoles whose reader leaves."""

import os
import subprocess
import sys

import pytest

OUTPUT = """
import sys
from distill.common.terminal import open_terminal
terminal = open_terminal(work_goes_on={goes_on})
for line in range(20_000):
    terminal.print("line", line)
print("done", file=sys.stderr)
"""


def shown_to_head(goes_on: bool) -> subprocess.CompletedProcess:
    line = f"{sys.executable} -c '{OUTPUT.format(goes_on=goes_on)}' | head -1; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True)


@pytest.mark.skipif(os.name != "posix", reason="needs a shell with pipes")
def test_work_goes_on_when_the_reader_leaves() -> None:
    done = shown_to_head(goes_on=True)
    assert done.returncode == 0 and done.stdout == "line 0\n"
    assert done.stderr.splitlines() == ["prompter: nobody reads the output any more; the work goes on", "done"]


@pytest.mark.skipif(os.name != "posix", reason="needs a shell with pipes")
def test_output_alone_ends_as_the_command_line_expects() -> None:
    done = shown_to_head(goes_on=False)
    assert "BrokenPipeError" in done.stderr and "SystemExit" not in done.stderr and "done" not in done.stderr
