"""The topic policy: class prompts, topics, and adapters."""

from pathlib import Path

import pytest
import torch

from distill.common.errors import InputError
from prompter.generation.config import PolicyConfig
from prompter.generation.policy import TopicPolicy, clean
from prompter.generation.prompts import class_names
from tests.prompter.tiny import tiny_gpt2, word_tokenizer

LABELS = ["good", "bad"]


def policy(labels: list[str] = LABELS, **changes: object) -> TopicPolicy:
    return TopicPolicy(tiny_gpt2(), word_tokenizer(), labels, PolicyConfig(**changes), 4)  # type: ignore[arg-type]


def test_class_prompts_name_the_targets() -> None:
    made = policy(control="a {label} text:")
    assert made.prompts.texts == ["a good text:", "a bad text:"]
    assert made.targets(["a bad text:", "a good text:", "a bad text:"]).tolist() == [1, 0, 1]
    assert class_names(["0", "1"]) == ["class 0", "class 1"]


def test_labels_of_the_same_name_are_refused() -> None:
    with pytest.raises(InputError, match="are not distinct"):
        policy(["good", "good"])


def test_the_seed_and_the_counter_decide_the_topics() -> None:
    made, targets = policy(), torch.tensor([0, 1] * 8)
    topics, logprob = made.sample(targets, 3, 5)
    assert topics == made.topics(targets, 3, 5) != made.topics(targets, 3, 6)
    assert topics != made.topics(targets, 4, 5)
    assert topics != made.sample(targets, 3, 5, "another purpose")[0]
    assert logprob.shape == (16,) and (logprob < 0).all()
    assert all(2 <= len(topic.split()) <= 4 for topic in topics)
    assert not any(prompt in topic for prompt in made.prompts.texts for topic in topics)


def test_a_loaded_policy_has_untrained_adapters_or_none(lm_folder: Path) -> None:
    tuned = TopicPolicy.load(str(lm_folder), LABELS, PolicyConfig(lora_rank=4), 4, "cpu", seed=1)
    whole = TopicPolicy.load(str(lm_folder), LABELS, PolicyConfig(lora_rank=0), 4, "cpu", seed=1)
    assert tuned.has_adapters and not whole.has_adapters
    ids = torch.tensor([[3, 5, 8]])
    with torch.no_grad():  # new adapters change nothing
        assert torch.equal(tuned.model(input_ids=ids).logits, whole.model(input_ids=ids).logits)
    assert all(weight.requires_grad == ("lora_" in name) for name, weight in tuned.model.named_parameters())
    assert all(weight.requires_grad for weight in whole.model.parameters())


def test_topics_come_on_one_line() -> None:
    assert clean([" a\n b ", ""]) == ["a b", ""]
