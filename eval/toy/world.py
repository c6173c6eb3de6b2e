"""The toy world: a general corpus anybody may read, and two classification tasks with private labelled data.

It stands for the situation data-free distillation is made for. A language model has read a little of everything
(sixteen domains, none above 12 %), a teacher has been trained on data of one task, and that data is gone. The texts
of the task occur in the general corpus, but they are a small share of it, and no private text occurs there verbatim.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from distill.common.errors import InputError
from eval.toy.grammar import FRAMES, WHEN, Grammar, ranked
from eval.toy.reviews import REVIEW_DOMAINS, review_grammar
from eval.toy.words import COMMON, DOMAINS

# Share of each domain in the general corpus; the plain domains that are in no task divide the rest evenly.
TOPIC_DOMAINS = ("law", "medicine", "music", "space")
REVIEW_SHARE = 0.06
TOPIC_SHARE = 0.03
LEAD_SHARE = 0.04  # general texts that open with "note:" or the like, so that ":" is a place where sentences begin

TRAIN_TEXTS = 10000
TEST_TEXTS = 1000


@dataclass(frozen=True)
class ToyTask:
    """A task and its private data.

    Attributes:
        name: "topic" or "sentiment".
        labels: class names; labels below are indices into it. Both splits hold every class equally often.
        train_texts, train_labels, test_texts, test_labels: the splits, without a text in common.
    """

    name: str
    labels: list[str]
    train_texts: list[str]
    train_labels: list[int]
    test_texts: list[str]
    test_labels: list[int]


TASK_LABELS: dict[str, list[str]] = {"sentiment": ["negative", "positive"], "topic": list(TOPIC_DOMAINS)}


class World:
    """A world is its seed: it decides word frequencies and private data. Two worlds of one seed are equal.

    Args:
        seed: any integer.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._grammars: dict[str, Grammar] = {}
        for domain, words in DOMAINS.items():
            rng = self._rng("words", domain)
            lists = {name: ranked(text, rng) for name, text in (COMMON | words).items()}
            self._grammars[domain] = Grammar(lists | {"frame": FRAMES, "when": WHEN})
        for domain in REVIEW_DOMAINS:
            self._grammars[domain] = review_grammar(domain, self._rng("words", domain))
        self._tasks: dict[str, ToyTask] = {}

    @property
    def domain_shares(self) -> dict[str, float]:
        """Share of each domain in the general corpus; they sum to 1."""
        shares = dict.fromkeys(REVIEW_DOMAINS, REVIEW_SHARE) | dict.fromkeys(TOPIC_DOMAINS, TOPIC_SHARE)
        rest = [domain for domain in DOMAINS if domain not in shares]
        return shares | {domain: (1 - sum(shares.values())) / len(rest) for domain in rest}

    def domain_text(self, domain: str, rng: random.Random) -> str:
        """Draw one sentence of a domain; for a review domain, praise or blame at even odds."""
        start = rng.choice(("review_p", "review_n")) if domain in REVIEW_DOMAINS else "frame"
        return self._grammars[domain].sentence(start, rng)

    def general_corpus(self, n: int, seed: int = 0) -> list[str]:
        """Draw `n` sentences of all domains, without any text of the tasks' private data."""
        return [text for _, text in self.labelled_corpus(n, seed)]

    def labelled_corpus(self, n: int, seed: int = 0) -> list[tuple[str, str]]:
        """Draw the general corpus as (domain, text) pairs, for measuring; training code gets the texts alone."""
        private = {text for name in TASK_LABELS for text in _texts(self.task(name))}
        rng = self._rng("general", str(seed))
        shares = self.domain_shares
        pairs: list[tuple[str, str]] = []
        for domain in rng.choices(list(shares), weights=list(shares.values()), k=n):
            text = self.domain_text(domain, rng)
            while text in private:
                text = self.domain_text(domain, rng)
            if rng.random() < LEAD_SHARE:
                text = f"{rng.choice(COMMON['lead'].split())}: {text}"
            pairs.append((domain, text))
        return pairs

    def task(self, name: str) -> ToyTask:
        """Return task "sentiment" (reviews of both kinds) or "topic" (four plain domains) with its private data.

        Raises:
            InputError: there is no task of this name.
        """
        if name not in TASK_LABELS:
            raise InputError(f"task: {name!r} is unknown; the toy world has {' and '.join(sorted(TASK_LABELS))}.")
        if name not in self._tasks:
            draw = self._draw_review if name == "sentiment" else self._draw_topic
            self._tasks[name] = self._make_task(name, draw)
        return self._tasks[name]

    def _draw_review(self, label: int, rng: random.Random) -> str:
        grammar = self._grammars[rng.choice(REVIEW_DOMAINS)]
        return grammar.sentence("review_p" if label == 1 else "review_n", rng)

    def _draw_topic(self, label: int, rng: random.Random) -> str:
        return self.domain_text(TOPIC_DOMAINS[label], rng)

    def _make_task(self, name: str, draw: Callable[[int, random.Random], str]) -> ToyTask:
        rng = self._rng("task", name)
        labels = TASK_LABELS[name]
        seen: set[str] = set()
        texts: list[str] = []
        for index in range(TRAIN_TEXTS + TEST_TEXTS):
            text = draw(index % len(labels), rng)
            while text in seen:
                text = draw(index % len(labels), rng)
            seen.add(text)
            texts.append(text)
        classes = [index % len(labels) for index in range(len(texts))]
        cut = TRAIN_TEXTS
        return ToyTask(name, list(labels), texts[:cut], classes[:cut], texts[cut:], classes[cut:])

    def _rng(self, *purpose: str) -> random.Random:
        # Seeding with a string is stable across processes and Python versions (it goes through SHA-512).
        return random.Random("/".join(("toy", str(self.seed), *purpose)))


def _texts(task: ToyTask) -> list[str]:
    return task.train_texts + task.test_texts
