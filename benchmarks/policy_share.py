"""Print where the seconds of finished runs went, and the policy's share of them.

    python benchmarks/policy_share.py runs/ag_news-0 [RUN ...]

The policy's share is the time of the rounds without writing, teacher, student and evaluation: topics, log-probabilities of
policy and reference, updates, logs and checkpoints. Baselines and the making of toy models are left out.
"""

import argparse
import json
from pathlib import Path

NOT_THE_RUN = ("controls", "teacher and writer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    for run in parser.parse_args().runs:
        seconds = json.loads((run / "summary.json").read_text())["time"]
        parts = {name: value for name, value in seconds.items() if name not in NOT_THE_RUN}
        total = sum(parts.values())
        print(f"{run}: {total:.0f} s, policy's share {parts['policy'] / total:.0%}")
        for name, value in sorted(parts.items(), key=lambda item: -item[1]):
            print(f"  {name:24} {value:8.1f} s {value / total:6.1%}")


if __name__ == "__main__":
    main()
