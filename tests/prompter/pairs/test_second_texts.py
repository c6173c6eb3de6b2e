"""Second texts: what the writer is asked, corruptions, and pairs from rollout to dataset."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch

from distill.common.errors import InputError
from distill.kinds.classes import PAIR
from prompter import Prompter
from prompter.cli import main
from prompter.generation.config import PolicyConfig, WriterConfig
from prompter.generation.policy import TopicPolicy
from prompter.generation.writer import Writer
from prompter.pairs.second_texts import SecondTexts
from prompter.rl.config import CandidateConfig, RewardConfig
from prompter.rl.rollouts import Rollouts
from prompter.rl.scorer import Scorer
from prompter.runtime.clock import Clock
from tests.prompter.exporting.exports import contents, run
from tests.prompter.tiny import PAIR_LABELS, tiny_gpt2, word_tokenizer

WORDS = PolicyConfig(label_descriptions="{equivalent: good, not_equivalent: bad}")
TEXTS = [f"w{i} w{i + 1} w{i + 2} w{i + 3} w{i + 4}" for i in range(12)]
TARGETS = torch.arange(12) % 2


def second_texts(**changes: Any) -> SecondTexts:
    settings = {"writer_max_new_tokens": 6, "writer_min_new_tokens": 3, "pair_max_new_tokens": 5} | changes
    config = WriterConfig(**{"pair_control": "{text} : {label}"} | settings)
    return SecondTexts(Writer(tiny_gpt2(), word_tokenizer(), config), list(PAIR_LABELS), WORDS)


def test_written_ones_follow_the_request_of_the_class() -> None:
    made = second_texts()
    seconds = made.write(TEXTS, TARGETS, 0, 0)
    assert len(seconds) == 12 and all(seconds) and made.write(TEXTS, TARGETS, 0, 0) == seconds
    assert made.write(TEXTS, TARGETS, 0, 1) != seconds and made.write(TEXTS, 1 - TARGETS, 0, 0) != seconds
    # The same tokens as a plain continuation of the request, which an independent writer makes.
    for words, own, temperature in (("bad", slice(0, None, 2), 1.0), ("good", slice(1, None, 2), 0.5)):
        sampling = {"writer_max_new_tokens": 5, "writer_min_new_tokens": 3, "writer_temperature": temperature}
        plain = made.writer.sampling(WriterConfig(**sampling))  # type: ignore[arg-type]
        asked = [plain.tokenizer(f"{text} : {words}")["input_ids"] for text in TEXTS[own]]
        plain.contexts = SimpleNamespace(rows=lambda *_, asked=asked: [(ids, []) for ids in asked])  # type: ignore
        found = plain.write(TEXTS[own], 0, 0, f"second texts written {temperature}", targets=TARGETS[own]).texts
        assert found == seconds[own]


def test_corruptions() -> None:
    replaced = second_texts(pair_texts=["replaced"]).write(TEXTS, TARGETS, 0, 0)
    for text, second in zip(TEXTS, replaced, strict=True):
        pairs = list(zip(text.split(), second.split(), strict=True))
        assert sum(one != other for one, other in pairs) <= 3
    assert set(second_texts(pair_texts=["random"]).write(TEXTS, TARGETS, 0, 0)) <= set(TEXTS)
    near = second_texts(pair_texts=["neighbour"])
    assert near.write(TEXTS, TARGETS, 0, 0) == near.write(TEXTS, 1 - TARGETS, 0, 0)  # nobody asks for a class
    mixed = second_texts(pair_texts=["random", "replaced"]).write(TEXTS, TARGETS, 0, 0)
    assert 0 < len(set(mixed) & set(TEXTS)) < 12


def test_a_model_that_writes_nothing_leaves_no_empty_second_text(monkeypatch: pytest.MonkeyPatch) -> None:
    made = second_texts()
    monkeypatch.setattr(Writer, "write", lambda self, texts, *_, **__: SimpleNamespace(texts=[""] * len(texts)))
    assert all(made.write(TEXTS, TARGETS, 0, 0))


def test_a_request_that_is_too_long_is_refused() -> None:
    with pytest.raises(InputError, match="a request for a second text has 2 tokens .* shorten pair_request"):
        second_texts(writer_max_new_tokens=60)
    with pytest.raises(InputError, match="pair_max_new_tokens is 63, expected at most 62: the generator's context is 64"):
        second_texts(pair_texts=["neighbour"], pair_max_new_tokens=63)
    assert all(second_texts(pair_texts=["neighbour"], pair_max_new_tokens=62).write(TEXTS, TARGETS, 0, 0))


def test_without_a_prompter_no_opening_takes_room() -> None:
    config = WriterConfig(writer_max_new_tokens=55, pair_max_new_tokens=5, pair_control="{text} : {label}")
    writer = Writer(tiny_gpt2(), word_tokenizer(), config)
    SecondTexts(writer, list(PAIR_LABELS), replace(WORDS, writes="nothing"))
    with pytest.raises(InputError, match="a first text of up to 63"):
        SecondTexts(writer, list(PAIR_LABELS), WORDS)


@pytest.mark.parametrize("candidates", [{}, {"candidates": 3}, {"candidates": 3, "candidate_tokens": 2}])
def test_a_rollout_asks_about_pairs(candidates: dict) -> None:
    asked: list[Any] = []

    def answer(texts: list[str], pairs: list[str]) -> torch.Tensor:
        asked.append((texts, pairs))
        p = torch.tensor(
            [0.05 + 0.9 * (sum(map(ord, text + pair)) % 97) / 97 for text, pair in zip(texts, pairs, strict=True)]
        )
        return torch.stack([p, 1 - p], dim=1).log()

    seconds = second_texts()
    policy = TopicPolicy(tiny_gpt2(), word_tokenizer(), list(PAIR_LABELS), WORDS, 3)
    teacher: Any = type("Teacher", (), {"kind": PAIR, "__call__": lambda _, *columns: answer(*columns)})()
    student: Any = SimpleNamespace(answers=answer, kind=PAIR)

    def length(texts: list[str], text_pairs: list[str], **_: Any) -> list[float]:
        return [min(1.0, len(pair) / 100) for pair in text_pairs]

    scorer = Scorer(teacher, student, RewardConfig(), Clock(), [length])
    made = Rollouts(policy, seconds.writer, scorer, CandidateConfig(**candidates), 4, 0, Clock(), second_texts=seconds)
    for number in range(2):
        batch = made.score(TEXTS, TARGETS, number).batch
        assert batch.text_pairs is not None and all(batch.text_pairs) and len(batch) == 12
    assert asked[0] == asked[1]  # the student reads what the teacher reads


def test_a_run_on_pairs_resumes_and_its_dataset_is_of_pairs(pair_run: Path, tmp_path: Path) -> None:
    models = {"teacher": pair_run.parent / "teacher", "generator": pair_run.parent / "lm", "output_dir": tmp_path / "run"}
    sizes = {"budget": 40, "rollout_size": 16, "minibatch_size": 8, "student_updates": 8, "num_iterations": 1}
    words = {"control": "{label} {task}", "pair_control": "{text} {label} :", "pair_max_new_tokens": 6, "topic_max_tokens": 3}
    student = {"student": "bert:layers=1,hidden=16,heads=1", "writer_max_new_tokens": 8, "device": "cpu", "lora_rank": 2}
    descriptions = {"label_descriptions": "{equivalent: good, not_equivalent: bad}"}
    settings = models | sizes | words | student | descriptions
    flags = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    assert main(["train", *flags, "--quiet", "--no_pilot"]) in (0, 3)  # the random teacher may be one-sided
    frame = pd.read_parquet(tmp_path / "run" / "dataset" / "data")
    assert len(frame) == 40 and list(frame.columns[:2]) == ["text", "text_pair"] and frame["text_pair"].str.len().min() > 0
    samples = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    assert samples and all(row["text_pair"] for row in samples)
    prompter = Prompter.load(tmp_path / "run", device="cpu")
    assert len(prompter.pairs("equivalent", 3)) == 3
    with pytest.raises(InputError, match="writes pairs of texts: call pairs"):
        prompter.texts("equivalent", 3)
    card = (tmp_path / "run" / "prompter" / "README.md").read_text()
    assert "prompter.pairs(" in card and '"text_pair"' in (tmp_path / "run" / "student" / "README.md").read_text()


@pytest.mark.slow
def test_an_export_of_pairs_goes_on_after_a_kill(pair_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = ("--min_words", "1", "--jsonl", "--csv")
    run(pair_run, tmp_path / "whole", *call)
    frame = pd.read_parquet(tmp_path / "whole" / "data")
    assert list(frame.columns[:2]) == ["text", "text_pair"] and frame["keep"].sum() == 20
    kept = frame[frame["keep"]]
    assert not kept.duplicated(["text", "text_pair"]).any()
    from prompter.exporting import loop

    original, calls = loop.Export.step, []

    def step(self: loop.Export) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise SystemExit
        original(self)

    monkeypatch.setattr(loop.Export, "step", step)
    with pytest.raises(SystemExit):
        run(pair_run, tmp_path / "killed", *call)
    run(pair_run, tmp_path / "killed", *call)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    from prompter.students.sources import open_source

    rows = [open_source(str(tmp_path / "whole" / name)).portion(0) for name in ("", "data.jsonl", "data.csv")]
    assert all(row is not None and row.text_pairs == kept["text_pair"].tolist() for row in rows)
