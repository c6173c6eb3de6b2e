"""The one definition of a word, for every metric of texts and for the filters of an export."""

import re

# A character of a script without spaces counts as a word, and an apostrophe belongs to the word around it.
_IDEOGRAPH = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
WORD = re.compile(rf"[{_IDEOGRAPH}]|[^\W{_IDEOGRAPH}]+(?:['’][^\W{_IDEOGRAPH}]+)*")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation.

    Examples:
        >>> words("Don't stop: 你好 2 go!")
        ["don't", 'stop', '你', '好', '2', 'go']
    """
    return WORD.findall(text.lower())
