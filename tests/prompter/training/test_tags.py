"""A run with a teacher that tags words: what it writes, and that it goes on bit for bit."""

import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForTokenClassification

from prompter.training.run import train
from prompter.training.settings import parse_settings
from tests.prompter.tiny import word_tokenizer
from tests.prompter.training.runs import assert_same, flags_of
from tests.prompter.training.test_callback import killed

TAGS = {
    "entities": (["O", "B-thing", "I-thing"], ["thing", "no entity"]),
    "parts of speech": (["X", "Y", "Z"], ["X", "Y", "Z"]),
}
"""Tags, and the targets that a text is asked for."""


def tagger(folder: Path, tags: list[str]) -> Path:
    """A tagger of random weights, sure enough that some words are entities."""
    torch.manual_seed(0)
    tokenizer = word_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=32,
        max_position_embeddings=64, id2label=dict(enumerate(tags)), label2id={tag: i for i, tag in enumerate(tags)},
    )  # fmt: skip
    model = BertForTokenClassification(config)
    with torch.no_grad():
        model.classifier.weight.mul_(60)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("tags", "targets"), TAGS.values(), ids=TAGS)
def test_a_run_of_tags_writes_entities_and_a_student_of_words(
    tags: list[str], targets: list[str], lm_folder: Path, tmp_path: Path
) -> None:
    run, teacher = tmp_path / "run", tagger(tmp_path / "tagger", tags)
    changes = {"student": "teacher-layers:0"}
    train(parse_settings(flags_of(run, teacher, lm_folder, changes)))
    manifest = json.loads((run / "prompter" / "prompter.json").read_text())
    assert manifest["kind"] == "tokens" and manifest["tags"] == tags and manifest["labels"] == targets
    samples = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    assert samples and all(isinstance(row["entities"], str) for row in samples)
    assert (run / "dataset" / "recipe.yaml").is_file()
    config = json.loads(next(run.rglob("student*/config.json")).read_text())
    assert config["architectures"] == ["BertForTokenClassification"] and config["prompter_kind"]["kind"] == "tokens"
    stopped = flags_of(tmp_path / "stopped", teacher, lm_folder, changes)
    killed(stopped, 3)
    train(parse_settings([*stopped, "--resume"]))
    assert_same(run, tmp_path / "stopped")
