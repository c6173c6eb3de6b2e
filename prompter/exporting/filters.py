"""Which texts are of no use as rows of a data set: too short, too long, repeating themselves, or no language.

Pure functions over one text. The thresholds are ours and lenient: a row is marked where nobody would want it, and what is
marked stays in the data set, so that a reader who disagrees can take it back.
"""

import re
import unicodedata
from collections import Counter

from eval.corpora.words import words

LETTER_SHARE = 0.5
"""Fewest letters among the visible characters of a text."""

DISTINCT_SHARE = 0.2
"""Fewest distinct words among the words of a text of at least `FEW` words."""

FEW = 10

REPEATED_SHARE = 0.5
"""Most of a text that one word, pair or triple may fill by being said three times or more."""

RUN = re.compile(r"(\S)\1{19}")


def fault(text: str, min_words: int = 0, max_words: int = 0) -> str | None:
    """What is wrong with a text, or None.

    Args:
        text: The text.
        min_words: Fewest words.
        max_words: Most words; 0 for no limit.

    Returns:
        "not text", "too short", "too long" or "repetitive"; the first of them that holds.

    Examples:
        >>> fault("The show was on and on and on and on and on and on.")
        'repetitive'
        >>> fault("The show was better than we had hoped.")
    """
    visible = [character for character in text if not character.isspace()]
    letters = sum(unicodedata.category(character)[0] in "LM" for character in visible)  # marks: half of many scripts
    if letters < LETTER_SHARE * len(visible):
        return "not text"
    found = words(text)
    if len(found) < max(1, min_words):
        return "too short"
    if max_words and len(found) > max_words:
        return "too long"
    if RUN.search(text) or _repeats(found):
        return "repetitive"
    return None


def _repeats(found: list[str]) -> bool:
    """Whether words have few distinct ones among them, or one n-gram fills most of them."""
    if len(found) >= FEW and len(set(found)) < DISTINCT_SHARE * len(found):
        return True
    for n in (1, 2, 3):
        grams = Counter(zip(*(found[i:] for i in range(n)), strict=False))
        most = max(grams.values(), default=0)
        if most >= 3 and most * n > REPEATED_SHARE * len(found):
            return True
    return False
