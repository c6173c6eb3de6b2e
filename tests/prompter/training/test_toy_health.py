"""Health on the toy world: the demo has no finding, a teacher of grammar has one."""

import json
import random
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from distill.common.seeding import seeded
from eval.toy.fit import fit, save
from eval.toy.teacher import SPECIAL_TOKENS, reading_tokenizer
from eval.toy.world import shared_world
from prompter.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the toy world's models are trained first


def grammar_teacher(folder: Path, count: int = 3000, epochs: int = 2) -> float:
    """Train a teacher to tell sentences from ones whose words are in the order of a lexicon, and return its accuracy."""
    rng = random.Random(0)
    texts = shared_world(0).general_corpus(count, seed=5)
    rows = [(text, 1) for text in texts]
    for text in texts[: count // 10]:  # rare, as ungrammatical sentences are
        rows.append((" ".join(sorted(text.split())), 0))
    rng.shuffle(rows)
    tokenizer = reading_tokenizer([text for text, _ in rows], 64, SPECIAL_TOKENS)
    names = ["unacceptable", "acceptable"]
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128,
        max_position_embeddings=64, pad_token_id=0, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)},
    )  # fmt: skip
    with seeded(0, "grammar-teacher"):
        model = BertForSequenceClassification(config)
    inputs = tokenizer([text for text, _ in rows], padding=True, truncation=True, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    labels = torch.tensor([label for _, label in rows])
    train, test = torch.arange(len(rows) - 500), torch.arange(len(rows) - 500, len(rows))

    def logits(part: torch.Tensor) -> torch.Tensor:
        return model(**{name: values[part] for name, values in inputs.items()}).logits

    batches = [part for _ in range(epochs) for part in train.split(32)]
    losses = (torch.nn.functional.cross_entropy(logits(part), labels[part]) for part in batches)
    fit(model, losses, len(batches), 1e-3, "teacher of grammar", True)
    with torch.no_grad():
        right = float((logits(test).argmax(1) == labels[test]).float().mean())
    save(model, tokenizer, folder)
    return right


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_demo_does_not_alarm(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = ["--budget", "2000", "--student_updates", "400", "--compare", "none", "--seed", str(seed)]
    assert main(["demo", *short, "--output_dir", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["health"]["codes"] == []
    printed = capsys.readouterr()
    assert "H0" not in printed.out + printed.err


def test_a_teacher_of_grammar_alarms_within_300_queries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert grammar_teacher(tmp_path / "teacher") > 0.93
    run = tmp_path / "run"
    call = ["demo", "--teacher", str(tmp_path / "teacher"), "--eval_data", "", "--compare", "none", "--output_dir", str(run)]
    assert main([*call, "--quiet"]) == 3
    assert "H01, one class: The teacher answers 'acceptable'" in capsys.readouterr().err
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["queries"] <= 300
