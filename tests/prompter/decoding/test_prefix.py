"""Prefixes that are computed once and shared by rows, against whole prompts."""

from collections.abc import Callable

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import (
    GPTNeoConfig,
    GPTNeoForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
    PreTrainedModel,
)

from distill.common.seeding import random_generator
from prompter.decoding.loop import Decoded, decode
from prompter.decoding.prefix import Prefix, left_padded
from tests.prompter.decoding.test_loop import COMMON, PAD, VOCABULARY, bloom, gpt2, llama, made, mistral

CPU = torch.device("cpu")
FIRST = [[5, 6, 7, 8, 9], [11, 12], [13, 14, 15]]
WHICH = [0, 1, 2, 0, 1, 0, 2, 2, 1, 0]
NOTHING: list[list[int]] = [[] for _ in WHICH]
EQUAL = [[20 + row, 3] for row in range(len(WHICH))]
UNEQUAL = [list(range(20, 21 + row % 4)) for row in range(len(WHICH))]
SOME_EMPTY = [[20 + row] * (row % 3) for row in range(len(WHICH))]


def neox() -> PreTrainedModel:
    sizes = {name: value for name, value in COMMON.items() if name != "num_key_value_heads"}
    return GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=VOCABULARY, max_position_embeddings=64, **sizes))


def neo() -> PreTrainedModel:  # a local window that its cache knows nothing of
    sizes = dict(hidden_size=32, num_layers=2, num_heads=2, intermediate_size=48, max_position_embeddings=64)
    attention = dict(attention_types=[[["global", "local"], 1]], window_size=6)
    return GPTNeoForCausalLM(GPTNeoConfig(vocab_size=VOCABULARY, tie_word_embeddings=False, **sizes, **attention))


def recurrent() -> PreTrainedModel:  # its convolutions keep states that no row can be selected from
    types = ["conv", "full_attention"]
    config = Lfm2Config(vocab_size=VOCABULARY, layer_types=types, block_ff_dim=48, tie_word_embeddings=False, **COMMON)
    return Lfm2ForCausalLM(config)


def both(model: PreTrainedModel, rests: list[list[int]], **changes) -> tuple[Decoded, Decoded]:
    """What is written with shared prefixes, and with whole prompts."""
    arguments = dict(max_new_tokens=20, eos_token_ids=[3], pad_token_id=PAD, return_hidden_states=True) | changes

    def run(rows: list[list[int]], prefix: Prefix | None) -> Decoded:
        random = random_generator(0, "t") if arguments.get("temperature") != 0 else None
        return decode(model, *left_padded(rows, PAD), random=random, prefix=prefix, **arguments)

    whole = [FIRST[which] + rest for which, rest in zip(WHICH, rests, strict=True)]
    prefix = Prefix.of([FIRST[which] for which in WHICH], PAD, CPU)
    return run(rests, prefix), run(whole, None)


def assert_equal(shared: Decoded, whole: Decoded) -> None:
    assert torch.equal(shared.tokens, whole.tokens) and torch.equal(shared.lengths, whole.lengths)
    assert shared.logprobs is not None and whole.logprobs is not None
    torch.testing.assert_close(shared.logprobs, whole.logprobs, rtol=1e-4, atol=1e-4)
    assert shared.hidden_states is not None and whole.hidden_states is not None
    new = torch.arange(shared.tokens.shape[1]) < shared.lengths[:, None]
    torch.testing.assert_close(shared.hidden_states[new], whole.hidden_states[new], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("build", [gpt2, llama, mistral, bloom, neox, neo, recurrent])
@pytest.mark.parametrize("rests", [NOTHING, EQUAL, UNEQUAL, SOME_EMPTY], ids=["nothing", "equal", "unequal", "some"])
def test_shared_prefixes_write_what_whole_prompts_do(build: Callable, rests: list[list[int]]) -> None:
    model = made(build)
    assert_equal(*both(model, rests, temperature=0.0, eos_token_ids=[]))
    assert_equal(*both(model, rests, top_p=0.9))


@pytest.mark.parametrize(("build", "once"), [(gpt2, True), (llama, True), (recurrent, False)])
def test_a_prefix_is_computed_once_where_the_cache_allows_it(build: Callable, once: bool) -> None:
    model = made(build)
    shapes: list[tuple[int, ...]] = []
    model.register_forward_pre_hook(lambda _, args, inputs: shapes.append(tuple(inputs["input_ids"].shape)), with_kwargs=True)
    prefix = Prefix.of([FIRST[which] for which in WHICH], PAD, CPU)
    ids, mask = left_padded(NOTHING, PAD)
    decode(
        model, ids, mask, max_new_tokens=3, eos_token_ids=[], pad_token_id=PAD, random=random_generator(0, "t"), prefix=prefix
    )
    assert shapes == ([(3, 5), (10, 1), (10, 1)] if once else [(10, 5), (10, 1), (10, 1)])


def test_a_large_batch_with_a_fast_output_layer() -> None:
    model = made(gpt2)
    rows = [FIRST[row % 3] for row in range(150)]
    arguments = dict(max_new_tokens=14, eos_token_ids=[], pad_token_id=PAD, temperature=0.0, random=None)
    shared = decode(model, *left_padded([[] for _ in rows], PAD), prefix=Prefix.of(rows, PAD, CPU), **arguments)
    assert torch.equal(shared.tokens, decode(model, *left_padded(rows, PAD), **arguments).tokens)


def test_prompts_too_long_for_the_context_lose_their_beginning() -> None:
    model = made(llama)
    assert_equal(*both(model, [rest * 6 for rest in UNEQUAL], temperature=0.0, max_new_tokens=50))


def test_adapters_act_on_the_prefix() -> None:
    model = made(llama)
    plain = both(model, NOTHING, temperature=0.0)[0].tokens
    tuned = get_peft_model(model, LoraConfig(target_modules="all-linear", init_lora_weights=False))
    shared, whole = both(tuned, NOTHING, temperature=0.0)
    assert_equal(shared, whole)
    assert plain.shape != shared.tokens.shape or not torch.equal(plain, shared.tokens)


def test_hidden_states_are_those_before_each_token() -> None:
    model = made(llama)
    shared, _ = both(model, NOTHING)
    assert shared.hidden_states is not None and shared.logprobs is not None
    with torch.no_grad():
        logits = model.lm_head(shared.hidden_states)
    found = logits.log_softmax(-1).gather(-1, shared.tokens[..., None]).squeeze(-1)
    new = torch.arange(shared.tokens.shape[1]) < shared.lengths[:, None]
    torch.testing.assert_close(found[new], shared.logprobs[new], rtol=1e-4, atol=1e-4)


def test_prefixes_are_found() -> None:
    prefix = Prefix.of([[4, 5], [6], [4, 5]], PAD, CPU)
    assert prefix.input_ids.tolist() == [[4, 5], [PAD, 6]] and prefix.attention_mask.tolist() == [[1, 1], [0, 1]]
    assert prefix.rows.tolist() == [0, 1, 0]


def test_whole_prompts_have_no_gap() -> None:
    prefix = Prefix.of([[4, 5], [6], [4, 5]], PAD, CPU)
    ids, mask = prefix.before(*left_padded([[7], [8, 9], []], PAD), PAD)
    expected: tuple[Tensor, Tensor] = left_padded([[4, 5, 7], [6, 8, 9], [4, 5]], PAD)
    assert torch.equal(ids, expected[0]) and torch.equal(mask, expected[1])
