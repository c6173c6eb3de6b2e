"""A run folder with a saved prompter of tiny models, without any training."""

import warnings
from pathlib import Path

import torch

from distill.kinds.classes import PAIR, SINGLE
from prompter.generation.policy import TopicPolicy
from prompter.generation.writer import Writer
from prompter.pairs.relations import pair_policy
from prompter.saved.manifest import save_prompter
from prompter.training.settings import parse_settings
from prompter.training.setup import weights_of

SMALL = {"topic_max_tokens": 3, "writer_max_new_tokens": 8, "writer_min_new_tokens": 4, "lora_rank": 2, "device": "cpu"}


def write_prompter(
    run: Path,
    lm: Path,
    teacher: Path,
    training: dict | None = None,
    named: dict | None = None,
    labels: tuple[str, str] = ("good", "bad"),
    pairs: bool = False,
    **changes: object,
) -> Path:
    """Save a prompter into a run folder; keyword arguments change settings."""
    settings = {"output_dir": run, "teacher": teacher, "generator": lm} | SMALL | changes
    parsed = parse_settings([word for key, value in settings.items() for word in (f"--{key}", str(value))])
    length = parsed.writer.writer_max_new_tokens if parsed.policy.writes == "text" else parsed.policy.topic_max_tokens
    base = parsed.policy.policy or str(lm)
    words = pair_policy(parsed.policy, labels) if pairs else parsed.policy
    policy = TopicPolicy.load(base, list(labels), words, length, "cpu")
    torch.manual_seed(1)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        for name, parameter in policy.model.named_parameters():
            if not policy.has_adapters or "lora_B" in name:
                parameter.add_(0.05 * torch.randn_like(parameter))
        writer = Writer.beside(policy, base, str(lm), parsed.writer, "cpu")
        summary = training if training is not None else {"rollouts": 0, "teacher_queries": 0}
        kind = PAIR if pairs else SINGLE
        flat = parsed.flat() | (named or {})
        save_prompter(run / "prompter", parsed, policy, writer, flat, summary, kind, weights_of(parsed))
    return run
