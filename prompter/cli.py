"""The command line: `prompter VERB`.

Each verb is a module of `prompter.commands`. They import heavy libraries only when they run, so `--help` answers at once. A
user's mistake ends with one line on standard error and exit status 2, a worthless result with 3, Ctrl-C with 130, SIGTERM with
143, SIGHUP with 129, and a reader of the output that went away with 141.
"""

import argparse
import contextlib
import os
import re
import shlex
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from distill.common.errors import InputError, WorthlessError, did_you_mean
from distill.common.settings import small_scheme
from distill.common.terminal import escape_unwritable, one_line, printable
from distill.processes.launch import launched, may_speak, refuse_launcher
from distill.teachers.names import teacher_name
from prompter import __version__
from prompter.runtime.interrupt import exit_status, handled, stop_now
from prompter.runtime.parser import Parser, normalised, placed

VERBS = (
    *("compress", "demo", "train", "export", "label", "distill", "export-student", "evaluate", "evaluate-data"),
    *("bench", "tasks", "report", "completion"),
)
"""The verbs, in the order of the help text; `export-student` is the module `export_student`."""

SEVERAL = "train"
"""The verb that may run in several processes."""

PLACES = {"compress": "prompter.compressing.command", "label": "prompter.labelling.command"}
"""Modules of verbs that lie in the room of their subject, since `prompter.commands` is full."""

DESCRIPTION = "Distil a text classifier when its training data is gone."


def command(verb: str) -> ModuleType:
    """Return the module of a verb."""
    return import_module(PLACES.get(verb) or f"prompter.commands.{verb.replace('-', '_')}")


def build_parser() -> tuple[Parser, Any]:
    """Return the parser of the whole command line, and its verbs."""
    parser = Parser(prog="prompter", description=DESCRIPTION, epilog="prompter VERB --help lists the options of a verb.")
    parser.add_argument("--version", action="version", version=f"prompter {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser, title="verbs")
    for verb in VERBS:
        module = command(verb)
        examples = "examples:\n" + "\n".join(f"  {line}" for line in module.EXAMPLES)
        own = verbs.add_parser(
            verb, help=module.HELP, description=module.HELP[0].upper() + module.HELP[1:] + ".", epilog=examples
        )
        module.add_arguments(own)
        words = [str(action.metavar) for action in own._actions if not action.option_strings]
        own.usage = " ".join([f"prompter {verb}", *words, "[OPTIONS]"])
    helping = verbs.add_parser("help", help="show the help of a verb")
    helping.add_argument("of", metavar="VERB", nargs="?", choices=VERBS)
    return parser, verbs


def main(arguments: list[str] | None = None) -> int:
    """Run one command line and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    escape_unwritable()
    try:
        with handled(stop_now):
            return _run(arguments)
    except InputError as error:
        _say(f"prompter: {without_secrets(one_line(error))}")
        return 3 if isinstance(error, WorthlessError) else 2
    except BrokenPipeError:  # as in `prompter tasks ls | head`: the reader has seen enough
        with contextlib.suppress(OSError, ValueError):  # what is left in the buffer must go somewhere at the exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # of a place that no message of our own foresaw: a name too long, a drive that went away
        where = f"{error.filename}: " if error.filename else ""
        line = f"prompter: {where}{error.strerror or error}: check the path, its rights and the disk"
        _say(without_secrets(one_line(line)))
        return 2
    except KeyboardInterrupt:
        _say("prompter: stopped")
        return exit_status()
    except BaseException as error:
        if type(error) is not Exception and type(error).__name__ != "PanicException":
            raise
        from distill.checkpoints.tokenizers import unreadable  # the library is loaded already where this is needed

        fault = unreadable(error)
        if fault is None:
            raise
        _say(f"prompter: {one_line(fault)}")
        return 2


def parsed(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """Return the verb of a command line, and what was given by the names of its settings.

    Raises:
        InputError: The verb or a flag is unknown; the nearest one is suggested.
        SystemExit: A help text or the version was asked for, and is printed.
    """
    parser, verbs = build_parser()
    verb = arguments[0] if arguments else "--help"
    if not verb.startswith("-") and verb not in verbs.choices:
        raise InputError(f"unknown verb '{verb}': expected one of {', '.join(VERBS)}.{did_you_mean(verb, VERBS)}")
    own: argparse.ArgumentParser = verbs.choices.get(verb, parser)
    given, rest = parser.parse_known_args([verb, *normalised(arguments[1:], own)])
    values = placed(own, given, rest)
    if values.pop("verb") == "help":
        verbs.choices.get(values.get("of"), parser).print_help()
        raise SystemExit(0)
    return verb, values


def _run(arguments: list[str]) -> int:
    try:
        verb, values = parsed(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)
    # Tokenizers in a forked worker would only warn, and TRL's note about what it calls experimental is for its own users.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    if verb != SEVERAL:
        refuse_launcher(f"prompter {verb}")
    module = command(verb)
    go_on = getattr(module, "GO_ON", None)
    try:
        status: int | None = module.run(values)
    except KeyboardInterrupt:
        if go_on is None:
            raise
        status = None
        if not getattr(module, "begun", _always)(values):
            go_on = ()
    if status is not None:
        return status
    words = [*arguments, *(flag for flag in go_on or [] if flag not in arguments)]
    shown = [without_query(word) for word in words]
    again = shlex.join(["prompter", *shown])
    if shown != words:  # it may hold a key
        again += " (with the '?...' of the address, which is not shown)"
    with_launcher = " (with the same launcher)" if launched() > 1 else ""
    _say(f"Stopped. Go on with{with_launcher}: {printable(again)}")
    return exit_status()


def without_query(word: str) -> str:
    """Return a word of a command line as it may be shown: the address of a service loses its query, which may hold a key.

    Examples:
        >>> without_query("--teacher=https://host/predict?key=secret"), without_query("https://host/v1?key=secret#model")
        ('--teacher=https://host/predict', 'https://host/v1#model')
    """
    flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return flag + equals + teacher_name(small_scheme(value))


def without_secrets(line: str) -> str:
    """Return a message without what the addresses in it may hold for nobody else: user names, passwords and queries.

    Examples:
        >>> without_secrets("'http://me:secret@host/a?key=secret#m' is none; https://host/b?key=secret: there is no file")
        "'http://host/a?...#m' is none; https://host/b?...: there is no file"
    """
    line = re.sub(r"(https?:/+)[^\s/?#@'\"]*@", r"\1", line, flags=re.IGNORECASE)
    return re.sub(r"(https?:/+[^\s?#'\"]*\?)[^\s#'\"]*?(?=[:;,.)]*(?:[\s#'\"]|$))", r"\1...", line, flags=re.IGNORECASE)


def _always(values: dict[str, Any]) -> bool:
    return True


def _say(line: str) -> None:
    """Print a line on standard error; of several processes that end for the same reason, the first one does."""
    if may_speak():
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
