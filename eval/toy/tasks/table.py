"""The tasks of every kind but `single`, and further tasks of that kind, each with what draws its rows."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from eval.toy.tasks import acceptable, pairs, score, tags, topics
from eval.toy.tasks.world import JudgedWorld, Row


@dataclass(frozen=True)
class TaskOfKind:
    """A toy task.

    Attributes:
        kind: `single`, `pair`, `multi_label`, `score` or `tokens`.
        labels: Names of classes, labels or tags; the one name of the number for `score`.
        draw: Draws a row, given the world, the row's number, and a source of random numbers.
        module: The module of this package that draws; a change of it makes data and teacher again.
        epochs: Passes of the teacher over its rows.
        range: Lowest and highest number, for `score`.
    """

    kind: str
    labels: list[str]
    draw: Callable[[JudgedWorld, int, random.Random], Row]
    module: str
    epochs: int = 4
    range: tuple[float, float] | None = None


TASKS: dict[str, TaskOfKind] = {
    "acceptable": TaskOfKind("single", acceptable.LABELS, acceptable.draw, "acceptable", epochs=8),
    # With fewer passes its teacher has learnt the task by chance: 80 to 93 % from one number of threads or seed to another.
    "pairs": TaskOfKind("pair", pairs.LABELS, pairs.draw, "pairs", epochs=8),
    "score": TaskOfKind("score", ["score"], score.draw, "score", range=(score.LOW, score.HIGH)),
    "tags": TaskOfKind("tokens", tags.LABELS, tags.draw, "tags"),
    "topics": TaskOfKind("multi_label", topics.LABELS, topics.draw, "topics", epochs=6),
}
