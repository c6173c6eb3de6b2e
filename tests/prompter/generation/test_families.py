"""Language models of the families that people bring: what each of them does in its own way must not change a result.

Each model is tiny and random, has the vocabulary of a larger one (most of it unused), ends a text with one of two tokens, and
its tokenizer has no padding token.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from peft import PeftModel
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from distill.common.seeding import seeded
from prompter.decoding.loop import decode
from prompter.decoding.prefix import Prefix, left_padded
from prompter.generation.config import PolicyConfig, WriterConfig
from prompter.generation.policy import TopicPolicy
from prompter.generation.writer import Writer
from prompter.rl.ppo_config import PPOConfig
from prompter.rl.ppo_trainer import PPOTrainer
from tests.distill.gguf_file import byte_tokenizer

LABELS = ["good", "bad"]
VOCABULARY = 400
CPU = torch.device("cpu")

SHAPE = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=96,
)
IDS = dict(bos_token_id=0, eos_token_id=0, pad_token_id=None)
WINDOW = dict(sliding_window=8, layer_types=["sliding_attention", "full_attention", "sliding_attention"], head_dim=16)
NEOX = {name: size for name, size in SHAPE.items() if name != "num_key_value_heads"}

FAMILIES: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama": lambda: LlamaConfig(tie_word_embeddings=True, **SHAPE, **IDS),
    "llama, 150,000 tokens": lambda: LlamaConfig(
        tie_word_embeddings=False, **(SHAPE | {"vocab_size": 150_001, "hidden_size": 16}), **IDS
    ),
    "qwen2": lambda: Qwen2Config(tie_word_embeddings=False, **SHAPE, **IDS),
    "qwen3": lambda: Qwen3Config(tie_word_embeddings=True, head_dim=16, **SHAPE, **IDS),
    "gemma": lambda: GemmaConfig(head_dim=16, **SHAPE, **IDS),
    "gemma2": lambda: Gemma2Config(final_logit_softcapping=3.0, attn_logit_softcapping=5.0, **WINDOW, **SHAPE, **IDS),
    "gemma3": lambda: Gemma3TextConfig(**WINDOW, **SHAPE, **IDS),
    "gpt-neox": lambda: GPTNeoXConfig(tie_word_embeddings=False, **NEOX, **IDS),
    "gpt2": lambda: GPT2Config(vocab_size=VOCABULARY, n_positions=96, n_embd=32, n_layer=3, n_head=4, **IDS),
}
each_family = pytest.mark.parametrize("family", list(FAMILIES))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the folder of a family's model, as people have it, once."""
    root = tmp_path_factory.mktemp("models")

    def made(family: str) -> Path:
        path = root / family
        if not path.exists():
            with seeded(0, "model"):
                model = AutoModelForCausalLM.from_config(FAMILIES[family](), dtype=torch.float32)
                for name, parameter in model.named_parameters():
                    if parameter.dim() > 1 and "embed" not in name and "wte" not in name:
                        torch.nn.init.normal_(parameter, std=0.3)
            model.generation_config.eos_token_id = [0, 5]
            model.save_pretrained(path)
            byte_tokenizer().save_pretrained(path)
        return path

    return made


def opened(folder: Path, rank: int = 4) -> tuple[TopicPolicy, Writer]:
    """The policy with adapters that change what it says, and the writer on the same weights."""
    policy = TopicPolicy.load(str(folder), LABELS, PolicyConfig(lora_rank=rank), 6, "cpu")
    with seeded(1, "adapters"):
        for name, parameter in policy.model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.2)
    writer = Writer.beside(policy, str(folder), str(folder), WriterConfig(writer_max_new_tokens=24), "cpu")
    return policy, writer


def prompts(count: int) -> list[list[int]]:
    """Prompts of unequal length, longer than a sliding window among them."""
    random = torch.Generator().manual_seed(0)
    return [torch.randint(6, 260, (1 + 5 * index,), generator=random).tolist() for index in range(count)]


def logprobs_of(model: torch.nn.Module, prompt: list[int], tokens: list[int]) -> Tensor:
    """The log-probabilities of tokens after a prompt: one plain forward pass of one row without padding."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1]
    return logits.float().log_softmax(-1).gather(1, torch.tensor(tokens)[:, None])[:, 0]


@each_family
def test_decoding(folder: Callable[[str], Path], family: str) -> None:
    policy, writer = opened(folder(family))
    assert sorted(policy.eos_token_ids) == sorted(writer.eos_token_ids) == [0, 2, 5]
    assert isinstance(policy.model, PeftModel) and policy.tokenizer.pad_token_id in (0, 2)
    with torch.no_grad():
        tuned = check_decoding(policy.model)
        with policy.model.disable_adapter():
            assert check_decoding(policy.model) != tuned


def check_decoding(model: PeftModel) -> list[list[int]]:
    """Check the likeliest tokens against `generate`, and all log-probabilities against plain forward passes."""
    rows = prompts(4)
    ids, mask = left_padded(rows, 2)
    ours = decode(model, ids, mask, max_new_tokens=16, eos_token_ids=[0, 2, 5], pad_token_id=2, temperature=0.0, random=None)
    theirs = model.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=16, do_sample=False, eos_token_id=[0, 2, 5], pad_token_id=2
    )[:, ids.shape[1] :]
    assert ours.tokens.tolist() == theirs.tolist()
    assert len({tuple(row) for row in ours.tokens.tolist()}) > 1
    nothing = torch.empty(len(rows), 0, dtype=torch.long)
    sampled = decode(
        model,
        nothing,
        nothing,
        prefix=Prefix.of(rows, 2, CPU),
        max_new_tokens=12,
        eos_token_ids=[0, 2, 5],
        pad_token_id=2,
        random=torch.Generator().manual_seed(3),
    )
    for decoded in (ours, sampled):
        for row, prompt in enumerate(rows):
            length = int(decoded.lengths[row])
            expected = logprobs_of(model, prompt, decoded.tokens[row, :length].tolist())
            torch.testing.assert_close(decoded.logprobs[row, :length], expected, rtol=1e-3, atol=1e-3)
    return ours.tokens.tolist()


@each_family
def test_adapters_change_the_policy_and_not_the_writer(folder: Callable[[str], Path], family: str) -> None:
    policy, writer = opened(folder(family))
    plain = AutoModelForCausalLM.from_pretrained(folder(family), dtype=torch.float32).eval()
    ids = torch.tensor([prompts(4)[3]])
    with torch.no_grad():
        expected = plain(ids).logits
        tuned = policy.model.eval()(ids).logits
        with writer._frozen():
            frozen = writer.model(ids).logits
    torch.testing.assert_close(frozen, expected, rtol=1e-4, atol=1e-4)
    assert (tuned - expected).abs().max() > 0.01


@each_family
def test_features(folder: Callable[[str], Path], family: str) -> None:
    _, writer = opened(folder(family))
    texts = ["good", "the good film and the bad film: good food was in the old town", "a bad room"]
    plain = AutoModelForCausalLM.from_pretrained(folder(family), dtype=torch.float32).eval()
    rows = []
    for text in texts:
        ids = torch.tensor([[writer.start, *writer.tokenizer(text, add_special_tokens=False)["input_ids"]]])
        with torch.no_grad():
            hidden = plain.base_model(ids, output_hidden_states=True).hidden_states
        rows.append(torch.cat([hidden[len(hidden) // 2][0].mean(0), hidden[-1][0].mean(0)]))
    torch.testing.assert_close(writer.features(texts), torch.stack(rows), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "family",
    [name if name in ("llama", "gemma3", "gpt2") else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES],
)
def test_a_step_of_ppo(folder: Callable[[str], Path], tmp_path: Path, family: str) -> None:
    policy, writer = opened(folder(family))
    before = {name: weight.clone() for name, weight in policy.model.named_parameters()}
    seen: list[tuple[list[str], list[list[int]]]] = []

    def reward(prompts: list[str], completions: list[str], completion_ids: list[list[int]], **rest: object) -> list[float]:
        seen.append((prompts, completion_ids))
        return [float(index % 3) for index in range(len(prompts))]

    trainer = PPOTrainer(
        model=policy.model,
        reward_funcs=reward,
        args=PPOConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=4,
            steps_per_generation=2,
            num_generations=4,
            max_steps=2,
            max_completion_length=6,
            learning_rate=1e-3,
            beta=0.05,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
            gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_dict({"prompt": policy.prompts.for_trainer() * 4}),
        processing_class=policy.tokenizer,
    )
    assert sorted(trainer.eos_token_ids) == [0, 2, 5]
    rows, new = prompts(3), [[7, 8, 9], [10, 11, 12], [13, 14, 15]]
    ids, mask = left_padded([row + tokens for row, tokens in zip(rows, new, strict=True)], 2)
    with torch.no_grad():
        found = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, 3)[0]
        for row, tokens, logps in zip(rows, new, found, strict=True):
            torch.testing.assert_close(logps, logprobs_of(policy.model, row, tokens), rtol=1e-3, atol=1e-3)
    trainer._hidden_states.clear()
    trainer.train()
    assert seen and all(len(tokens) <= 6 for _, completions in seen for tokens in completions)
    for name, weight in policy.model.named_parameters():
        assert torch.isfinite(weight).all(), name
        if "lora_" not in name:
            assert torch.equal(weight, before[name]), name
    assert any(not torch.equal(weight, before[name]) for name, weight in policy.model.named_parameters())
    assert len(writer.unprompted(3, 0, 0).texts) == 3
