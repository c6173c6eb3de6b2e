"""The decoding loop against `generate`."""

import copy
from collections.abc import Callable

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
)

from distill.common.errors import InputError
from distill.common.seeding import random_generator
from prompter.decoding.loop import context_length, decode
from prompter.decoding.prefix import left_padded
from tests.prompter.decoding.test_sampling import truncated

VOCABULARY, PAD = 50, 0
COMMON = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48)


def gpt2(**changes) -> PreTrainedModel:
    sizes = dict(vocab_size=VOCABULARY, n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=2)
    return GPT2LMHeadModel(GPT2Config(tie_word_embeddings=False, **(sizes | changes)))


def llama() -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=64, **COMMON))


def mistral() -> PreTrainedModel:  # a sliding window, hence another kind of cache
    config = MistralConfig(vocab_size=VOCABULARY, max_position_embeddings=64, sliding_window=6, **COMMON)
    return MistralForCausalLM(config)


def bloom() -> PreTrainedModel:  # its forward takes no position_ids
    config = BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4, tie_word_embeddings=False)
    return BloomForCausalLM(config)


def made(build: Callable[..., PreTrainedModel], seed: int = 0, **changes) -> PreTrainedModel:
    torch.manual_seed(seed)
    model = build(**changes).eval()
    with torch.no_grad():  # at the usual scale the logits are nearly equal, and rounding could decide
        model.get_output_embeddings().weight.mul_(10)
        if build is not bloom:
            for parameter in model.parameters():
                parameter.mul_(1.5)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = PAD
    return model


def prompts(rows: int, longest: int = 7, seed: int = 1) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    lengths = [1 + i % longest for i in range(rows)]
    ids = [torch.randint(1, VOCABULARY, (n,), generator=random).tolist() for n in lengths]
    return left_padded(ids, PAD)


def greedy(model, ids: Tensor, mask: Tensor, eos: list[int], **changes):
    arguments = dict(max_new_tokens=24, eos_token_ids=eos, pad_token_id=PAD, temperature=0.0, random=None)
    return decode(model, ids, mask, **(arguments | changes))


def test_rows_that_ended_raise_no_warning_of_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr("transformers.modeling_utils.logger.warning_once", warnings.append)
    model = made(gpt2)
    model.config.pad_token_id = PAD
    ids = torch.full((2, 3), 7)
    eos = greedy(model, ids, torch.ones_like(ids), []).tokens[0, :1].tolist()
    assert greedy(model, ids, torch.ones_like(ids), eos).lengths.tolist() == [1, 1]
    assert warnings == [] and model.config.pad_token_id == PAD


@pytest.mark.parametrize("build", [gpt2, llama, mistral, bloom])
@pytest.mark.parametrize("least", [0, 4])
def test_greedy_equals_generate_with_padding_and_eos(build: Callable, least: int) -> None:
    model = made(build)
    ids, mask = prompts(12)
    free = greedy(model, ids, mask, [])
    assert free.tokens.shape == (12, 24) and (free.lengths == 24).all()
    eos = free.tokens[:, 2].unique().tolist()[:3]  # ends some rows early
    ours = greedy(model, ids, mask, eos, min_new_tokens=least)
    theirs = model.generate(
        ids,
        attention_mask=mask,
        do_sample=False,
        max_new_tokens=24,
        min_new_tokens=least or None,
        eos_token_id=eos,
        pad_token_id=PAD,
    )[:, ids.shape[1] :]
    assert torch.equal(ours.tokens, theirs)
    assert ours.lengths.min() < 24
    assert ours.lengths.min() > least
    for row, length in zip(ours.tokens, ours.lengths, strict=True):
        assert (row[length:] == PAD).all()
        assert length == 24 or int(row[length - 1]) in eos
        assert not set(row[: length - 1].tolist()) & set(eos) or least


def test_rows_that_ended_leave_the_batch_and_change_nothing() -> None:
    model = made(gpt2)
    ids, mask = prompts(16)
    free = greedy(model, ids, mask, []).tokens
    # EOS is the token that about half of the rows write within the first eight steps.
    early = torch.stack([(free[:, :8] == token).any(1) for token in range(VOCABULARY)]).float().mean(1)
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda _, args, inputs: sizes.append(len(inputs["input_ids"])), with_kwargs=True)
    ours = greedy(model, ids, mask, [int((early - 0.5).abs().argmin())])
    assert sizes[:8] == [16] * 8 and sizes[8] <= 12
    for row, length, unbounded in zip(ours.tokens, ours.lengths, free, strict=True):
        assert torch.equal(row[:length], unbounded[:length])


@pytest.mark.parametrize("build", [gpt2, bloom])
def test_a_large_batch_equals_generate(build: Callable) -> None:
    """The output layer is then replaced by a faster one, for a vocabulary of whole cache lines; it must go back."""
    model = made(build)
    ids, mask = prompts(100)
    steps = 2048 // 100 + 1
    assert VOCABULARY % 16
    theirs = model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=steps, pad_token_id=PAD)
    widths: list[int] = []
    model.lm_head.register_forward_hook(lambda _, inputs, logits: widths.append(logits.shape[-1]))
    ours = greedy(model, ids, mask, [], max_new_tokens=steps)
    assert torch.equal(ours.tokens, theirs[:, ids.shape[1] :])
    assert widths[-1] == 64
    with torch.no_grad():
        assert model(input_ids=ids).logits.shape[-1] == VOCABULARY
    assert sampled(model, ids, mask, max_new_tokens=steps, top_p=1.0, temperature=50.0).tokens.max() < VOCABULARY


def test_stops_once_all_rows_ended() -> None:
    model = made(gpt2)
    ids, mask = prompts(4)
    steps: list[int] = []
    model.register_forward_pre_hook(lambda *a: steps.append(1))
    ours = greedy(model, ids, mask, list(range(VOCABULARY)), max_new_tokens=40)
    assert ours.tokens.shape == (4, 1) and (ours.lengths == 1).all() and len(steps) <= 8


def test_logprobs_are_the_models_own() -> None:
    model = made(llama)
    ids, mask = prompts(6)
    for sampling in (dict(), dict(temperature=0.7, top_p=0.8), dict(top_k=5), dict(temperature=0.0)):
        out = decode(
            model,
            ids,
            mask,
            max_new_tokens=9,
            min_new_tokens=3,
            eos_token_ids=[7, 8, 9, 10, 11],
            pad_token_id=PAD,
            random=random_generator(0, "t"),
            **sampling,
        )
        whole = torch.cat([ids, out.tokens], 1)
        new = (torch.arange(out.tokens.shape[1]) < out.lengths[:, None]).long()
        whole_mask = torch.cat([mask, new], 1)
        positions = (whole_mask.cumsum(-1) - 1).clamp(min=0)
        with torch.no_grad():
            logits = model(input_ids=whole, attention_mask=whole_mask, position_ids=positions).logits.double()
        expected = logits[:, ids.shape[1] - 1 : -1].log_softmax(-1).gather(-1, out.tokens[..., None]).squeeze(-1) * new
        torch.testing.assert_close(out.logprobs.double(), expected, rtol=0, atol=2e-4)


def sampled(model, ids: Tensor, mask: Tensor, seed: int = 0, **changes):
    arguments = dict(max_new_tokens=12, eos_token_ids=[3], pad_token_id=PAD, top_p=0.9, random=random_generator(seed, "t"))
    return decode(model, ids, mask, **(arguments | changes))


def test_first_tokens_follow_the_model() -> None:
    model = made(gpt2)
    ids, mask = prompts(1, longest=1)
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, -1]
    many = sampled(model, ids.expand(20_000, -1), mask.expand(20_000, -1), max_new_tokens=1, temperature=1.3, top_k=20)
    frequency = many.tokens[:, 0].bincount(minlength=VOCABULARY) / 20_000
    assert (frequency - truncated(logits, 1.3, 20, 0.9)).abs().sum() / 2 < 0.02


def test_the_generator_alone_decides() -> None:
    model = made(gpt2)
    ids, mask = prompts(8)
    first = sampled(model, ids, mask)
    torch.manual_seed(1234)
    assert torch.equal(first.tokens, sampled(model, ids, mask).tokens)
    assert not torch.equal(first.tokens, sampled(model, ids, mask, seed=1).tokens)


def test_other_rows_do_not_matter() -> None:
    model = made(gpt2)
    ids, mask = prompts(8, longest=1)
    changed = ids.clone()
    changed[1:] = (changed[1:] + 5) % VOCABULARY
    one, other = sampled(model, ids, mask, max_new_tokens=20), sampled(model, changed, mask, max_new_tokens=20)
    assert one.lengths[0] == other.lengths[0]
    assert torch.equal(one.tokens[0, : one.lengths[0]], other.tokens[0, : one.lengths[0]])


def test_rows_that_end_and_leave_do_not_matter_to_those_that_stay() -> None:
    model = made(gpt2)
    ids, mask = prompts(8, longest=1)
    changed = (ids + 5) % VOCABULARY
    changed[2] = ids[2]
    telling = 0
    for seed in range(8):
        options = {"max_new_tokens": 40, "eos_token_ids": [3, 4, 5]}
        one, other = (sampled(model, rows, mask, seed, **options) for rows in (ids, changed))
        length = int(one.lengths[2])
        assert torch.equal(one.tokens[2, :length], other.tokens[2, :length]), seed
        left = [int((found.lengths <= 8).sum()) for found in (one, other)]  # at the first check
        telling += length > 10 and left[0] != left[1] and max(left) > 2
    assert telling > 2


def test_padding_on_the_left_changes_nothing() -> None:
    model = made(gpt2)
    ids, mask = prompts(5, longest=3)
    wide = torch.cat([torch.full((5, 4), PAD), ids], 1), torch.cat([torch.zeros(5, 4, dtype=torch.long), mask], 1)
    assert torch.equal(sampled(model, ids, mask).tokens, sampled(model, *wide).tokens)


def test_eos_waits_for_the_fewest_tokens() -> None:
    model = made(gpt2)
    ids, mask = prompts(64)
    eos = list(range(1, 25))
    assert sampled(model, ids, mask, eos_token_ids=eos).lengths.min() == 1
    late = sampled(model, ids, mask, eos_token_ids=eos, min_new_tokens=5)
    assert late.lengths.min() == 6
    assert not torch.isin(late.tokens[:, :5], torch.tensor(eos)).any()


def test_the_padding_token_may_be_eos() -> None:
    model = made(gpt2)
    ids, mask = prompts(32)
    out = sampled(model, ids, mask, eos_token_ids=[5], pad_token_id=5)
    ended = out.lengths < out.tokens.shape[1]
    assert ended.any()
    last = out.tokens.gather(1, out.lengths[:, None] - 1).squeeze(1)
    assert (last[ended] == 5).all()
    assert (out.logprobs.gather(1, out.lengths[:, None] - 1) < 0).all()  # EOS itself counts


def test_long_prompts_lose_their_beginning() -> None:
    model = made(gpt2)
    ids, mask = prompts(3, longest=1)
    long = torch.randint(1, VOCABULARY, (3, 60), generator=random_generator(0, "long"))
    ones = torch.ones_like(long)
    assert context_length(model) == 64
    assert torch.equal(greedy(model, long, ones, []).tokens, greedy(model, long[:, -40:], ones[:, -40:], []).tokens)
    assert greedy(model, ids, mask, [], max_new_tokens=63).tokens.shape == (3, 63)
    with pytest.raises(InputError, match="max_new_tokens is 64, expected 1 to 63"):
        greedy(model, ids, mask, [], max_new_tokens=64)


def test_adapters_act_as_they_are_set() -> None:
    model = made(gpt2)
    ids, mask = prompts(8)
    plain = greedy(model, ids, mask, []).tokens
    adapted = get_peft_model(copy.deepcopy(model), LoraConfig(target_modules="all-linear", init_lora_weights=False))
    assert not torch.equal(plain, greedy(adapted, ids, mask, []).tokens)
    with adapted.disable_adapter():
        assert torch.equal(plain, greedy(adapted, ids, mask, []).tokens)


def test_dropout_is_off_and_each_module_gets_its_mode_back() -> None:
    model = made(gpt2, resid_pdrop=0.5)
    ids, mask = prompts(8)
    plain = greedy(model, ids, mask, []).tokens
    model.train()
    model.transformer.h[0].eval()
    assert torch.equal(plain, greedy(model, ids, mask, []).tokens)
    assert model.training and model.transformer.h[1].mlp.dropout.training
    assert not model.transformer.h[0].training and not model.transformer.h[0].mlp.dropout.training


def test_an_output_layer_that_was_given_its_own_way_to_compute_keeps_it() -> None:
    model = made(gpt2)
    head = model.get_output_embeddings()

    def always_seven(states: Tensor) -> Tensor:  # TRL's `cast_lm_head_to_fp32` replaces it in this way
        return torch.nn.functional.one_hot(torch.full(states.shape[:-1], 7), VOCABULARY).to(states) * 9

    head.forward = always_seven
    ids = torch.full((256, 1), 3)
    options = {"max_new_tokens": 8, "eos_token_ids": [], "pad_token_id": PAD, "temperature": 0.0, "random": None}
    assert (decode(model, ids, torch.ones_like(ids), **options).tokens == 7).all()
    assert head.forward is always_seven


def test_training_goes_on_after_decoding() -> None:
    model = made(llama)
    ids, mask = prompts(4)
    sampled(model, ids, mask)
    model(input_ids=ids, attention_mask=mask, labels=ids).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(max_new_tokens=0), "max_new_tokens is 0"),
        (dict(temperature=-1.0), "temperature -1.0"),
        (dict(temperature=float("nan")), "temperature nan"),
        (dict(top_p=0.0), "top_p 0.0"),
        (dict(top_k=-1), "top_k -1"),
    ],
)
def test_arguments_out_of_range(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sampled(made(gpt2), *prompts(2), **changes)


def test_unusable_prompts_and_models() -> None:
    model = made(gpt2)
    ids, mask = prompts(3)
    with pytest.raises(InputError, match="padded on the left"):
        sampled(model, ids, mask.flip(-1))
    with torch.no_grad():
        model.lm_head.weight[3].fill_(torch.nan)
    with pytest.raises(InputError, match="logits are not finite"):
        sampled(model, ids, mask)
