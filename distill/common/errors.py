"""One exception for every mistake that a user can make.

The command line turns an `InputError` into one line on stderr and exit status 2. Every other exception is a bug and keeps its
traceback. A good message names the field, file or row, what was expected, and the remedy.
"""

import difflib
from collections.abc import Iterable
from numbers import Integral


class InputError(ValueError):
    """A mistake in what the user provides: a setting, a file, a model, or a teacher's answers."""


class WorthlessError(InputError):
    """The result would be worthless, so the work was stopped and saved; the command line ends with exit status 3."""


def check_whole(name: str, value: object, low: int | None = None) -> None:
    """Refuse an argument that is no whole number, of Python or of numpy, or that is below `low`.

    Raises:
        InputError: See above. The message begins with the name of the argument.

    Examples:
        >>> try:
        ...     check_whole("n", 3.0, 1)
        ... except InputError as error:
        ...     print(error)
        n is 3.0, expected a whole number >= 1
    """
    if not isinstance(value, Integral) or (low is not None and int(value) < low):
        raise InputError(f"{name} is {value!r}, expected a whole number" + ("" if low is None else f" >= {low}"))


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the option nearest to `name`, or `""` where none is near.

    Examples:
        >>> did_you_mean("student_lr_rate", ["student_learning_rate", "seed"])
        " Did you mean 'student_learning_rate'?"
        >>> did_you_mean("zzz", ["seed"])
        ''
    """
    near = difflib.get_close_matches(name, list(options), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""
