"""Generators as people have them: they write, or one line says why not."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from distill.common.errors import InputError
from distill.common.seeding import seeded
from prompter.generation.config import PolicyConfig, WriterConfig
from prompter.generation.policy import TopicPolicy
from prompter.generation.writer import Writer

WORDS = "<end> <unk> good bad film food the a : world news".split()
LABELS = ["good", "bad"]


def reader(**special: str) -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", **special)


END = {"bos_token": "<end>", "eos_token": "<end>", "pad_token": "<end>"}


def saved(folder: Path, tokenizer: PreTrainedTokenizerFast | None = None, model: PreTrainedModel | None = None) -> Path:
    if model is None:
        with seeded(0, "model"):
            model = GPT2LMHeadModel(GPT2Config(vocab_size=len(WORDS), n_positions=24, n_embd=16, n_layer=1, n_head=2))
    model.save_pretrained(folder)
    (tokenizer or reader(**END)).save_pretrained(folder)
    return folder


def opened(folder: Path, labels: list[str] = LABELS, rank: int = 2, control: str = "{label} :") -> tuple[TopicPolicy, Writer]:
    policy = TopicPolicy.load(str(folder), labels, PolicyConfig(lora_rank=rank, control=control, topic_max_tokens=6), 6, "cpu")
    return policy, Writer.beside(policy, str(folder), str(folder), WriterConfig(writer_max_new_tokens=10), "cpu")


def written(folder: Path, rank: int = 2) -> list[str]:
    policy, writer = opened(folder, rank=rank)
    topics = policy.topics(torch.tensor([0, 1]), 0, 0)
    return writer.write(topics, 0, 0).texts


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("ids", [50256, [50256], [0, 50256]])
def test_end_tokens_beyond_the_vocabulary(
    tmp_path: Path, ids: int | list[int], rank: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder = saved(tmp_path)
    for name in ("config.json", "generation_config.json"):
        file = folder / name
        file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": ids, "pad_token_id": 50257}))
    assert all(written(folder, rank))
    _, writer = opened(folder, rank=rank)
    assert writer.eos_token_ids == [0]
    assert "eos_token_id" in caplog.text and f"is beyond its {len(WORDS)} tokens" in caplog.text


def test_special_tokens_within_the_vocabulary_are_kept(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    for name in ("config.json", "generation_config.json"):
        file = folder / name
        file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": [0, 1], "pad_token_id": 1}))
    assert opened(folder)[1].eos_token_ids == [0, 1]


def test_long_class_names(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    with pytest.raises(
        InputError, match=r"control: 'good .*\.\.\.' has 31 tokens, and 6 more .* context is 24 tokens; give shorter"
    ):
        opened(folder, ["good " * 30, "bad"])
    with pytest.raises(InputError, match="context of 24 tokens is too short for a class prompt of 17 .* --in_context false"):
        opened(folder, ["good " * 16, "bad"])
    assert opened(folder, ["good " * 7, "bad"])


def test_a_class_prompt_without_tokens(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no token for"):
        opened(saved(tmp_path), ["  ", "bad"], control="{label}")


@pytest.mark.parametrize("special", [{}, {"bos_token": "<end>"}])
def test_no_end_token(tmp_path: Path, special: dict[str, str]) -> None:
    folder = saved(tmp_path, reader(**special))
    with pytest.raises(InputError, match="has no EOS token; set its eos_token"):
        opened(folder)
    if not special:
        with pytest.raises(InputError, match="neither a BOS nor an EOS token; set its bos_token"):
            Writer.load(str(folder), WriterConfig(writer_max_new_tokens=10), "cpu")


def test_added_tokens_beyond_the_embedding(tmp_path: Path) -> None:
    tokenizer = reader(**END)
    tokenizer.add_tokens(["<new>"])
    folder = saved(tmp_path, tokenizer)
    for open_it in (lambda: opened(folder), lambda: Writer.load(str(folder), WriterConfig(writer_max_new_tokens=10), "cpu")):
        with pytest.raises(InputError, match="generator: .*'<new>'.*resize_token_embeddings"):
            open_it()


def test_encoder_decoders_and_wrappers(tmp_path: Path) -> None:
    t5 = T5ForConditionalGeneration(
        T5Config(vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0)
    )
    folder = saved(tmp_path, model=t5)
    with pytest.raises(InputError, match="generator: .* is not a causal language model: .*an encoder-decoder"):
        opened(folder)
    file = folder / "config.json"
    about = json.loads(file.read_text())
    file.write_text(json.dumps(about | {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3"}))
    with pytest.raises(InputError, match="generator: .*a text model inside one for images"):
        opened(folder)
    file.write_text(json.dumps({key: value for key, value in about.items() if key != "architectures"}))
    with pytest.raises(InputError, match="generator: .* cannot be loaded") as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rank", [0, 2])
def test_an_adapter_as_generator(tmp_path: Path, rank: int) -> None:
    """It is merged, and the policy puts its own adapters on top; the writer is the merged model."""
    base = saved(tmp_path / "base")
    with seeded(1, "adapter"):
        tuned = get_peft_model(GPT2LMHeadModel.from_pretrained(base), LoraConfig(task_type="CAUSAL_LM", r=2))
        for name, weight in tuned.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(weight)
    tuned.save_pretrained(tmp_path / "adapter")
    policy, writer = opened(tmp_path / "adapter", rank=rank)
    assert isinstance(policy.model, PeftModel) == bool(rank)
    ids = torch.tensor([[2, 3, 4]])
    with torch.no_grad(), writer._frozen():
        torch.testing.assert_close(writer.model(ids).logits, tuned.eval()(ids).logits, rtol=1e-3, atol=1e-3)
    assert all(written(tmp_path / "adapter", rank))
