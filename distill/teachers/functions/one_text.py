"""A text that is asked alone, to find out whether a function takes one text or a list of them."""

from typing import Any


class OneText(str):
    """A text that a function of one text can use, but that is no list of texts.

    A function of a list would ask about each character of a text, and pay for each. Here it fails before its first question.

    Attributes:
        taken_apart: Whether it was used as a list. Remembered, because a function may catch the error.
    """

    taken_apart = False

    def __iter__(self) -> Any:
        """Refuse.

        Raises:
            TypeError: Always.
        """
        raise self._refused()

    def __getitem__(self, key: Any) -> str:
        """Return the beginning of the text, as functions that cut texts ask for it.

        Raises:
            TypeError: Another part is asked for, as by a loop over texts.
        """
        if not isinstance(key, slice) or key.start is not None:
            raise self._refused()
        return super().__getitem__(key)

    def _refused(self) -> TypeError:
        self.taken_apart = True
        return TypeError("this is one text, not a list of texts")
