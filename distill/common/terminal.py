"""Text of others on a terminal: names, labels and texts that came out of files, models and services."""

import unicodedata

JOINERS = "\u200c\u200d"
"""Invisible, but emoji and several scripts need them."""


def printable(text: object) -> str:
    """Replace characters that move the cursor, change the terminal or turn the direction of text; line ends and tabs stay.

    Examples:
        >>> printable("good" + chr(27) + "[2J news")
        'good�[2J news'
    """
    return "".join(c if c.isprintable() or c in "\n\t" or c in JOINERS or _is_space(c) else "\ufffd" for c in str(text))


def one_line(text: object) -> str:
    r"""Return text for a single line of output.

    Examples:
        >>> one_line("two\n  lines")
        'two lines'
    """
    return printable(" ".join(line.strip() for line in str(text).splitlines()))


def _is_space(character: str) -> bool:
    return unicodedata.category(character) == "Zs"
