"""A classifier behind HTTP as teacher; `distill.teachers.services.formats` says in which formats.

Failures are of three kinds. A temporary failure is asked again, and stops the run when it persists
(`distill.teachers.services.connection`). Texts that the server refuses (too long, empty, too many at once) are sent again in
smaller and smaller portions, so that one such text does not spoil the others. All other failures (answers that are cut off, of
a wrong count, or without probabilities) become rows of NaN, as with every teacher.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from distill.common.errors import InputError
from distill.kinds.found import kind_of
from distill.kinds.labels import MULTI_LABEL
from distill.kinds.names import NOT_GIVEN, GivenKind
from distill.kinds.tokens import Tokens
from distill.teachers.names import split_address
from distill.teachers.probabilities import check_labels
from distill.teachers.services.connection import REFUSALS, Connection
from distill.teachers.services.formats import FORMATS, Scores, read_json
from distill.teachers.services.service import READINGS, Arrived, Part, Service
from distill.teachers.services.together import Pieces

LOGGER = logging.getLogger("prompter")


class HttpTeacher(Service):
    """A classifier behind HTTP as teacher.

    Args:
        url: Address that takes the texts, such as "http://host:8080/predict", with the name of its format before it
            ("vllm+http://host:8000/classify"), and for vLLM the name of a model behind `#`, if it serves several.
        labels: The K class names, in the order of the columns; the first answer must have these, or LABEL_0 and so on, which
            then stand for them in this order. Default: the service is asked about one text (and this query is counted) to
            learn them, and they are sorted by name. vLLM does not name its classes, so they are needed there, in the order of
            its outputs.
        given: What the user says about its kind.
        batch_size: Texts per request.
        concurrency: Requests at the same time.
        connecting: Further settings of the `Connection`.

    Attributes:
        path: The address without its query.
        address: The whole address. The query goes with every request and may hold a key, so it is never shown or stored.

    Raises:
        InputError: The address holds credentials or has no host, the service does not answer as described, or it has fewer
            than two labels.
    """

    def __init__(
        self,
        url: str,
        labels: Sequence[str] | None = None,
        *,
        given: GivenKind = NOT_GIVEN,
        batch_size: int = 32,
        concurrency: int = 8,
        **connecting: Any,
    ) -> None:
        service, address, self.model = split_address(url)
        self.format = FORMATS[service or "tei"]
        self.named = bool(service)
        self.address = url
        line = Connection(address, concurrency=concurrency, **connecting)
        super().__init__(f"{service}+{line.path}" if service else line.path, line, concurrency)
        self.batch_size = batch_size
        self._understood = False
        self._logits: bool | None = None  # whether raw outputs are logits; not known yet
        self._lock = threading.RLock()
        self._labels_seen = labels is None
        if labels is None and not self.format.names:
            raise InputError(
                f"teacher_labels is missing: {self.path} does not name its classes; give them in the order of its outputs "
                "(id2label in the model's config.json)."
            )
        if given.name == Tokens.name:
            raise InputError(f"kind is tokens, but {self.path} answers about whole texts; give a model folder or a function.")
        self.labels = [str(label) for label in labels or []]
        self._numbered = {f"LABEL_{number}": label for number, label in enumerate(self.labels)}
        self.kind = kind_of(given, self.labels)
        if labels is None:
            self.labels = self._ask_for_labels()
            self.kind = kind_of(given, self.labels)
        check_labels(self.labels, self.kind)

    def answers(
        self, texts: Sequence[str], text_pairs: Sequence[str] | None = None, arrived: Arrived | None = None
    ) -> Iterator[Part]:
        """Yield the answers to texts as they arrive; see `Service.answers`.

        Raises:
            InputError: See there; or its labels are not the given ones.
        """
        if text_pairs is not None and not self.format.pairs:
            raise InputError(f"teacher: {self.path} takes single texts only, but pairs of texts were asked.")
        pairs = None if text_pairs is None else zip(texts, text_pairs, strict=True)
        inputs = [[text] for text in texts] if pairs is None else [list(pair) for pair in pairs]
        parts = [range(start, min(start + self.batch_size, len(inputs))) for start in range(0, len(inputs), self.batch_size)]
        asked = [(list(part), [inputs[row] for row in part]) for part in parts]
        yield from self.together(asked, self._part, arrived)

    def identity(self) -> dict[str, Any]:
        """Return what the answers depend on: the address, the model that the service names, and how it is asked."""
        model = {} if self.unreached else self.info()
        return {"url": self.address, "model": model} | ({"raw_scores": True} if self._raw else {})

    @property
    def _raw(self) -> bool:
        """Whether the model's outputs shall come as they are, because the service would scale them as for one class."""
        return self.format.raw and self.kind.problem_type is not None

    def info(self) -> dict[str, str]:
        """Return what the service says about its model without being asked a text, or {}."""
        said = self._line.get(self.format.about)
        models = said.get("data") if isinstance(said, dict) else None
        if isinstance(models, list):
            said = next((item for item in models if isinstance(item, dict) and self.model in ("", item.get("id"))), None)
        if not isinstance(said, dict):
            return {}
        return {name: str(said[name]) for name in ("model_id", "model_sha", "id", "root") if said.get(name)}

    def _part(self, inputs: list[list[str]]) -> Tensor | Pieces[list[list[str]]]:
        asked = self._ask(inputs)
        if asked is None:  # each half counts by itself, so that what one has answered survives a failure of the other
            half = len(inputs) // 2
            return Pieces([(slice(None, half), inputs[:half]), (slice(half, None), inputs[half:])])
        rows, problem = self._rows(*asked)
        if self._raw and self.kind == MULTI_LABEL:
            rows = self._independent(inputs, rows)
        predictions, bad_rows = self.kind.read(rows)
        self._problem = self._problem or problem or bad_rows
        return predictions

    def _rows(self, predictions: list[Scores | None], problem: str) -> tuple[np.ndarray, str]:
        """Return (N, K) float64 scores, NaN where there are none, and what was wrong.

        Raises:
            InputError: The first answer has other labels than the given ones, or one only.
        """
        rows = np.full((len(predictions), len(self.labels)), np.nan)
        for row, answer in zip(rows, predictions, strict=True):
            if answer is None:
                continue
            if answer.keys() != set(self.labels) and answer.keys() == self._numbered.keys():
                answer = {label: answer[number] for number, label in self._numbered.items()}  # noqa: PLW2901
                self._note_numbers()
            if answer.keys() == set(self.labels):
                row[:] = [answer[label] for label in self.labels]
                self._labels_seen = True
            elif self._labels_seen:
                problem = problem or f"labels {self._line.quoted(str(sorted(answer)))} instead of {self.labels}"
            elif answer.keys() < {*self.labels, *self._numbered} and len(answer) == 1:
                raise self._one_label(answer)
            else:
                order = "in any order, or none" if self.format.names else "in the order of its outputs"
                raise InputError(
                    f"teacher_labels: {self.labels} were given, but {self.path} answers with "
                    f"{self._line.quoted(str(sorted(answer)))}; give these names, {order}."
                )
        return rows, problem

    def _ask_for_labels(self) -> list[str]:
        asked = self._ask([["A text."] * self.kind.texts])
        assert asked is not None  # one text has no halves
        [answer], problem = asked
        self.queries += 1
        if not answer:
            raise InputError(
                f"teacher: {self.path} did not answer one text with labels and scores ({problem or 'no labels'}); "
                f"expected {self.format.expected}, as {self.format.title} answers."
            )
        if len(answer) < self.kind.fewest:
            raise self._one_label(answer)
        return sorted(answer)

    def _note_numbers(self) -> None:
        """Say once that the order of the given labels decides, because the service does not name them."""
        with self._lock:
            first, self._labels_seen = not self._labels_seen, True
        if first:
            named = ", ".join(f"{number} is {label}" for number, label in self._numbered.items())
            LOGGER.warning("teacher: %s only numbers its classes; as teacher_labels says, %s.", self.path, named)

    def _one_label(self, answer: Scores) -> InputError:
        return InputError(
            f"teacher: {self.path} answers with one label only ({self._line.quoted(', '.join(answer))}), but the "
            "probabilities of all classes are needed: let the service give them all (a pipeline of transformers: "
            "top_k=None), or give a function that asks it and returns the name of the likeliest class."
        )

    def _independent(self, inputs: list[list[str]], rows: np.ndarray) -> np.ndarray:
        """Return independent probabilities, (N, K), of what was answered when the outputs were asked for.

        They are logits. But a service that only takes the format over may give probabilities whatever it is asked for: then
        all are between 0 and 1, and the same come where outputs are not asked for.
        """
        with self._lock:
            if self._logits is None and np.isfinite(rows).any():
                self._logits = bool(((rows < 0) | (rows > 1)).any())
                if not self._logits:
                    asked = self._ask(inputs, raw=False)
                    self._logits = asked is None or not np.allclose(rows, self._rows(*asked)[0], atol=1e-3, equal_nan=True)
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-rows)) if self._logits else rows

    def _ask(self, inputs: list[list[str]], raw: bool | None = None) -> tuple[list[Scores | None], str] | None:
        """Return the scores of each input, None where there are none, and what was wrong; None for smaller portions, please.

        Raises:
            InputError: The service cannot be reached, keeps failing, or answers with a status that another request would not
                change.
        """
        problem, body = "", b""
        for _ in range(READINGS):
            reply = self._line.post(self.format.request(inputs, self.model, self._raw if raw is None else raw))
            body, problem = reply.body, reply.problem
            if reply.status in REFUSALS and len(inputs) > 1:
                return None
            if reply.status in REFUSALS:
                hint = "" if self.named or self._understood else OTHER_FORMATS
                return [None], f"HTTP {reply.status}{self._line.quoted(body, ': ')}{hint}"
            if reply.status != 200:
                self._line.refuse(reply)
            if problem:
                break
            said, problem = read_json(body)
            if not problem:
                self._check_model(said)
                scores, problem = self.format.read(said, len(inputs), self.labels)
                if scores:
                    self._understood = True
                    return scores, problem
        return [None] * len(inputs), f"{problem}{self._line.quoted(body, ': ')}"

    def _check_model(self, said: Any) -> None:
        """Check that the model that was asked for has answered.

        Raises:
            InputError: The answer names another one.
        """
        answered = said.get("model") if isinstance(said, dict) else None
        if not isinstance(answered, str):
            return
        self.model = self.model or answered  # the first one stays
        if answered != self.model:
            raise InputError(
                f"teacher: {self.path} was asked for the model {self.model!r}, but {self._line.quoted(answered)!r} answers; "
                "give the name of a model that it serves behind the '#'."
            )


OTHER_FORMATS = " (write endpoint+ before the address of an Inference Endpoint, vllm+ before that of vLLM's /classify)"
