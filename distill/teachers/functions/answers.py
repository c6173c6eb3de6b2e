"""Understand what a function answers: probabilities, percentages, one column, names of classes, or dictionaries.

Nobody writes a function to our form the first time. What has one meaning is read so, and said once; anything else is
described, with what to return instead.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from distill.common.errors import InputError
from distill.kinds.reading import BEYOND, add_up
from distill.teachers.probabilities import matrix, rows_of

SMOOTHING = 0.1
"""Probability that the other classes share where a teacher names the likeliest class alone."""

EXPECTED = {
    None: "return an array of shape (number of texts, number of classes), each row of sum 1",
    "multi_label_classification": "return for each text a probability from 0 to 1 of each label",
    "regression": "return one number for each text",
}
"""What to return, by the kind's `problem_type`."""


def read_answer(
    answer: Any,
    texts: int,
    labels: Sequence[str] | None,
    known: Sequence[str] | None = None,
    seen: Counter[str] | None = None,
) -> tuple[np.ndarray | None, str, str]:
    """Return the probabilities of an answer.

    Args:
        answer: What the function returned for `texts` texts.
        texts: Number of texts N.
        labels: The K class names, None where they are not known yet.
        known: The K names that the function itself has for the classes, where it has some.
        seen: How many of its rows had which form so far; grows. A row that is not like most of them is unusable.

    Returns:
        (N, K) float64, NaN where a row is unusable, or None where the form is not understood at all; what is wrong; and how
        the answer was read where it is not plainly rows of probabilities.

    Raises:
        InputError: It answers with whole numbers that are names of classes, and with one that can only be a position.
    """
    answer, problem, ordered = _columns(_plain(answer, texts), labels, known)
    if problem:
        return None, problem, ""
    if _mostly(answer, texts, lambda row: scores_of(row) is not None):
        return _of_scores(answer, labels, known)
    if _mostly(answer, texts, lambda row: isinstance(row, str)):
        return _of_names(answer, labels, known)
    whole = matrix(answer)
    if whole is not None and whole.shape in ((texts,), (texts, 1)) and texts:
        return _of_column(answer, whole.reshape(-1), labels, known)
    if whole is None or whole.shape != (texts, len(labels) if labels else whole.shape[-1] if whole.ndim else 0):
        whole, problem = rows_of(answer, texts, len(labels) if labels else 2)
        if np.isnan(whole).all():
            return None, problem, ""
    rows, odd, note = _of_rows(whole, Counter() if seen is None else seen)
    return rows, problem or odd, note or ordered


def read_numbers(
    answer: Any, texts: int, labels: Sequence[str] | None, known: Sequence[str] | None = None
) -> tuple[np.ndarray | None, str, str]:
    """Return the numbers of an answer whose rows are no distribution over classes.

    Args:
        answer: What the function returned for `texts` texts: rows of numbers, one number a text, or the scores of pipelines.
        texts: Number of texts N.
        labels: The C labels; None for one number.
        known: See `read_answer`.

    Returns:
        As `read_answer`.
    """
    answer, problem, note = _columns(_plain(answer, texts), labels, known)
    if problem:
        return None, problem, ""
    if _mostly(answer, texts, lambda row: scores_of(row) is not None):
        return _of_scores(answer, labels, known, shared=False)
    columns = len(labels) if labels else 1
    whole = matrix(answer)
    if whole is not None and columns == 1 and whole.shape == (texts,):
        whole = whole[:, None]
    rows, problem = rows_of(answer if whole is None else whole, texts, columns)
    return (None if problem and np.isnan(rows).all() else rows), problem, note


def names_in(answer: Any, texts: int) -> list[str] | None:
    """Return the names of the classes that an answer to `texts` texts gives beside its numbers, in the order of columns."""
    answer = _plain(answer, texts)
    if hasattr(answer, "columns"):
        names = list(answer.columns)
        return names if all(isinstance(name, str) for name in names) else None
    found = scores_of(answer[0]) if _is_list(answer, texts) else None
    return sorted(found) if found and len(found) > 1 else None


def places_of(labels: Sequence[str], known: Sequence[str] | None = None) -> dict[str, int]:
    """Return the column of each name that an answer may use for a class.

    A given name comes first, then the function's own, then LABEL_0 and so on, then all of them without capitals.

    Examples:
        >>> places_of(["Bad", "good"])
        {'Bad': 0, 'good': 1, 'LABEL_0': 0, 'LABEL_1': 1, 'bad': 0, 'label_0': 0, 'label_1': 1}
    """
    places: dict[str, int] = {}
    for names in (labels, known or (), [f"LABEL_{place}" for place in range(len(labels))]):
        for place, name in enumerate(names):
            places.setdefault(name, place)
    folded = [(name.casefold(), place) for name, place in places.items()]
    differing = {name for name, place in folded if any(other == name and at != place for other, at in folded)}
    for name, place in folded:
        if name not in differing:
            places.setdefault(name, place)
    return places


def place_of(name: str, places: Mapping[str, int]) -> int | None:
    """Return the column of a name that was answered, None where it is unknown; see `places_of`."""
    return places.get(name, places.get(name.casefold()))


def describe(answer: Any) -> str:
    """Return in a few words what a function answered.

    Examples:
        >>> describe([0.5, 0.5]), describe([None]), describe({"a": 1})
        ('an array of shape (2,)', 'None for each text', "a dict such as {'a': 1}")
    """
    if isinstance(answer, (list, tuple)) and answer and all(item is None for item in answer):
        return "None for each text"
    whole = None if answer is None else matrix(answer)
    if whole is not None and whole.ndim:
        return f"an array of shape {whole.shape}"
    if answer is None or isinstance(answer, (int, float)):
        return str(answer)
    shown = repr(answer[0] if isinstance(answer, (list, tuple)) and answer else answer)[:80]
    many = f"{len(answer)} items " if isinstance(answer, (list, tuple)) else ""
    return f"a {type(answer).__name__} {'of ' if many else ''}{many}such as {shown}"


def _plain(answer: Any, texts: int) -> Any:
    """Return an answer as a list where it holds text or objects, or is a dictionary about one text."""
    if hasattr(answer, "to_numpy") and not hasattr(answer, "columns"):  # a column of pandas or polars
        answer = answer.to_numpy()
    if isinstance(answer, dict) and texts == 1:
        return [answer]
    return answer.tolist() if isinstance(answer, np.ndarray) and answer.dtype.kind in "OUS" else answer


def _columns(answer: Any, labels: Sequence[str] | None, known: Sequence[str] | None) -> tuple[Any, str, str]:
    """Return the columns of a table with names (pandas, polars) in the order of the labels, what is wrong, and what to say."""
    if not hasattr(answer, "columns") or not hasattr(answer, "to_numpy"):
        return answer, "", ""
    names, values = list(answer.columns), answer.to_numpy()
    if labels is None or not all(isinstance(name, str) for name in names):
        return values, "", ""
    places = places_of(labels, known)
    order = {place_of(name, places): column for column, name in enumerate(names)}
    if all(place in order for place in range(len(labels))):
        return values[:, [order[place] for place in range(len(labels))]], "", ""
    if set(order) != {None}:
        return answer, f"columns {names[:8]} instead of {list(labels)}", ""
    return values, "", f"teacher: its columns {names[:8]} are read in the order of the classes {list(labels)}."


def _is_list(answer: Any, texts: int) -> bool:
    return isinstance(answer, (list, tuple)) and len(answer) == texts > 0


def _mostly(answer: Any, texts: int, fits: Callable[[Any], bool]) -> bool:
    """Return whether most rows are of a form; the others are unusable, and do not spoil those."""
    return _is_list(answer, texts) and 2 * sum(map(fits, answer)) > texts


def scores_of(row: Any) -> dict[str, Any] | None:
    """Return the scores of a row by name, None where it is no such row.

    A row is `{"label": ..., "score": ...}`, a list of these, as pipelines of transformers answer, or `{name: score}`.
    """
    if isinstance(row, dict) and row and not {"label", "score"} & row.keys():
        return dict(row) if all(isinstance(name, str) and np.ndim(value) == 0 for name, value in row.items()) else None
    items = [row] if isinstance(row, dict) else row
    if not isinstance(items, (list, tuple)) or not items:
        return None
    if not all(isinstance(item, dict) and {"label", "score"} <= item.keys() for item in items):
        return None
    found = {str(item["label"]): item["score"] for item in items}
    return found if len(found) == len(items) else None  # a label twice


def _of_scores(
    answer: Sequence[Any], labels: Sequence[str] | None, known: Sequence[str] | None, shared: bool = True
) -> tuple[np.ndarray | None, str, str]:
    """Read rows of scores by name; `shared` says that the scores of a text add up to one."""
    found = [scores_of(row) for row in answer]
    names = list(labels) if labels is not None else sorted({name for row in found for name in row or ()})
    if labels is None and len(names) == 1:
        return None, "one label and its score, which do not tell the other labels", ""
    places = places_of(names, known)
    rows = np.full((len(found), len(names)), np.nan)
    problem, note = "", "teacher: dictionaries of label and score are read as probabilities."
    for values, row in zip(rows, found, strict=True):
        numbers = None if row is None else matrix(list(row.values()))
        if row is None or numbers is None or numbers.shape != (len(row),):
            problem = problem or "rows without a number for each label"
            continue
        columns = [place for name in row if (place := place_of(name, places)) is not None]
        if len(set(columns)) < len(row):
            problem = problem or f"labels {sorted(row)[:4]} instead of {names}"
        elif len(row) == len(names):
            values[columns] = numbers
        elif len(row) == 1 and len(names) > 1 and shared:
            values[:] = (1 - numbers[0]) / (len(names) - 1)
            values[columns] = numbers
            note = "teacher: it names one label and its score; the other classes share the rest (top_k=None gives all scores)."
        else:
            problem = problem or f"{len(row)} scores instead of {len(names)} (top_k=None gives those of all labels)"
    return (None, problem, "") if problem and np.isnan(rows).all() else (rows, problem, note)


def _of_names(
    answer: Sequence[Any], labels: Sequence[str] | None, known: Sequence[str] | None
) -> tuple[np.ndarray | None, str, str]:
    if labels is None:
        return None, "names of classes, which need teacher_labels", ""
    places = places_of(labels, known)
    rows, wrong = np.full((len(answer), len(labels)), np.nan), ""
    for row, name in zip(rows, answer, strict=True):
        place = place_of(name, places) if isinstance(name, str) else None
        if place is not None:
            row[:] = SMOOTHING / (len(labels) - 1)
            row[place] = 1 - SMOOTHING
        else:
            wrong = wrong or f"the name {str(name)[:40]!r}, which is none of {list(labels)}"
    note = (
        f"teacher: it names the likeliest class only; that class gets {1 - SMOOTHING:.0%}, and the others share the rest. "
        "Probabilities teach more."
    )
    return (None, wrong, "") if np.isnan(rows).all() else (rows, wrong, note)


def _of_column(
    answer: Any, values: np.ndarray, labels: Sequence[str] | None, known: Sequence[str] | None
) -> tuple[np.ndarray | None, str, str]:
    """Read one number per text. What whole numbers are depends on the labels alone, so that it is the same in each call."""
    given = values[np.isfinite(values)]
    if not len(given):
        return None, "no answer to any text", ""
    whole = bool((given == np.round(given)).all())
    if whole and labels is not None and any(label.removeprefix("-").isdecimal() for label in labels):
        if len(labels) > 2 or _of_integers(answer):  # two classes: a column of probabilities may be sure of every text
            return _of_numbered(values, given, labels, known)
    inside = (values >= 0) & (values < len(labels or ()))
    if whole and labels is not None and len(labels) > 2 and 2 * inside.sum() > len(values):
        names = [labels[int(value)] if fits else None for value, fits in zip(values, inside, strict=True)]
        rows, problem, _ = _of_names(names, labels, known)
        return (
            rows,
            problem and "numbers that are no position of a class",
            "teacher: it answers with positions of classes, counted from 0; they are read as the likeliest class.",
        )
    if labels is not None and len(labels) != 2:
        return None, f"one number per text, but there are {len(labels)} classes", ""
    fits = (values >= -BEYOND) & (values <= 1 + BEYOND)
    if not fits[np.isfinite(values)].all():
        return None, "one number per text beyond 0 to 1 (decision values: return sigmoid of them)", ""
    second = "the second class" if labels is None else repr(labels[1])
    values = np.where(fits, values, np.nan)
    return np.stack([1 - values, values], axis=1), "", f"teacher: its one column is read as the probability of {second}."


def _of_numbered(
    values: np.ndarray, given: np.ndarray, labels: Sequence[str], known: Sequence[str] | None
) -> tuple[np.ndarray | None, str, str]:
    """Read whole numbers as names of classes, because some classes are called by numbers."""
    places = places_of(labels, known)
    for value in map(int, given):
        if place_of(str(value), places) is None and 0 <= value < len(labels):
            raise InputError(
                f"teacher: it answers with whole numbers, which were read as names of the classes {list(labels)}, but {value} "
                "is the position of one and no name, so answers before this one may be wrong: return names as text, or "
                "probabilities; for a text without an answer, None."
            )
    rows, problem, note = _of_names([str(int(v)) if np.isfinite(v) else None for v in values], labels, known)
    return rows, problem, f"{note} Whole numbers are read as names, not as positions." if note else ""


def _of_integers(answer: Any) -> bool:
    if isinstance(answer, Tensor):
        return not answer.is_floating_point()
    values = np.asarray(answer)
    return values.dtype.kind in "iub" or all(isinstance(value, int) for value in values.flat if value is not None)


def _of_rows(rows: np.ndarray, seen: Counter[str]) -> tuple[np.ndarray, str, str]:
    """Return rows of probabilities where most are percentages or logarithms, what is wrong with others, and what to say."""
    if rows.shape[1] < 2:
        return rows, "", ""
    with np.errstate(over="ignore", invalid="ignore"):
        logs = np.exp(rows)
        of_form = {
            "probabilities": add_up(rows),
            "percentages": add_up(rows / 100),
            "logarithms": (rows <= 0).all(axis=1) & (np.abs(logs.sum(axis=1) - 1) <= 1e-3),
        }
    seen.update({form: int(fits.sum()) for form, fits in of_form.items()})
    form = max(of_form, key=lambda name: seen[name])  # the first of equals: probabilities
    if form == "probabilities":
        return rows, "", ""
    problem = "" if of_form[form].all() else f"rows that are no {form}, as most others are, such as {rows[~of_form[form]][0]}"
    if form == "percentages":
        return rows / 100, problem, "teacher: its rows sum to 100; they are read as percentages."
    return logs, problem, "teacher: its rows are logarithms of probabilities."
