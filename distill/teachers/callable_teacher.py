"""A Python function as teacher."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from distill.checkpoints.model_config import say_once
from distill.common.errors import InputError
from distill.kinds.found import kind_of
from distill.kinds.names import NOT_GIVEN, GivenKind
from distill.kinds.rows import below, none
from distill.kinds.scores import Score
from distill.teachers.functions.answers import EXPECTED, describe, names_in, read_answer, read_numbers
from distill.teachers.functions.importing import import_function, source_files
from distill.teachers.functions.objects import usable_function
from distill.teachers.functions.one_text import OneText
from distill.teachers.functions.words import EXPECTED_OF_WORDS, read_words
from distill.teachers.names import class_names, teacher_name
from distill.teachers.probabilities import check_labels, count, matrix
from distill.teachers.services.service import Part

MISTAKEN = (TypeError, AttributeError, ValueError)
"""What a function of one text raises when it gets a list. Other errors say nothing about what it takes."""

STORED_EVERY = 1.0
"""Seconds between two parts of answers of a function that is called for each text: each part is stored by itself."""

ONE_TEXT = (
    " It was not taken for a function of one text. If it is one, give a function of a list: "
    "def many(texts): return [one(text) for text in texts]."
)
"""What is said of a function that fails with a list and with one text."""

TWO_LISTS = (
    " A teacher of pairs is called with two lists, the first texts and the second ones: def classify(texts, text_pairs). "
    "If it takes one pair: def many(texts, text_pairs): return [one(a, b) for a, b in zip(texts, text_pairs)]."
)
"""The same of one that is asked about pairs of texts."""


class CallableTeacher:
    """A Python function `texts -> class probabilities` as teacher.

    The function gets a list of N texts (and for pair tasks, as its second argument, a list of N second texts). It returns N
    rows of K probabilities: a nested list, a numpy array or a tensor. `distill.teachers.functions` says what else it may:
    classifiers of scikit-learn, pipelines of transformers, percentages, one column, names of classes. A function that takes
    one text is called for each text. A row is usable if it is finite, non-negative and sums to 1 within 1e-3, or within its
    rounding. Other rows become NaN and are counted. An answer that does not have N rows is unusable as a whole.

    Args:
        function: The function itself, or "module:function", "module:object.method" or "file.py:function". The working
            directory is searched for the module too.
        labels: The K class names. Default: the function's attribute `labels`. A function without that attribute is asked
            about one text (and this query is counted) to find K; the names are those that its answer gives, or "0" to "K-1".
        given: What the user says about its kind. Several labels are independent probabilities, and a score is one number.

    Attributes:
        kind: What its answers are.
        path: Name of the function, "module:qualname".
        function: The function itself.

    Raises:
        InputError: The module or function does not exist, it has fewer than two labels, or the labels are its own in another
            order.
    """

    def __init__(
        self,
        function: str | Callable[..., Any],
        labels: Sequence[str] | None = None,
        given: GivenKind = NOT_GIVEN,
    ) -> None:
        self.path = teacher_name(function)
        self.function = import_function(function) if isinstance(function, str) else function
        self._call, known, said = usable_function(self.function, self.path)
        if said:
            say_once(said)
        self._one_by_one: bool | None = None  # not known before the first answer
        self._seen: Counter[str] = Counter()  # the forms of its rows
        self._problem = ""  # of the first unusable answer of a call
        self._named: list[str] | None = None  # the classes that an answer names, while labels are not known
        self.queries = 0
        self.invalid = 0
        own = known if known is not None else getattr(self.function, "labels", None)
        self.known = None if own is None else class_names(own, f"teacher: the labels of {self.path} are")
        names = self.known if labels is None else class_names(labels, "teacher_labels")
        self.kind = kind_of(given, names or [])
        self.labels: list[str] = names or []
        if names is None:
            self.labels = self._ask_for_labels()
        check_labels(self.labels, self.kind)
        self._check_order()

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, C) float32 answers on the CPU, see `kind`; an unusable answer is a row of NaN.

        Raises:
            InputError: The function raised an exception, or too many answers are unusable.
        """
        if not len(texts):
            return none(len(self.labels), self.kind.of_words)
        return self.counted(below([part for _, part in self.answers(texts, text_pairs)]))

    def answers(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Iterator[Part]:
        """Yield the answers to N texts, N > 0, as they arrive, so that none is lost if a later one fails. Count nothing.

        Raises:
            InputError: The function raised an exception. All answers that it gave before were yielded.
            KeyboardInterrupt: The user ended it; the same holds.
        """
        first = None
        if not self._one_by_one:
            rows, first = self._together(texts, text_pairs)
            if rows is not None:
                yield list(range(len(texts))), self._read(rows)
                return
        done: list[int] = []
        parts: list[Tensor] = []
        failure: BaseException | None = None
        stored = time.monotonic()
        for number, text in enumerate(texts):
            pair = None if text_pairs is None else text_pairs[number]
            try:
                row = first if number == 0 and first is not None else self._alone(text, pair)
            except BaseException as error:  # an interruption, too, must not lose what was paid for
                failure = error
                break
            done.append(number)
            parts.append(self._read(self._nothing(1) if row is None else row))
            if time.monotonic() - stored >= STORED_EVERY:
                yield done, below(parts)
                done, parts, stored = [], [], time.monotonic()
        if done:
            yield done, below(parts)
        if failure is not None:
            raise failure

    def counted(self, predictions: Tensor) -> Tensor:
        """Count the queries of one call and its unusable answers.

        Raises:
            InputError: Too many answers are unusable.
        """
        problem, self._problem = self._problem, ""
        return count(self, predictions, problem)

    def source_files(self) -> list[Path]:
        """Return the files that decide the answers, the function's module first; see `distill.teachers.functions.importing`.

        Raises:
            InputError: The source does not determine the answers.
        """
        return source_files(self.function, self.path)

    def _check_order(self) -> None:
        """Say how given labels replace the names that the function itself has for its classes.

        Raises:
            InputError: There are more or fewer, or one of them is the function's name for another class.
        """
        own = self.known
        if own is None or own == self.labels:
            return
        places = {name.casefold(): place for place, name in enumerate(own)} | {name: place for place, name in enumerate(own)}
        found = [places.get(name, places.get(name.casefold(), place)) for place, name in enumerate(self.labels)]
        if len(own) != len(self.labels) or found != list(range(len(own))):
            raise InputError(f"teacher_labels: {self.labels}, but {self.path} answers in the order {own}; leave them out.")
        say_once(f"teacher: the classes {own} of {self.path} are called {self.labels}, in this order.")

    def _together(self, texts: Sequence[str], text_pairs: Sequence[str] | None) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Ask about all texts in one call.

        An error alone is no evidence that the function takes one text: it must also answer one text, without taking it apart,
        and then fail with the list again.

        Returns:
            The numbers of all answers, or None where it takes one text; then, those of the first text's answer.

        Raises:
            InputError: It raised an exception.
        """
        alone = texts[0], None if text_pairs is None else text_pairs[0]
        try:
            answer = self._ask(list(texts), None if text_pairs is None else list(text_pairs))
        except InputError as failure:
            if not isinstance(failure.__cause__, MISTAKEN):
                raise
            first, why = self._probe(*alone)
            if first is None:
                raise InputError(f"{failure}{why}") from failure
            try:
                answer = self._ask(list(texts), None if text_pairs is None else list(text_pairs))
            except InputError as again:
                if not isinstance(again.__cause__, MISTAKEN):
                    raise
                return self._takes_one(first)
        rows, problem, note = self._understood(answer, texts)
        if rows is None and self._one_by_one is None:
            first, _ = self._probe(*alone)
            if first is not None:
                return self._takes_one(first)
        if rows is not None and len(texts) > 1:  # the answer to one text may be that of a function of one text
            self._one_by_one = False
        self._say(note)
        if rows is None:
            rows, problem = self._nothing(len(texts)), self._not_understood(problem, answer)
        self._problem = self._problem or problem
        return rows, None

    def _takes_one(self, first: np.ndarray) -> tuple[None, np.ndarray]:
        self._one_by_one = True
        say_once(f"teacher: {self.path} takes one text at a time; it is called for each.")
        return None, first

    def _probe(self, text: str, pair: str | None) -> tuple[np.ndarray | None, str]:
        """Return the numbers of the answer to one text, None where the function does not take one, and what it raised."""
        asked, second = OneText(text), None if pair is None else OneText(pair)
        try:
            answer = self._ask(asked, second)
        except InputError as error:
            mistaken = isinstance(error.__cause__, MISTAKEN) or asked.taken_apart
            return None, self._remedy if mistaken else f" Then {str(error).removeprefix('teacher: ')}"
        if asked.taken_apart or (second is not None and second.taken_apart):
            return None, self._remedy
        as_many = _length(answer) == len(text) and len(text) not in (1, len(self.labels))
        if as_many and self.labels and not self.kind.of_words:
            return None, self._remedy  # one answer to each character
        row = self._of_one(answer, text)[0]
        return row if row is not None and np.isfinite(row).any() else None, ""

    def _alone(self, text: str, pair: str | None) -> np.ndarray | None:
        """Return the numbers of the answer to one text of a function that takes one, None where it is unusable.

        Raises:
            InputError: The function raised an exception.
        """
        answer = self._ask(text, pair)
        row, problem = self._of_one(answer, text)
        if row is None:
            self._problem = self._problem or self._not_understood(problem, answer)
        return row

    def _of_one(self, answer: Any, text: str) -> tuple[np.ndarray | None, str]:
        """Read the answer to one text: a row, a number, a name, a dictionary, a list of these, or a batch of one of them."""
        most = 2 if self.kind.of_words else 1  # dimensions
        whole = matrix(answer)
        table = hasattr(answer, "columns") or (whole is not None and whole.ndim == most + 1 and len(whole) == 1)
        names = _length(answer) == 1 and isinstance(answer[0], str)
        if not (table or names) and whole is not None and whole.ndim > most:
            return None, f"an answer of shape {whole.shape} to one text"
        rows, problem, note = self._understood(answer if table or names else [answer], [text])
        self._say(note)
        return rows, problem

    def _understood(self, answer: Any, texts: Sequence[str]) -> tuple[np.ndarray | None, str, str]:
        """Read an answer: rows of probabilities of classes in any form, or numbers of another kind."""
        labels = self.labels or None
        if self.kind.of_words:
            return read_words(answer, texts, self.labels)
        if self.kind.problem_type is not None:
            return read_numbers(answer, len(texts), labels, self.known)
        if labels is None:
            self._named = names_in(answer, len(texts))
        try:
            return read_answer(answer, len(texts), labels, self.known, self._seen)
        except InputError as error:
            raise InputError(self._named_in(str(error))) from None

    def _read(self, rows: np.ndarray) -> Tensor:
        """Return the answers that numbers stand for."""
        predictions, bad_rows = self.kind.read(rows)
        self._problem = self._problem or bad_rows
        return predictions

    def _nothing(self, texts: int) -> np.ndarray:
        return np.full((texts, *([1] if self.kind.of_words else []), len(self.labels)), np.nan)

    def _not_understood(self, problem: str, answer: Any) -> str:
        expected = EXPECTED_OF_WORDS if self.kind.of_words else EXPECTED[self.kind.problem_type]
        return f"{problem or 'no form that is known'}; it returned {describe(answer)}: {expected}"

    @property
    def _remedy(self) -> str:
        return TWO_LISTS if self.kind.texts == 2 else ONE_TEXT

    def _say(self, note: str) -> None:
        if note:
            say_once(self._named_in(note))

    def _named_in(self, line: str) -> str:
        return line.replace("teacher:", f"teacher: {self.path}:", 1)

    def _ask(self, texts: str | list[str], text_pairs: str | list[str] | None) -> Any:
        try:
            return self._call(texts) if text_pairs is None else self._call(texts, text_pairs)
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            said = " ".join(str(error).split())[:300]
            asked = "one text" if isinstance(texts, str) else f"{len(texts)} texts"
            raise InputError(
                f"teacher: {self.path} raised {type(error).__name__} ({said}) when asked {asked}; "
                f"call it with {_called_with(texts, text_pairs)} to see where."
            ) from error

    def _ask_for_labels(self) -> list[str]:
        if isinstance(self.kind, Score):
            return ["score"]
        if self.kind.problem_type:
            raise InputError(f"teacher_labels is missing: give the labels of {self.path} in the order of its probabilities.")
        self.queries += 1
        rows, first = self._together(["A text."], ["A text."] if self.kind.texts == 2 else None)
        rows = first if rows is None else rows
        problem, self._problem = self._problem, ""
        if rows is None or not rows.size:
            raise InputError(
                f"teacher: {self.path} did not answer one text with one row of class probabilities ({problem}). "
                "Where it answers with names of classes, or has no answer to that text, give --teacher_labels."
            )
        return self._named or [str(i) for i in range(rows.shape[1])]


def _called_with(texts: str | list[str], text_pairs: str | list[str] | None) -> str:
    if isinstance(texts, str):
        return "a text" if text_pairs is None else "two texts"
    return "a list of texts" if text_pairs is None else "two lists of texts"


def _length(answer: Any) -> int:
    """Return how many items an answer has, 0 where it is no list."""
    if isinstance(answer, np.ndarray | Tensor):
        return len(answer) if answer.ndim else 0
    return len(answer) if isinstance(answer, list | tuple) else 0
