"""The toy world as the tasks of `eval.toy.tasks` draw from it: reviews with what they judge, and private rows.

A task is a function that draws one row. The rows of both splits differ from each other and from the sentences of the general
corpus that the toy language models were trained on.
"""

import functools
import random
from collections.abc import Callable, Container
from typing import Any

from eval.toy.grammar import Grammar
from eval.toy.masked_lm import MaskedLMSettings
from eval.toy.reviews import REVIEW_DOMAINS
from eval.toy.rewriter import RewriterSettings
from eval.toy.tasks.judged import Review, judged_grammar, read_review
from eval.toy.world import TEST_TEXTS, TRAIN_TEXTS, World, shared_world
from eval.toy.writer import WriterSettings

Row = dict[str, Any]
"""The columns of a row: `text` or `tokens`, `text_pair` where there is one, and the label."""

CORPUS_SENTENCES = 20_000
"""Length of the general corpus as a file."""


class JudgedWorld:
    """The reviews of a world, with what they judge. The same words are frequent as in the world's own reviews.

    Args:
        seed: Seed of the world.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.grammars: dict[str, Grammar] = {
            domain: judged_grammar(domain, self.source("words", domain)) for domain in REVIEW_DOMAINS
        }

    def source(self, *purpose: str) -> random.Random:
        """Return a source of random numbers for one purpose, derived as in `eval.toy.world.World`."""
        return random.Random("/".join(("toy", str(self.seed), *purpose)))

    def review(self, praise: bool, rng: random.Random, domain: str | None = None) -> Review:
        """Draw a review that praises or blames on the whole, of a random domain if none is named."""
        grammar = self.grammars[domain or rng.choice(REVIEW_DOMAINS)]
        return read_review(grammar.sentence("review_p" if praise else "review_n", rng))


def private_rows(
    name: str,
    draw: Callable[[JudgedWorld, int, random.Random], Row],
    public: Container[str],
    *,
    seed: int = 0,
    train: int = TRAIN_TEXTS,
    test: int = TEST_TEXTS,
) -> dict[str, list[Row]]:
    """Draw the splits of a task.

    Args:
        name: Name of the task; the random numbers depend on it.
        draw: Draws a row, given its number; used to balance the task.
        public: Texts that no row may have.
        seed: Seed of the world.
        train: Number of training rows.
        test: Number of test rows.

    Returns:
        The rows of `train` and `test`; no text, and no pair of texts, occurs twice.
    """
    world = JudgedWorld(seed)
    rng = world.source("task", name)
    rows: dict[str, Row] = {}
    for number in range(train + test):
        while True:
            row = draw(world, number, rng)
            text = row["text"]
            whole = f"{text} {row['text_pair']}" if "text_pair" in row else text
            if whole not in rows and whole not in public:
                break
        rows[whole] = row
    drawn = list(rows.values())
    return {"train": drawn[:train], "test": drawn[train:]}


@functools.cache
def public_texts(seed: int) -> frozenset[str]:
    """Return every sentence that a toy language model was trained on, or that the file of the corpus holds."""
    world: World = shared_world(seed)
    sizes = {CORPUS_SENTENCES}
    sizes |= {made.corpus_texts for made in (WriterSettings(), MaskedLMSettings(), RewriterSettings())}
    return frozenset(text for size in sorted(sizes) for text in world.general_corpus(size))
