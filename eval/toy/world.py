"""The toy world: a public general corpus, and two classification tasks with private labelled data.

It models the situation of data-free distillation. A language model has read a little of everything (sixteen domains, none
above 12 %). A teacher was trained on the data of one task, and that data is gone. Texts of the same kind occur in the
general corpus, but they are a small share of it, and no private text occurs there verbatim.
"""

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass

from distill.common.errors import InputError
from eval.toy.grammar import FRAMES, WHEN, Grammar, ranked
from eval.toy.reviews import REVIEW_DOMAINS, review_grammar
from eval.toy.words import COMMON, DOMAINS

# Share of each domain in the general corpus; plain domains that belong to no task share the rest equally.
TOPIC_DOMAINS = ("law", "medicine", "music", "space")
REVIEW_SHARE = 0.06
TOPIC_SHARE = 0.03
LEAD_SHARE = 0.04  # general texts that start with "note:" or similar, so that sentences also begin after ":"

TRAIN_TEXTS = 10000
TEST_TEXTS = 1000


@dataclass(frozen=True)
class ToyTask:
    """A task and its private data.

    Attributes:
        name: "topic" or "sentiment".
        labels: Class names; the labels below are indices into them. Both splits hold every class equally often.
        train_texts, train_labels, test_texts, test_labels: The splits, which share no text.
    """

    name: str
    labels: list[str]
    train_texts: list[str]
    train_labels: list[int]
    test_texts: list[str]
    test_labels: list[int]


TASK_LABELS: dict[str, list[str]] = {"sentiment": ["negative", "positive"], "topic": list(TOPIC_DOMAINS)}


class World:
    """A world, defined by its seed, which decides word frequencies and private data. Worlds with one seed are equal.

    Args:
        seed: Any integer.
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
        """Return the share of each domain in the general corpus; the shares sum to 1."""
        shares = dict.fromkeys(REVIEW_DOMAINS, REVIEW_SHARE) | dict.fromkeys(TOPIC_DOMAINS, TOPIC_SHARE)
        rest = [domain for domain in DOMAINS if domain not in shares]
        return shares | {domain: (1 - sum(shares.values())) / len(rest) for domain in rest}

    def domain_text(self, domain: str, rng: random.Random) -> str:
        """Draw one sentence of a domain; in a review domain, praise or blame with equal probability."""
        start = rng.choice(("review_p", "review_n")) if domain in REVIEW_DOMAINS else "frame"
        return self._grammars[domain].sentence(start, rng)

    def general_corpus(self, n: int, seed: int = 0) -> list[str]:
        """Draw `n` sentences of all domains, without any private text of the tasks."""
        return [text for _, text in self.labelled_corpus(n, seed)]

    def labelled_corpus(self, n: int, seed: int = 0) -> list[tuple[str, str]]:
        """Draw the general corpus as (domain, text) pairs, for measurements; training code gets only the texts."""
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
            InputError: The task does not exist.
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
        # Python hashes a string seed with SHA-512, which is stable across processes and Python versions.
        return random.Random("/".join(("toy", str(self.seed), *purpose)))


@functools.cache
def shared_world(seed: int) -> World:
    """Return the world of a seed. It is made once per process, because drawing the tasks takes seconds."""
    return World(seed)


def _texts(task: ToyTask) -> list[str]:
    return task.train_texts + task.test_texts
