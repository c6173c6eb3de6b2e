"""A made-up but realistic run folder, for tests of the report."""

import json
import math
import random
from pathlib import Path

LABELS = ["negative", "positive"]
OPENINGS = [
    "The hotel room",
    "Our dinner at the",
    "This camera is",
    "I never liked",
    "The second season",
    "Staff were",
    "If the minister",
]
ENDINGS = [
    "was not as clean as they say, but the view made up for it.",
    "came late and cold, and nobody said a word about it.",
    "worked on the first day and has not let me down since.",
    "is planned to open next spring near the old harbour, the council said on Monday.",
]  # fmt: skip


def metrics(updates: int = 40, size: int = 200) -> list[dict]:
    """Rows as a run of that many rollouts writes them."""
    rng = random.Random(0)
    rows = []
    for update in range(1, updates + 1):
        t = update / updates
        noise = rng.gauss
        terms = {
            "reward/confidence": 0.35 + 0.45 * t + noise(0, 0.02),
            "reward/disagreement": 0.3 * math.exp(-4 * t) + 0.03 + abs(noise(0, 0.01)),
            "reward/novelty": 0.95 - 0.2 * t + noise(0, 0.02),
        }
        row = {
            "update": update,
            "queries": update * size,
            "reward": sum(terms.values()) / 3,
            **terms,
            "confidence": 0.72 + 0.2 * t + noise(0, 0.01),
            "wanted_share": 0.5 + 0.4 * t + noise(0, 0.02),
            "agreement": min(0.97, 0.5 + 0.42 * (1 - math.exp(-3 * t)) + noise(0, 0.02)),
            "student_loss": None if update < 3 else 0.8 * math.exp(-3 * t) + 0.05 + abs(noise(0, 0.02)),
            "kl": 0.02 + 0.3 * t + abs(noise(0, 0.02)),
            "entropy": 3.4 - 0.9 * t + noise(0, 0.05),
            "critic_loss": 0.04 * math.exp(-3 * t) + abs(noise(0, 0.002)),
            "distinct_topics": 0.98 - 0.15 * t + noise(0, 0.01),
        }
        if update % 5 == 0:
            row["accuracy"] = 0.5 + 0.33 * (1 - math.exp(-3 * t)) + noise(0, 0.01)
        rows.append({key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()})
    return rows


def samples(updates: int = 40, size: int = 200) -> list[dict]:
    """Six samples per rollout."""
    rng = random.Random(1)
    rows = []
    for update in range(1, updates + 1):
        for i in range(6):
            topic = rng.choice(OPENINGS)
            rows.append(
                {
                    "update": update,
                    "queries": update * size,
                    "wanted": LABELS[i % 2],
                    "topic": topic,
                    "text": f"{topic} {rng.choice(ENDINGS)}",
                    "confidence": round(rng.random(), 4),
                    "disagreement": round(rng.random() / 3, 4),
                    "novelty": 1.0,
                    "reward": round(0.3 + 0.5 * update / updates, 4),
                    "predicted": rng.choice(LABELS),
                }
            )
    return rows


def summary() -> dict:
    """A finished run with evaluation data and two controls."""
    size = {"parameters": 438_018, "bytes": 1_752_072}
    return {
        "task": "toy:sentiment",
        "labels": list(LABELS),
        "teacher": {
            "name": "toy:sentiment", "accuracy": 0.9615, "macro_f1": 0.9613, "n": 2000, "parameters": 3_412_226,
            "bytes": 13_648_904, "texts_per_second": 1432.7,
        },
        "students": {
            "prompted": {"accuracy": 0.8725, "agreement": 0.881, "macro_f1": 0.8719, "queries": 8000, "seconds": 71.4,
                         **size, "texts_per_second": 9120.4, "n": 2000},
            "unprompted": {"accuracy": 0.7715, "agreement": 0.7805, "macro_f1": 0.7702, "queries": 8000,
                           "seconds": 31.0, **size, "texts_per_second": 9204.1, "n": 2000},
            "real": {"accuracy": 0.891, "agreement": 0.9, "macro_f1": 0.8907, "queries": 8000, "seconds": 24.9,
                     **size, "texts_per_second": 9080.0, "n": 2000},
        },
        "teacher_queries": 8000,
        "teacher_calls": 23_456,
        "unusable_answers": 0,
        "seconds": 127.3,
        "time": {"teacher and writer": 0.4, "rounds": 62.0, "writer": 21.5, "teacher": 9.8, "student answers": 2.1,
                 "student": 14.2, "evaluation": 3.3, "controls": 55.9},
        "seed": 0,
        "versions": {"torch": "2.13.0", "trl": "1.16.0", "transformers": "5.23.0"},
        "config": {"teacher": "toy:sentiment", "generator": "toy", "student": "bert:layers=2,hidden=128",
                   "budget": 8000, "compare": ["unprompted", "real"], "corpus": None},
    }  # fmt: skip


def apart() -> dict:
    """Where teacher and student of that run differ."""
    return {
        "source": "evaluation",
        "held": 2000,
        "labels": list(LABELS),
        "texts": 2000,
        "pairs": [
            {"teacher": 0, "student": 0, "texts": 905},
            {"teacher": 0, "student": 1, "texts": 88},
            {"teacher": 1, "student": 0, "texts": 150},
            {"teacher": 1, "student": 1, "texts": 857},
        ],
        "apart": [
            {
                "text": f"{opening} {ENDINGS[number % len(ENDINGS)]}",
                "distance": round(0.85 - 0.02 * number, 4),
                "teacher": "positive",
                "teacher_probability": 0.9714,
                "student": "negative",
                "student_probability": 0.8831,
                "label": "positive",
            }
            for number, opening in enumerate(OPENINGS)
        ],
    }


HOSTILE = (
    "</blockquote></svg></style><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}{% raw %}&amp; https://x.test "
)


def hostile_run(folder: Path) -> Path:
    """A run whose every text tries to break the page: markup, text from right to left, no spaces, great length."""
    hostile = HOSTILE + "\u202e\u05e9\u05dc\u05d5\u05dd \x00" + "w" * 10_000
    logged = [{**row, f"reward/{hostile}": 0.5} for row in metrics(5)]
    rows = [{**row, "topic": hostile, "text": hostile + " and more", "wanted": hostile} for row in samples(3)]
    rows += [{**row, "topic": "w" * 10_000} for row in rows[:1]]
    rows.append({**rows[0], "text": "lone \ud800 surrogate", "wanted": None})
    ended, differing = summary(), apart()
    ended["task"] = ended["labels"][0] = differing["labels"][0] = hostile
    ended["students"][hostile] = {"accuracy": 0.5}
    ended["time"][hostile] = 1.0
    ended["config"][hostile] = [HOSTILE]
    ended["versions"][hostile] = HOSTILE
    differing["apart"] = [row | {"text": hostile, "teacher": hostile, "label": hostile} for row in differing["apart"]]
    return write_run(folder, ended, logged, rows, differing)


def write_run(
    folder: Path,
    summary_: dict | None = None,
    metrics_: list | None = None,
    samples_: list | None = None,
    apart_: dict | None = None,
) -> Path:
    """Write a run folder; what is not given is made up, what is empty is not written."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "summary": summary() if summary_ is None else summary_,
        "disagreement": apart() if apart_ is None else apart_,
    }
    for name, content in files.items():
        if content:
            (folder / f"{name}.json").write_text(json.dumps(content))
    logs = {
        "metrics": metrics() if metrics_ is None else metrics_,
        "samples": samples() if samples_ is None else samples_,
    }
    for name, rows in logs.items():
        if rows:
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
