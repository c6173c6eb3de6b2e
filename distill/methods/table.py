"""The published methods by name, in one table that is free of torch.

Settings, commands, the bench and its reports look methods up here. A new method adds a module to this folder, its settings to
`config.py`, and one entry to this table.

    METHODS                                   # {"as-dfd": Method(...), ...}, in the order of help texts
    METHODS[name].settings                    # settings class, for parsers
    METHODS[name].grade                       # what the method needs beside the teacher, for reports
    [m.name for m in METHODS.values() if m.needs_corpus]
    method_of(settings).new(settings, teacher, distiller, corpus, seed, device)   # imports the method's class, and torch
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distill.methods.config import AsDfdConfig, T3Config, ZeroShotConfig

if TYPE_CHECKING:
    from distill.distiller import Distiller
    from distill.methods.synthesizer import Synthesizer
    from distill.teachers.prediction_cache import CachedTeacher


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        name: Name of the method, as `--method` takes it.
        settings: Its settings class.
        needs_corpus: Whether it starts from general text.
        grade: What it needs beside the teacher: "nothing" or "corpus".
        kinds: Names of the kinds of teachers that it is for, see `distill.kinds`.
        entry: "module:class" of its synthesizer.
    """

    name: str
    settings: type
    needs_corpus: bool
    grade: str
    kinds: tuple[str, ...]
    entry: str

    def new(
        self,
        settings: Any,
        teacher: "CachedTeacher",
        distiller: "Distiller",
        corpus: Sequence[str],
        seed: int,
        device: str,
    ) -> "Synthesizer":
        """Make the method's synthesizer for the distiller's student.

        Args:
            settings: Settings of this method.
            teacher: A teacher whose weights are at hand.
            distiller: Trains the student.
            corpus: General text; ignored where the method needs none.
            seed: Decides every random act.
            device: "auto", "cpu", "cuda", "cuda:N"; where the method's own model runs.

        Raises:
            InputError: The teacher, the student or the corpus does not suit the method.
        """
        module, _, name = self.entry.partition(":")
        synthesizer = getattr(importlib.import_module(module), name)
        own_model = {"corpus": corpus, "device": device} if self.needs_corpus else {}
        return synthesizer(settings, teacher, distiller, seed=seed, **own_model)


OF_TEXTS = ("single", "pair", "multi_label", "score", "score_pair")
"""Kinds whose answer is about a whole text, or two."""

AS_DFD = Method(
    "as-dfd",
    AsDfdConfig,
    needs_corpus=False,
    grade="nothing",
    kinds=OF_TEXTS,
    entry="distill.methods.as_dfd:AsDfd",
)
ZERO_SHOT = Method(
    "zero-shot",
    ZeroShotConfig,
    needs_corpus=True,
    grade="corpus",
    kinds=OF_TEXTS,
    entry="distill.methods.zero_shot:ZeroShot",
)
T3 = Method(
    "t3",
    T3Config,
    needs_corpus=True,
    grade="corpus",
    kinds=("single", "pair", "multi_label", "tokens"),  # its loss asks how sure the teacher is, which a number does not say
    entry="distill.methods.t3:TextToText",
)

METHODS = {method.name: method for method in (AS_DFD, ZERO_SHOT, T3)}


def method_of(settings: Any) -> Method:
    """Return the method that these settings belong to.

    Examples:
        >>> method_of(AsDfdConfig()).name
        'as-dfd'
    """
    return next(method for method in METHODS.values() if method.settings is type(settings))
