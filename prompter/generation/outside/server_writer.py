"""The frozen writer behind a completions endpoint: vLLM, the server of llama.cpp, text-generation-inference and others.

The model reads token ids where the server takes them, and text otherwise. The server's tokenizer may then put a token before
the text that is in it already: the first answer says how many tokens were read, and the text is changed if that is one too
many or too few. Servers differ in what they allow. What one of them refuses before it has answered once is asked for no more.

A server may give no text for a single request: a filter stops it, it does not fit, or it ends at once. The seed of a text is
fixed, so going on would meet the same again. Such a text ends with its topic, as if the model had ended it at once, until they
are many.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from distill.common.errors import InputError, did_you_mean
from distill.teachers.names import teacher_name
from distill.teachers.services.chat_teacher import SNAPSHOT
from distill.teachers.services.connection import AGAIN, REFUSALS, Connection, Reply
from distill.teachers.services.formats import read_json
from distill.teachers.services.service import READINGS
from distill.teachers.services.together import together
from eval.toy import located
from prompter.generation.completions import NO_TEXT, Completion, further_settings, read_completion, request
from prompter.generation.config import WriterConfig, split_writer
from prompter.generation.outside.outside_writer import Asked, OutsideWriter
from prompter.generation.texts import Written, trim_to_sentence

LOGGER = logging.getLogger("prompter")

MOST_AT_ONCE = 64
"""Most requests at the same time. Servers compute some of them together, and keep the rest waiting."""

FEWEST_LOST, MOST_LOST = 8, 0.5
"""A server that gives no text for so many requests, and for more than this share of them, is not asked further."""

MOST_EMPTY = 0.9
"""The same share where the last text was empty: some models end many texts at once, if the server lets them."""

EMPTY = "an empty text"
"""What is wrong with an answer whose text ended at once: the topic alone would stand for it."""

TIMEOUT = 600.0
"""Seconds for an answer. A small server may keep most of the requests waiting for a long time."""


class ServerWriter(OutsideWriter):
    """A frozen causal LM that continues topics, on a server.

    Args:
        address: `http://HOST/v1`, or https, as the user named it; `#MODEL` behind it names the model there.
        name_or_path: Folder or hub id of the same model here, for its tokenizer. It is also the name of the model where the
            address names none.
        config: Sampling settings. At most `writer_batch_size` texts are asked for at the same time.
        revision: Commit of a hub repository.
        **connecting: Further settings of the `Connection`.

    Attributes:
        name: The address with the model's name, without a query, as files may show it.

    Raises:
        InputError: The address is none, the server has no such model, the tokenizer cannot be loaded, or
            `writer_max_new_tokens` does not fit the model's context.
    """

    def __init__(
        self, address: str, name_or_path: str, config: WriterConfig, revision: str | None = None, **connecting: Any
    ) -> None:
        url, model = split_writer(address)
        self.model = model or name_or_path
        place, question, query = url.partition("?")
        place = place.rstrip("/")
        if not place.endswith("/completions"):
            place += "/completions"
        settings: dict[str, Any] = {"concurrency": MOST_AT_ONCE, "timeout": TIMEOUT, "role": "writer"} | connecting
        self._line = Connection(place + question + query, **settings)
        self.name = teacher_name(f"{url}#{self.model}")
        entry = self._entry()
        self.served = {key: str(entry[key]) for key in ("id", "root") if entry.get(key)}
        super().__init__(located(name_or_path, "writer"), config, revision)
        self.context_length = _context(entry)
        self.check_lengths()
        self._answered = False
        self._as_ids = True  # else as text
        # Whether a text that is sent holds the token that begins it. A server adds that token where the tokenizer here does.
        self._begun = self.tokenizer("a")["input_ids"][:1] != [self.start]
        self._compared = False
        self._without: set[str] = set()  # settings that the server does not take
        self._gives_logprobs: bool | None = None
        self._cut = False  # whether a text ended before its time
        self._named = ""  # the name that the model gave itself
        self._given = self._lost = 0  # texts that the server wrote, and those that it did not
        self._problem = ""  # why the last of them was not written
        self._lock = threading.Lock()

    def sampling(self, config: WriterConfig) -> "ServerWriter":
        """Return a writer on the same model; what the server does not write for it is counted by itself.

        Otherwise first texts would outweigh second texts that the server does not write at all.
        """
        made = super().sampling(config)
        assert isinstance(made, ServerWriter)
        made._given = made._lost = 0
        return made

    def _entry(self) -> dict[str, Any]:
        """Return the server's entry of the model in its list of models, {} where it has no list.

        Raises:
            InputError: The list has no such model.
        """
        said = self._line.get("models")
        listed = said.get("data") if isinstance(said, dict) else None
        entries = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
        names = [str(item.get("id")) for item in entries]
        for item, name in zip(entries, names, strict=True):
            if self._is_wanted(name):
                return item
        if names:
            raise InputError(
                f"writer: {self._line.path} has no model {self.model!r}, but {self._line.quoted(', '.join(names[:10]))}: name "
                f"one of them behind the '#' of --writer.{did_you_mean(self.model, names)}"
            )
        return {}

    def _is_wanted(self, name: str) -> bool:
        return name == self.model or (name.startswith(self.model) and bool(SNAPSHOT.fullmatch(name[len(self.model) :])))

    def _written(self, asked: list[Asked], progress: Callable[[int], None] | None) -> Written:
        texts, logprobs = [""] * len(asked), torch.full((len(asked),), torch.nan)
        new_tokens = done = 0
        for number, completion in self._completions(asked):
            texts[number] = self._whole(asked[number].begin, completion)
            if completion.logprob is not None:
                logprobs[number] = completion.logprob
            tokens = completion.tokens
            new_tokens += len(self.tokenizer(completion.text)["input_ids"]) if tokens is None else tokens
            done += 1
            if progress is not None:
                progress(done)
        return Written(texts, logprobs, new_tokens)

    def _completions(self, asked: list[Asked]) -> Iterator[tuple[int, Completion]]:
        """Yield the number of each text and its completion, as they arrive."""
        parts = [([text.number], text) for text in asked]
        begun = 0
        while begun < len(parts) and not self._answered:  # alone, to learn what the server takes
            for [number], completion in together(parts[begun : begun + 1], self._ask, 1, self._line.pace):
                yield number, completion
            begun += 1
        if not self._answered:
            raise self._mostly_lost()
        concurrency = min(self.config.writer_batch_size or MOST_AT_ONCE, MOST_AT_ONCE)
        for [number], completion in together(parts[begun:], self._ask, concurrency, self._line.pace):
            yield number, completion

    def _whole(self, begin: list[int], completion: Completion) -> str:
        """Return a text on one line, trimmed as the settings ask for it."""
        opening = self.tokenizer.decode(begin, skip_special_tokens=True)
        text = opening + completion.text
        if self.config.writer_trim_sentence and not completion.ended:
            fewest = max(1, self.config.writer_min_new_tokens)
            ids = self.tokenizer(completion.text, add_special_tokens=False)["input_ids"][:fewest]
            text = trim_to_sentence(text, len(opening) + len(self.tokenizer.decode(ids)))
        return " ".join(text.split())

    def _ask(self, asked: Asked) -> Completion:
        """Ask for one text.

        Raises:
            InputError: The server cannot be reached, refuses most requests, or keeps giving answers that cannot be read.
        """
        problem, readings, body, completion = "", 0, b"", None
        before = self._as_ids, self._without
        while readings < READINGS:
            prompt = self._prompt(asked.prompt)
            reply = self._line.post(self._payload(prompt, asked.seed))
            if reply.status != 200 and self._ask_for_less(reply):
                continue
            if reply.status in REFUSALS:
                if not self._answered:  # then it was the text, and the next one is to tell what the server takes
                    self._as_ids, self._without = before
                return self._give_up(f"HTTP {reply.status}{self._line.quoted(reply.body, ': ')}")
            if reply.status != 200:
                self._line.refuse(reply)
            readings += 1
            body = reply.body
            if problem := reply.problem:
                break
            said, problem = read_json(body)
            completion, problem = (None, problem) if problem else self._read(said)
            if completion is not None and not problem:
                if not self._answered and self._begins_otherwise(completion.read, asked.prompt):
                    continue
                self._note_answer(completion)
                return completion
        if completion is not None:
            return self._give_up(problem)
        times = "each time" if reply.problem else f"{READINGS} times in a row"
        raise InputError(
            f"writer: {self._line.path} answered {times} with {problem}{self._line.quoted(body, ': ')}; "
            f"look into the server's log, then {AGAIN}."
        )

    def _note_answer(self, completion: Completion) -> None:
        """Count an answer, and say what the first one shows.

        Raises:
            InputError: Most answers hold no text.
        """
        empty = not completion.text.strip()
        with self._lock:
            first, self._answered = not self._answered, True
            self._given += not empty
        if empty:
            self._give_up(EMPTY)
        if first and "min_tokens" in self._without and self.config.writer_min_new_tokens > 1:
            LOGGER.warning(
                "writer: %s does not take min_tokens: texts may be shorter than writer_min_new_tokens.", self._line.path
            )

    def _give_up(self, problem: str) -> Completion:
        """Return what stands for a text that the server does not write.

        Raises:
            InputError: They are many.
        """
        with self._lock:
            self._lost += 1
            self._problem = problem
            most = MOST_EMPTY if problem == EMPTY else MOST_LOST
            if self._lost >= FEWEST_LOST and self._lost > most * (self._lost + self._given):
                raise self._mostly_lost()
            first = self._lost == 1
        if first:
            LOGGER.warning(
                "writer: %s gives no text for a request (%s): the text ends with its topic. More of them are not said.",
                self._line.path, problem,
            )  # fmt: skip
        return NO_TEXT

    def _mostly_lost(self) -> InputError:
        remedy = "look into the server's log"
        if self._problem == EMPTY:
            remedy = "see whether it serves the generator, and puts no template of its own around what it is sent"
        if self._problem.startswith("HTTP "):
            remedy = (
                "it takes no such request; if texts do not fit its context, lower writer_max_new_tokens or give the server a "
                "larger one"
            )
        return InputError(
            f"writer: {self._line.path} gave no text for {self._lost} of {self._lost + self._given} requests "
            f"({self._problem}); {remedy}, then {AGAIN}."
        )

    def _payload(self, prompt: str | list[int], seed: int) -> dict[str, Any]:
        payload = request(self.model, prompt, seed, self.config) | further_settings(self.config, self.eos_token_ids)
        return {name: value for name, value in payload.items() if name not in self._without}

    def _prompt(self, ids: list[int]) -> str | list[int]:
        """Return what the server is sent for the token ids that the model shall read."""
        if self._as_ids:
            return ids
        # An empty text is sent as the token alone, because some servers refuse it.
        return self._text(ids if self._begun or ids[:1] != [self.start] else ids[1:] or ids)

    def _text(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _begins_otherwise(self, read: int | None, ids: list[int]) -> bool:
        """Compare how many tokens the server read first with how many were meant; say where they differ.

        Returns:
            Whether the token that begins a text was read twice or not at all. From now on texts are sent the other way.
        """
        if read is None or self._compared:
            return False
        self._compared = True
        meant = len(ids if self._as_ids else self.tokenizer(self._text(ids), add_special_tokens=False)["input_ids"])
        if not self._as_ids and ids[:1] == [self.start] and read - meant == (1 if self._begun else -1):
            self._begun = not self._begun
            return True
        if read != meant:
            LOGGER.warning(
                "writer: %s reads %d tokens where %d are meant: its tokenizer is another one than that of the generator, or "
                "it changes what it is sent. Name the model that it serves with --generator.", self._line.path, read, meant,
            )  # fmt: skip
        return False

    def _ask_for_less(self, reply: Reply) -> bool:
        """Leave out what a server refuses before it has answered once. Return whether there was something.

        Raises:
            InputError: It refuses a setting that the user chose.
        """
        if self._answered or reply.status not in (400, 403, 422):
            return False
        said = reply.body[:20_000].decode("utf-8", "replace").casefold()
        further = {*further_settings(self.config, self.eos_token_ids)} - self._without
        named = {name for name in further | ({"seed", "top_p"} - self._without) if re.search(rf"\b{name}\b", said)}
        if not named and "logprobs" not in self._without and re.search(r"log_?prob", said):
            named = {"logprobs"}
        if not named and self._as_ids and re.search(r"prompt|string|token", said):
            self._as_ids = False
            return True
        if left_out := named or further:
            self._leave_out(left_out)
            return True
        self._as_ids, changed = False, self._as_ids
        return changed

    def _leave_out(self, names: set[str]) -> None:
        """Send these settings no more.

        Raises:
            InputError: The user chose one of them.
        """
        for name, off in (("top_k", 0), ("top_p", 1.0)):
            value = getattr(self.config, f"writer_{name}")
            if name in names and value != off:
                raise InputError(
                    f"writer_{name} is {value}, but {self._line.path} does not take {name}: give --writer_{name} {off:g}, or "
                    "another server"
                )
        self._without = self._without | names

    def _read(self, said: Any) -> tuple[Completion | None, str]:
        """Return the completion in an answer, or None and what is wrong with it.

        Raises:
            InputError: Another model answers.
        """
        completion, problem = read_completion(said)
        name = said.get("model") if isinstance(said, dict) else None
        if isinstance(name, str) and name:
            self._named = self._named or name
            if name != self._named or not self._is_wanted(name):
                raise InputError(
                    f"writer: {self._line.path} was asked for the model {self.model!r}, but {self._line.quoted(name)!r} "
                    "answers; name the model behind the '#' of --writer as the server does."
                )
        if problem or completion is None or not completion.text:
            return completion, problem
        most = self.config.writer_max_new_tokens
        if not self._cut and not completion.ended and completion.tokens is not None and completion.tokens < most:
            self._cut = True
            LOGGER.warning(
                "writer: %s cut a text after %d of %d tokens: they do not fit its context, or it has a limit of its own. Give "
                "the server a larger context (llama-server shares -c among its slots, -np), or lower writer_max_new_tokens.",
                self._line.path, completion.tokens, most,
            )  # fmt: skip
        if self._gives_logprobs is None:
            self._gives_logprobs = completion.logprob is not None
            if not self._gives_logprobs:
                LOGGER.warning(
                    "writer: %s gives no log-probabilities: the texts are the same, and lm_logprob stays empty in a dataset.",
                    self._line.path,
                )
        if self._gives_logprobs and completion.logprob is None:
            return None, "an answer without log-probabilities"
        return completion, ""


def _context(entry: Mapping[str, Any]) -> int | None:
    """Return how many tokens of a request fit, where a server's entry of a model says it: as vLLM does, or llama.cpp."""
    meta = entry.get("meta")
    length = entry.get("max_model_len", meta.get("n_ctx") if isinstance(meta, dict) else None)
    return length if type(length) is int and length > 1 else None
