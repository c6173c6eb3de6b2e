"""Train with a reward of your own beside the built-in ones.

    python examples/own_reward.py           # the embedded toy task, offline, about a minute

A reward is a plain function. It is called once per rollout with what is known about N texts, and returns N numbers in [0, 1].
"""

import argparse
from typing import Any

from prompter import train


def short_sentences(texts: list[str], **known: Any) -> list[float]:
    """Reward texts of up to 12 words; longer ones get less.

    `known` holds `topics` (N openings), `targets` (N classes that were asked for), and `teacher_log_probs` and
    `student_log_probs`, both (N, K).
    """
    return [min(1.0, 12 / max(1, len(text.split()))) for text in texts]


def main(folder: str, budget: int, **settings: Any) -> list[float]:
    """Train, and return the mean of the reward in each rollout."""
    import json
    from pathlib import Path

    task = {"teacher": "toy:sentiment", "generator": "toy"} | settings
    train(output_dir=folder, budget=budget, reward_funcs=[short_sentences], reward_weights=[2.0], **task)
    rows = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    course = [row["reward/short_sentences"] for row in rows]
    print("mean of the reward, rollout by rollout:", course)
    return course


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default="runs/own-reward")
    parser.add_argument("--budget", type=int, default=2000)
    main(**vars(parser.parse_args()))
