"""The one definition of a word, for every metric of texts and for the filters of an export; and of what makes texts equal."""

import re
import unicodedata
from functools import cache


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
    combining = "".join(
        f"{chr(first)}-{chr(last)}" for first, last in _ranges(("Mn", "Mc", "Me")) if not 0xFE00 <= first <= 0xFE0F
    )
    combining += "\u200c\u200d"  # joiners inside words of Persian and Indic scripts
    signs = "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in _ranges(("Sm", "Sc", "So", "Sk")))
    # A character of a script without spaces counts as a word, and an apostrophe belongs to the word around it.
    ideograph = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    letter = rf"[^\W{ideograph}]"
    run = rf"{letter}(?:{letter}|[{combining}])*"
    word = rf"[{ideograph}][{combining}]*|{run}(?:['’]{run})*"
    smiley = r"[:;=][-'^]?[()\[\]{}/\\|*@$](?!\w)|(?<!\w)[:;=]-?[dpo3](?!\w)|<3"
    attached = r"(?<=\w)[#*](?!\w)|(?<!\w)[#@](?=\w)|(?<=\d)%"
    return re.compile(word), re.compile(rf"{smiley}|{word}|[{signs}]|{attached}")


def _ranges(categories: tuple[str, ...]) -> list[tuple[int, int]]:
    """Return the ranges of the characters of some categories of Unicode."""
    ranges: list[tuple[int, int]] = []
    for code in range(0x20000):  # ideographs and private characters follow
        if unicodedata.category(chr(code)) in categories:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1] = (ranges[-1][0], code)
            else:
                ranges.append((code, code))
    return ranges
