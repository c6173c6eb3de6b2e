"""Scores of completions whose prompts are computed once, against plain passes over whole rows."""

from collections.abc import Callable

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from prompter.decoding.prefix import left_padded
from prompter.rl.completions import Scores, score_completions
from tests.prompter.decoding.test_loop import PAD, VOCABULARY, bloom, gpt2, llama, made, mistral
from tests.prompter.decoding.test_prefix import recurrent

PROMPTS = [[5, 6, 7, 8, 9], [11, 12], [13, 14, 15]]
WHICH = [0, 1, 2, 2, 1, 0, 0, 1]
START = [21, 22, 23, 24] * 4  # of a chat template


def batch(length: int = 4, start: list[int] | None = None) -> tuple[Tensor, Tensor]:
    """Eight rows of three different prompts, with completions of one token to `length`."""
    ids, mask = left_padded([(start or []) + PROMPTS[which] for which in WHICH], PAD)
    completions = torch.randint(1, VOCABULARY, (len(WHICH), length), generator=torch.Generator().manual_seed(0))
    alive = torch.arange(length) < torch.tensor([1 + row % length for row in range(len(WHICH))])[:, None]
    return torch.cat([ids, completions * alive], dim=1), torch.cat([mask, alive.long()], dim=1)


def plain(model: nn.Module, ids: Tensor, mask: Tensor, length: int, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities, entropies and hidden states by the shortest way to write them down."""
    extra = {} if "Bloom" in type(model).__name__ else {"position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
    output = model(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False, **extra)
    log_probs = (output.logits[:, -length - 1 : -1] / temperature).log_softmax(-1)
    logps = log_probs.gather(-1, ids[:, -length:, None]).squeeze(-1)
    return logps, -(log_probs.exp() * log_probs).sum(-1), output.hidden_states[-1][:, -length - 1 : -1]


def scored(model: nn.Module, length: int = 4, start: list[int] | None = None, **changes) -> Scores:
    return score_completions(model, *batch(length, start), length, **({"entropy": True} | changes))


@pytest.mark.parametrize("build", [gpt2, llama, mistral, bloom, recurrent])
@pytest.mark.parametrize(("length", "temperature"), [(4, 1.0), (1, 0.7)])
@pytest.mark.parametrize("start", [[], START], ids=["", "start"])
def test_scores_are_those_of_whole_rows(build: Callable, length: int, temperature: float, start: list[int]) -> None:
    model = made(build)
    ids, mask = batch(length, start)
    with torch.no_grad():
        found = scored(model, length, start, temperature=temperature)
        expected = plain(model, ids, mask, length, temperature)
    real = mask[:, -length:].bool()
    for mine, other in zip((found.logps, found.entropies, found.hidden_states), expected, strict=True):
        assert mine is not None
        torch.testing.assert_close(mine[real], other[real], atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("build", [gpt2, llama, bloom])
def test_whole_rows_may_be_padded_too(build: Callable) -> None:
    model = made(build)
    ids, mask = batch()
    with torch.no_grad():
        found, expected = scored(model, share=False, temperature=0.9), plain(model, ids, mask, 4, 0.9)
    real = mask[:, -4:].bool()
    for mine, other in zip((found.logps, found.entropies, found.hidden_states), expected, strict=True):
        assert mine is not None
        torch.testing.assert_close(mine[real], other[real], atol=2e-4, rtol=2e-4)


def test_a_prompt_with_which_all_others_begin_keeps_a_token_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PROMPTS", [[5, 6], [5, 6, 7], [5, 6, 7, 8]])
    model = made(llama)
    ids, mask = batch(start=START)
    with torch.no_grad():
        found, (logps, *_) = scored(model, start=START), plain(model, ids, mask, 4, 1.0)
    torch.testing.assert_close(found.logps[mask[:, -4:].bool()], logps[mask[:, -4:].bool()], atol=2e-4, rtol=2e-4)
    assert passes(model, start=START) == [(1, 17), (3, 3), (8, 3)]


@pytest.mark.parametrize("build", [gpt2, llama])
@pytest.mark.parametrize("adapters", [False, True])
@pytest.mark.parametrize("start", [[], START], ids=["", "start"])
def test_gradients_are_those_of_whole_rows(build: Callable[[], PreTrainedModel], adapters: bool, start: list[int]) -> None:
    model: nn.Module = build()
    if adapters:
        model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    ids, mask = batch(start=start)
    weights = torch.randn(len(WHICH), 4, generator=torch.Generator().manual_seed(1)) * mask[:, -4:]
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0

    def gradients(logps: Tensor, entropies: Tensor) -> dict[str, Tensor]:
        model.zero_grad()
        ((logps + 0.3 * entropies) * weights).sum().backward()
        return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}

    whole, entropies, _ = plain(model, ids, mask, 4, 0.9)
    expected = gradients(whole, entropies)
    shared = scored(model, 4, start, temperature=0.9, entropy_gradient=True)
    assert shared.entropies is not None
    found = gradients(shared.logps, shared.entropies)
    assert found.keys() == expected.keys() and len(found) > 8
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5, msg=name)
    inner = [name for name in found if ".0." in name and ("k_proj" in name or "c_attn" in name)]
    assert inner and all(found[name].abs().max() > 1e-4 for name in inner)  # the way back through the prompts


def passes(model: nn.Module, **changes) -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = []
    handle = model.register_forward_pre_hook(
        lambda _, args, inputs: shapes.append(tuple(inputs["input_ids"].shape)), with_kwargs=True
    )
    scored(model, **changes)
    handle.remove()
    return shapes


def test_a_prompt_passes_through_the_model_once() -> None:
    assert passes(made(llama)) == [(3, 5), (8, 3)]
    assert passes(made(llama), length=1) == [(3, 5)]


def test_what_all_prompts_begin_with_passes_through_the_model_once() -> None:
    assert passes(made(llama), start=START) == [(1, 16), (3, 5), (8, 3)]
    assert passes(made(llama), start=START[:8]) == [(3, 13), (8, 3)]  # too short for a pass of its own
    for build in (mistral, bloom):  # they would count the gap of padding after it
        assert passes(made(build), start=START) == [(3, 21), (8, 3)]


def test_whole_rows_where_prompts_cannot_be_shared() -> None:
    whole = [(8, 9)]
    assert passes(made(recurrent)) == whole
    assert passes(made(llama), share=False) == whole
    recomputing = made(llama)
    recomputing.gradient_checkpointing_enable()
    assert passes(recomputing.train()) == whole
    assert passes(recomputing.eval()) == [(3, 5), (8, 3)]


def test_entropy_only_if_it_is_asked_for() -> None:
    model = made(llama)
    assert scored(model, entropy=False).entropies is None
    entropies = scored(model).entropies
    assert entropies is not None and not entropies.requires_grad
    assert scored(model).logps.requires_grad and not scored(model).hidden_states.requires_grad
