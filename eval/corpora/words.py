"""The one definition of a word, for every metric of texts and for the filters of an export; and of what makes texts equal."""

import re
import unicodedata
from functools import cache

from distill.kinds.words import combining, ranges


def words(text: str) -> list[str]:
    r"""Return the words of a text in lower case, without punctuation.

    Vowel signs and accents that are characters of their own belong to the word, however the text composes them.

    Examples:
        >>> words("Don't stop: 你好 2 go!")
        ["don't", 'stop', '你', '好', '2', 'go']
        >>> words("लड़की café") == words("लड़की cafe\u0301")
        True
    """
    return _patterns()[0].findall(_normal(text))


def marks(text: str) -> list[str]:
    """Return what tells texts apart: words, and with them emoji, smileys, and signs such as those of C++ and C#.

    Case and punctuation do not count. A text that holds nothing else is its own only mark.

    Examples:
        >>> marks("Good, good 👍"), marks("well :("), marks("!!")
        (['good', 'good', '👍'], ['well', ':('], ['!!'])
    """
    normal = _normal(text)
    return _patterns()[1].findall(normal) or [" ".join(normal.split())]


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return the patterns of a word, and of a mark. They are built at the first use, from the tables of Unicode."""
    marks = combining()
    signs = "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in ranges(("Sm", "Sc", "So", "Sk")))
    # A character of a script without spaces counts as a word, and an apostrophe belongs to the word around it.
    ideograph = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    letter = rf"[^\W{ideograph}]"
    run = rf"{letter}(?:{letter}|[{marks}])*"
    word = rf"[{ideograph}][{marks}]*|{run}(?:['’]{run})*"
    smiley = r"[:;=][-'^]?[()\[\]{}/\\|*@$](?!\w)|(?<!\w)[:;=]-?[dpo3](?!\w)|<3"
    attached = r"(?<=\w)[#*](?!\w)|(?<!\w)[#@](?=\w)|(?<=\d)%"
    return re.compile(word), re.compile(rf"{smiley}|{word}|[{signs}]|{attached}")
