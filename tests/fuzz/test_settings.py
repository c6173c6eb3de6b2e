"""Mutated configurations and flags: each call ends within seconds, well or with one line."""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from prompter.cli import VERBS, command
from prompter.runtime.parser import Parser
from tests.fuzz.world import TRAINING, call

VALUES = [
    *("", "x", "0", "-1", "1e4", "16,000", "16_000", "nan", "inf", "-inf", "1e400", "null", "true", "no", "~", "[]", "{}"),
    *(
        "[/b]",
        "\x1b[31m",
        "\0",
        "\udc80",
        "é" * 300,
        "../..",
        "/",
        "/dev/null",
        "/proc/self/mem",
        "lm",
        "teacher",
        "data",
        "run",
    ),
    *(
        "none",
        "auto",
        "cuda",
        "meta",
        "999999999999999999999",
        "0x10",
        "1.5",
        "a:b",
        "bert:layers=0",
        "bert:layers=-1,hidden=x",
    ),
    *("a,b", "toy", "toy:x", "hub:x", "rows.jsonl", "rows.csv", "texts.txt", "train.yaml", "-", "--", "--rows", "%s", "{x}"),
]
"""Values that are wrong in most places, and right in some."""

ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    2,
    1e9,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    {"a": {"b": 1}},
    "",
    "x",
    ["x", 1],
    10**30,
]
"""The same as YAML has them."""


def flags_of(verb: str) -> list[str]:
    parser = Parser()
    command(verb).add_arguments(parser)
    return [action.option_strings[0] for action in parser._actions if action.option_strings and action.dest != "help"]


FLAGS = {verb: flags_of(verb) for verb in VERBS}

NEVER = {"--push_to_hub", "--public", "--report_to"}
"""Flags that send something away."""


def mutated_flags(rng: random.Random) -> list[str]:
    """Return a command line with some flags and values that somebody might type."""
    verb = rng.choice(VERBS)
    arguments = [verb, *rng.sample(["run", "data", "student", "x"], rng.randrange(2))]
    for flag in rng.sample(FLAGS[verb], min(len(FLAGS[verb]), rng.randrange(1, 5))):
        if flag in NEVER:
            continue
        flag = rng.choice([flag, flag, flag, flag.upper(), flag[:-1], flag.replace("_", "-"), flag[1:]])
        arguments += [flag, *rng.choices(VALUES, k=rng.choice([0, 1, 1, 1, 2]))]
    return [*arguments, "--budget", "8"] if verb in ("train", "demo") and rng.random() < 0.3 else arguments


def mutated_config(rng: random.Random) -> str:
    """Return a configuration with wrong keys and values, or with wrong characters."""
    config: dict[Any, Any] = dict(TRAINING)
    names = [flag[2:] for flag in FLAGS["train"] if flag not in NEVER]
    for _ in range(rng.randrange(1, 4)):
        key = rng.choice([*map(str, config), *rng.sample(names, 3)])
        config[rng.choice([key, key, key, key[:-1], key.upper(), 1, None])] = rng.choice([*ODD, *VALUES])
    text = yaml.safe_dump(config)
    for _ in range(rng.choice([0, 0, 1, 3])):
        place = rng.randrange(len(text))
        text = (
            text[:place]
            + rng.choice(["", ":", "\t", "&a ", "*a", "!!python/name:os.system ", "\n", "{", "- ", "\0"])
            + text[place + 1 :]
        )
    return text


def trial(world: Path, seed: int, patch: pytest.MonkeyPatch) -> str | None:
    """Run one call, and return what must not have happened."""
    from prompter.exporting import loop
    from prompter.students import run as distilling
    from prompter.training import run as training

    # What follows after all was read and checked is the subject of other tests, and takes long.
    patch.setattr(training, "load_models", _enough)
    patch.setattr(loop, "load_prompter_and_teacher", _enough)
    patch.setattr(distilling, "load_inputs", _enough)
    patch.setattr("prompter.bench.run.run_cells", _enough)
    rng = random.Random(seed)
    if rng.random() < 0.5:
        arguments = mutated_flags(rng)
    else:
        (world / "mutated.yaml").write_text(mutated_config(rng), errors="surrogateescape")
        arguments = ["train", "--config", "mutated.yaml", "--output_dir", "new", "--quiet"]
    outcome = call(world, *arguments)
    if "_Enough" in outcome.error:
        return None
    if outcome.faults:
        return f"seed {seed}: {arguments}: {outcome.faults}"
    if outcome.status == 2 and "prompter: " not in outcome.said:
        return f"seed {seed}: {arguments}: no line: {outcome.said!r}"
    return None


class _Enough(BaseException):
    """All settings were understood."""


def _enough(*arguments: Any, **named: Any) -> None:
    raise _Enough


@pytest.mark.parametrize("start", [0, 50, *(pytest.param(start, marks=pytest.mark.slow) for start in range(100, 300, 50))])
def test_mutated_settings(start: int, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [fault for seed in range(start, start + 50) if (fault := trial(world, seed, monkeypatch))]
    assert not faults, "\n".join(faults)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_mutated_settings(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [fault for seed in range(10_000) if (fault := trial(world, seed, monkeypatch))]
    assert not faults, "\n".join(faults)
