"""The recorded pass of a token: on a CPU without the recording, on a GPU with it."""

import logging
from collections.abc import Callable

import pytest
import torch

from prompter.decoding import graphs, loop
from prompter.decoding.graphs import FixedStep
from prompter.decoding.loop import decode
from prompter.decoding.prefix import Prefix
from tests.prompter.decoding.test_loop import PAD, VOCABULARY, bloom, gpt2, llama, made, mistral, prompts
from tests.prompter.decoding.test_prefix import neox


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a CPU take fixed passes, unrecorded; the list gets the column of each."""
    columns: list[int] = []
    call = FixedStep.__call__

    def counted(step: FixedStep, ids: torch.Tensor, column: int) -> torch.Tensor:
        columns.append(column)
        return call(step, ids, column)

    monkeypatch.setattr(loop, "can_record", lambda model, cache, steps: model not in graphs._refused)
    monkeypatch.setattr(FixedStep, "record", lambda step, column: None)
    monkeypatch.setattr(FixedStep, "__call__", counted)
    return columns


def written(model, device: str = "cpu", shared: bool = True, **changes) -> loop.Decoded:
    """Continue padded prompts of their own after two shared ones, by sampling."""
    model.to(device)
    ids, mask = (x.to(device) for x in prompts(6))
    rows = [[5, 6, 7] if row % 2 else [8, 9] for row in range(6)]
    arguments = dict(
        max_new_tokens=24, eos_token_ids=[3], pad_token_id=PAD, top_p=0.9, return_hidden_states=True,
        random=torch.Generator(device).manual_seed(0), prefix=Prefix.of(rows, PAD, torch.device(device)) if shared else None,
    )  # fmt: skip
    return decode(model, ids, mask, **(arguments | changes))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("build", [gpt2, llama, neox])
def test_fixed_passes_write_what_growing_ones_write(build: Callable, shared: bool, passes: list[int]) -> None:
    model = made(build)
    fixed = written(model, shared=shared)
    assert len(passes) > 20
    graphs._refused.add(model)
    plain = written(model, shared=shared)
    assert torch.equal(fixed.tokens, plain.tokens) and torch.equal(fixed.lengths, plain.lengths)
    torch.testing.assert_close(fixed.logprobs, plain.logprobs, atol=1e-4, rtol=1e-4)
    for row, length in enumerate(plain.lengths):
        torch.testing.assert_close(fixed.hidden_states[row, :length], plain.hidden_states[row, :length], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("build", [mistral, bloom])
def test_other_caches_and_models_without_positions_take_growing_passes(
    build: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made(build)
    assert not graphs.can_record(model, loop.new_cache(model, 8), 50)  # not on a GPU
    monkeypatch.setattr(FixedStep, "record", lambda step, column: pytest.fail("recorded"))
    assert written(model).tokens.shape[0] == 6


def test_a_model_that_cannot_be_recorded_is_said_and_written_step_by_step(
    passes: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = made(llama)

    def fails(step: FixedStep, column: int) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(FixedStep, "record", fails)
    with caplog.at_level(logging.WARNING):
        tried = written(model)
    assert "LlamaForCausalLM" in caplog.text and passes == []
    assert torch.equal(tried.tokens, written(model).tokens)  # the second time it is not tried


def test_a_pass_with_other_logits_is_not_used(passes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    model = made(gpt2)
    call = FixedStep.__call__
    with monkeypatch.context() as patch:
        patch.setattr(FixedStep, "__call__", lambda step, ids, column: 1.5 * call(step, ids, column))
        tried = written(model)
    assert model in graphs._refused
    assert torch.equal(tried.tokens, written(model).tokens)


@pytest.mark.gpu
@pytest.mark.parametrize("build", [gpt2, llama, neox])
def test_recorded_passes_on_a_gpu(build: Callable) -> None:
    model = made(build)
    recorded = written(model, "cuda")
    assert model in graphs._checked and model not in graphs._refused
    graphs._refused.add(model)
    plain = written(model, "cuda")
    assert torch.equal(recorded.tokens, plain.tokens)
    torch.testing.assert_close(recorded.logprobs, plain.logprobs, atol=1e-3, rtol=1e-3)
    greedy = dict(temperature=0.0, random=None)
    assert torch.equal(written(model, "cuda", **greedy).tokens.cpu(), written(model, "cpu", **greedy).tokens)
    assert recorded.tokens.max() < VOCABULARY
