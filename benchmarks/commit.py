"""Measure how many rows per second one process marks and commits: the limit of an export with many workers.

    OMP_NUM_THREADS=1 python benchmarks/commit.py --rows 20000

Texts and answers are drawn at random: all that is left is the marks, the near-duplicates, the working state and the shards.
The rate is printed as the index of kept rows grows.
"""

import argparse
import random
import tempfile
import time

import torch

from prompter.exporting.config import ExportConfig
from prompter.exporting.folder import ExportFolder
from prompter.exporting.loop import Export
from prompter.runtime.console import Console
from prompter.saved.prompter import PromptedTexts

LABELS = ["world", "sports", "business", "science"]


class Author:
    """Texts of random words, as long as a news item."""

    labels, manifest = LABELS, {"name": "benchmark"}

    def __init__(self) -> None:
        draw = random.Random(0)
        self.words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(5000)]

    def write(self, targets, seed: int, counter: int) -> PromptedTexts:
        """Write a batch; see `Prompter.write`."""
        draw = random.Random(counter)
        texts = [" ".join(draw.choices(self.words, k=30)) for _ in targets]
        return PromptedTexts(texts, [text[:40] for text in texts], targets, torch.zeros(len(texts)))


class Answers:
    """Random answers."""

    labels = LABELS

    def restore(self, state) -> None:
        """Do nothing: nothing is counted."""

    def __call__(self, texts):
        """Return log-probabilities."""
        return torch.randn(len(texts), len(LABELS), generator=torch.Generator().manual_seed(0)).log_softmax(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--near_duplicates", type=float, default=0.8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as where, Console(quiet=True) as console:
        config = ExportConfig(
            run="benchmark", to=f"{where}/set", rows=args.rows, near_duplicates=args.near_duplicates, teacher="none"
        )
        folder = ExportFolder(config.to)
        progress = folder.open_state({}, len(LABELS), print)
        loop = Export(config, Author(), Answers(), folder, progress, console)  # type: ignore[arg-type]
        print(f"{'rows':>10} {'rows/s':>8} {'CPU us/row':>11}")
        for part in range(1, 5):
            rows, begin, cpu = progress.rows, time.perf_counter(), time.process_time()
            while progress.kept < args.rows * part // 4:
                loop.step()
            done = progress.rows - rows
            rate, cost = done / (time.perf_counter() - begin), (time.process_time() - cpu) / done * 1e6
            print(f"{progress.rows:10,} {rate:8,.0f} {cost:11,.0f}", flush=True)
        folder.close()


if __name__ == "__main__":
    main()
