"""Find texts that are useless as rows of a dataset: too short, too long, repetitive, or not language.

Pure functions of one text. The thresholds are ours and lenient: they mark what nobody would want. Marked rows stay in the
dataset, so a reader who disagrees can use them.
"""

import re
import unicodedata
from collections import Counter

from eval.corpora.words import words

LETTER_SHARE = 0.5
"""Smallest share of letters among the visible characters of a text."""

DISTINCT_SHARE = 0.2
"""Smallest share of distinct words in a text of at least `DISTINCT_FROM` words."""

DISTINCT_FROM = 10

REPEATED_SHARE = 0.5
"""Largest share of a text that one word, pair or triple may fill if it occurs three times or more."""

LONG_RUN = re.compile(r"(\S)\1{19}")
"""The same character twenty times in a row."""


def fault(text: str, min_words: int = 0, max_words: int = 0) -> str | None:
    """Return what is wrong with a text, or None.

    Args:
        text: The text.
        min_words: Fewest words.
        max_words: Most words; 0 means no limit.

    Returns:
        The first that applies of "not text", "too short", "too long" and "repetitive".

    Examples:
        >>> fault("The show was on and on and on and on and on and on.")
        'repetitive'
        >>> fault("The show was better than we had hoped.")
    """
    visible = [character for character in text if not character.isspace()]
    # Combining marks (category M) count as letters: many scripts write their vowels with them.
    letters = sum(unicodedata.category(character)[0] in "LM" for character in visible)
    if letters < LETTER_SHARE * len(visible):
        return "not text"
    found = words(text)
    if len(found) < max(1, min_words):
        return "too short"
    if max_words and len(found) > max_words:
        return "too long"
    if LONG_RUN.search(text) or _repeats(found):
        return "repetitive"
    return None


def _repeats(found: list[str]) -> bool:
    """Return whether few of the words are distinct, or one n-gram fills most of the text."""
    if len(found) >= DISTINCT_FROM and len(set(found)) < DISTINCT_SHARE * len(found):
        return True
    for n in (1, 2, 3):
        grams = Counter(zip(*(found[i:] for i in range(n)), strict=False))
        most = max(grams.values(), default=0)
        if most >= 3 and most * n > REPEATED_SHARE * len(found):
            return True
    return False
