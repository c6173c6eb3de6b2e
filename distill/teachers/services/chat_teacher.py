"""A language model behind HTTP as teacher: it is asked for the class of each text, and its log-probabilities are the answer.

`openai+http://HOST/v1#MODEL` is asked at `/v1/chat/completions` with `logprobs` and `top_logprobs`, which OpenAI, vLLM, the
server of llama.cpp and text-generation-inference document alike. Servers differ in what they allow. What one of them refuses
before it has answered once (20 alternatives, `temperature`, `max_tokens`) is asked for no more. Where it gives no
log-probabilities, the class that it names gets most of the probability, which is said.
"""

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from distill.common.errors import InputError
from distill.common.terminal import one_line
from distill.kinds.classes import SINGLE
from distill.kinds.names import AUTO
from distill.kinds.reading import log_probabilities
from distill.teachers.config import Asking
from distill.teachers.functions.answers import SMOOTHING
from distill.teachers.names import split_address, teacher_name
from distill.teachers.probabilities import check_labels
from distill.teachers.services import label_words
from distill.teachers.services.connection import REFUSALS, Connection, Reply
from distill.teachers.services.formats import read_json
from distill.teachers.services.service import READINGS, Arrived, Part, Service

LOGGER = logging.getLogger("prompter")

ALTERNATIVES = (20, 5, 0)
"""Numbers of alternatives to ask for, the next where one is refused: OpenAI's and vLLM's limit is 20, that of
text-generation-inference 5; 0 asks for no log-probabilities."""

SHARES_LOOKED_AT, LOW_SHARE = 32, 0.3
"""After how many answers a line says that the labels hold less than this share of them on average."""

SNAPSHOT = re.compile(r"-(\d{4}|\d{4}-?\d{2}-?\d{2})")
"""What services add to the name of a model where it stands for the newest of its versions."""


class ChatTeacher(Service):
    """A language model that chooses a label.

    Args:
        url: `openai+http://HOST/v1#MODEL` or `openai+https://...`.
        labels: The K class names.
        asking: The request.
        concurrency: Requests at the same time.
        connecting: Further settings of the `Connection`.

    Attributes:
        path: The name without the query of its address.
        address: The whole name. The query may hold a key, so it is never shown or stored.

    Raises:
        InputError: The address names no model, there are fewer than two labels, or the request has no place for the text.
    """

    def __init__(
        self, url: str, labels: Sequence[str] | None, asking: Asking, *, concurrency: int = 8, **connecting: Any
    ) -> None:
        _, address, self.model = split_address(url)
        place, question, query = address.partition("?")
        place = place.rstrip("/")
        if not place.endswith("/chat/completions"):
            place += "/chat/completions"
        line = Connection(place + question + query, concurrency=concurrency, **{"rate": asking.rate} | connecting)
        super().__init__(teacher_name(url), line, concurrency)
        self.address = url
        if not self.model:
            raise InputError(
                f"teacher: {self.path} names no model; write openai+http://HOST/v1#MODEL, with a name that /v1/models lists."
            )
        if not labels:
            raise InputError(f"teacher_labels is missing: give the labels between which {self.path} shall choose.")
        self.labels = [str(label) for label in labels]
        if asking.kind.name not in (AUTO, SINGLE.name):
            raise InputError(
                f"kind is {asking.kind.name}, but the language model {self.path} is asked for one class for a text: leave "
                "--kind out."
            )
        check_labels(self.labels)
        self._words = label_words.words_of(self.labels)
        self.template = label_words.template(asking)
        self._served = ""  # the name that the model gave itself
        self._answered = False
        self._alternatives = 0  # place in ALTERNATIVES
        self._shares: list[float] = []  # of the labels in the first answers
        self._lock = threading.Lock()
        longest = max(len(label) for label in self.labels)
        self._options: dict[str, Any] = {"temperature": 0, "max_tokens": min(4 + longest // 2, 64)}

    def answers(
        self, texts: Sequence[str], text_pairs: Sequence[str] | None = None, arrived: Arrived | None = None
    ) -> Iterator[Part]:
        """Yield the answers to texts as they arrive; see `Service.answers`.

        The first text is asked alone, to learn what the service allows, and so are the next ones until one is answered.

        Raises:
            InputError: See there.
        """
        if text_pairs is not None:
            raise InputError(f"teacher: {self.path} is asked about single texts, but pairs of texts were asked.")
        parts = [([row], text) for row, text in enumerate(texts)]
        begun = 0
        while begun < min(len(parts), self.concurrency) and not self._answered:
            yield from self.together(parts[begun : begun + 1], self._row, arrived, most=1)
            begun += 1
        yield from self.together(parts[begun:], self._row, arrived)

    def identity(self) -> dict[str, Any]:
        """Return what the answers depend on: the address with the model's name, and the request."""
        return {"url": self.address, "prompt": self.template}

    def _row(self, text: str) -> Tensor:
        row, problem = self._ask(text)
        values = np.full((1, len(self.labels)), np.nan) if row is None else np.array([row])
        predictions, bad_row = log_probabilities(values)
        self._problem = self._problem or problem or bad_row
        return predictions

    def _ask(self, text: str) -> tuple[list[float] | None, str]:
        """Return the probabilities of one text, or None, and what was wrong.

        Raises:
            InputError: See `answers`.
        """
        problem, readings = "", 0
        while readings < READINGS:
            payload = self._payload(text)
            reply = self._line.post(payload)
            if reply.status in (400, 403, 422):
                with self._lock:
                    # Another request may have found out meanwhile what is refused.
                    if payload != self._payload(text) or self._ask_for_less(reply):
                        continue
            if reply.status in REFUSALS:
                return None, f"HTTP {reply.status}{self._line.quoted(reply.body, ': ')}"
            if reply.status != 200:
                self._line.refuse(reply)
            readings += 1
            if problem := reply.problem:
                break
            said, problem = read_json(reply.body)
            if not problem:
                row, problem = self._read(said)
                if row is not None or problem.startswith("an answer that begins"):
                    return row, problem
        return None, f"{problem}{self._line.quoted(reply.body, ': ')}"

    def _payload(self, text: str) -> dict[str, Any]:
        asked = label_words.request(self.template, self.labels, text)
        payload = {"model": self.model, "messages": [{"role": "user", "content": asked}], **self._options}
        if most := ALTERNATIVES[self._alternatives]:
            payload |= {"logprobs": True, "top_logprobs": most}
        return payload

    def _ask_for_less(self, reply: Reply) -> bool:
        """Leave out what a service refuses before it has answered once. Return whether there was something."""
        said = reply.body[:2000].decode("utf-8", "replace").casefold()
        if self._answered:
            return False
        if "max_completion_tokens" in said and "max_tokens" in self._options:
            self._options["max_completion_tokens"] = self._options.pop("max_tokens")
            return True
        if re.search(r"log_?prob|top_n_tokens", said) and self._alternatives + 1 < len(ALTERNATIVES):
            self._alternatives += 1
            return True
        return "temperature" in said and self._options.pop("temperature", None) is not None

    def _read(self, said: Any) -> tuple[list[float] | None, str]:
        """Return the probabilities in an answer, or None and what is wrong.

        Raises:
            InputError: Another model answers.
        """
        try:
            choice = said["choices"][0]
            content = choice["message"]["content"]
        except (TypeError, KeyError, IndexError):
            return None, "an answer without choices"
        self._check_model(said)
        logprobs = choice.get("logprobs")
        places = logprobs.get("content") if isinstance(logprobs, dict) else None
        if isinstance(places, list) and places:
            self._answered = True
            row, share, problem = label_words.probabilities(places, self._words)
            self._note_share(share, content)
            return row, problem
        index = label_words.named(content, self._words)
        if index is None:
            return None, f"an answer that begins with {one_line(str(content)[:40])!r}, which is none of {self.labels}"
        if not self._answered:
            LOGGER.warning(
                "teacher: %s gives no log-probabilities; the label that it names gets %.0f%%, and the others share the rest. "
                "Probabilities teach more.", self.path, 100 * (1 - SMOOTHING),
            )  # fmt: skip
        self._answered = True
        rest = SMOOTHING / (len(self.labels) - 1)
        return [1 - SMOOTHING if i == index else rest for i in range(len(self.labels))], ""

    def _note_share(self, share: float, content: Any) -> None:
        """Say once if the model would rather answer with something else than a label."""
        with self._lock:
            if len(self._shares) >= SHARES_LOOKED_AT:
                return
            self._shares.append(share)
            first = len(self._shares) == SHARES_LOOKED_AT
            mean = sum(self._shares) / len(self._shares) if first else 1.0
        if mean < LOW_SHARE:
            LOGGER.warning(
                "teacher: %s answers with a label in %.0f%% of the cases only, else for instance with '%s': its probabilities "
                "may mean little. Give another --teacher_prompt, plainer --teacher_labels, or a larger model.",
                self.path, 100 * mean, one_line(str(content)[:40]),
            )  # fmt: skip

    def _check_model(self, said: Any) -> None:
        """Check that the model that was named has answered, and always the same version of it.

        Raises:
            InputError: The answer names another one.
        """
        name = said.get("model")
        if not isinstance(name, str) or not name:
            return
        self._served = self._served or name
        wanted = name == self.model or (name.startswith(self.model) and SNAPSHOT.fullmatch(name[len(self.model) :]))
        if not wanted or name != self._served:
            raise InputError(
                f"teacher: {self.path} was asked for the model {self._served if wanted else self.model!r}, but "
                f"{self._line.quoted(name)!r} answers; name the model behind the '#' as the service does."
            )
