"""Recorded passes of an update: on a CPU their bookkeeping, on a GPU the recording."""

import gc
import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from prompter.rl import recorded
from prompter.rl.completions import Scores, score_completions
from prompter.rl.recorded import RecordedScores
from tests.prompter.decoding.test_loop import PAD, bloom, gpt2, llama, made
from tests.prompter.decoding.test_prefix import neox
from tests.prompter.rl.test_completions import START, batch

LENGTH = 6
"""Most tokens of a completion; those of the batch have 4."""


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Let a CPU replay passes, unrecorded but in the memory of the last ones; the list gets the shape of each recording."""
    found: list[tuple[int, ...]] = []

    def graphed(module: nn.Module, sample: tuple[Tensor, ...], allow_unused_input: bool) -> nn.Module:
        assert not gc.isenabled()  # what it finds while a pass is recorded cannot be freed
        found.append(tuple(sample[0].shape))
        plain, last = module.forward, []

        def replay(*given: Tensor) -> tuple[Tensor, ...]:
            for own, new in zip(sample, given, strict=True):
                own.copy_(new)
            for tensor in last:
                tensor.data.fill_(torch.nan)
            last[:] = plain(*sample)
            return tuple(last)

        module.forward = replay  # type: ignore[method-assign]
        return module

    def possible(scores: RecordedScores, ids: Tensor) -> bool:
        return sum(step is not None for step in scores.passes.values()) < recorded.MOST

    monkeypatch.setattr(RecordedScores, "_possible", possible)
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", graphed)
    return found


def wide() -> nn.Module:
    """Heads of 64 units, whose attention torch computes by other kernels."""
    return gpt2(n_embd=128)


def without_dropout(build: Callable, adapters: bool = True) -> nn.Module:
    model = made(build)
    if adapters:
        config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
        model = get_peft_model(model, config)
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def gradients(model: nn.Module, scores: Scores, mask: Tensor) -> Tensor:
    """Return the gradients of what a loss reads, as one vector."""
    model.zero_grad()
    assert scores.entropies is not None
    ((scores.logps + 0.3 * scores.entropies) * mask).sum().backward()
    return torch.cat([value.grad.flatten() for value in model.parameters() if value.grad is not None])


def both(model: nn.Module, scores: RecordedScores, device: str = "cpu", **options: Any) -> tuple[Tensor, Tensor]:
    """Compare the scores of recorded and of usual passes; return the gradients of both."""
    ids, mask = (tensor.to(device) for tensor in batch())
    real = mask[:, -4:].bool()
    options = {"temperature": 0.9, "entropy": True, "entropy_gradient": True} | options
    found = scores(ids, mask, 4, **options)
    mine = gradients(model, found, real)
    plain = score_completions(model, ids, mask, 4, share=False, **options)
    other = gradients(model, plain, real)
    for name in ("logps", "entropies", "hidden_states"):
        one, two = getattr(found, name), getattr(plain, name)
        assert one.shape == two.shape
        torch.testing.assert_close(one[real].float(), two[real].float(), atol=2e-2, rtol=2e-2)
    assert not found.hidden_states.requires_grad
    return mine, other


@pytest.mark.parametrize("build", [gpt2, llama, bloom])
def test_a_replayed_pass_scores_and_teaches_as_the_usual_one(build: Callable, shapes: list) -> None:
    model = without_dropout(build)
    scores = RecordedScores(model, LENGTH, PAD)
    for _ in range(3):
        mine, other = both(model, scores)
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)
    assert shapes == [(8, 16 + LENGTH)]  # prompts of 5 tokens, padded
    assert gc.isenabled()


def test_no_node_of_the_usual_stream_is_left_when_a_pass_is_recorded(shapes: list, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would stay where autocast stores converted weights, and a way back that meets them cannot be recorded."""
    model = without_dropout(llama)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    graphed, left = torch.cuda.make_graphed_callables, []

    def nodes() -> list[Any]:
        return [parameter.expand_as(parameter).grad_fn.next_functions[0][0] for parameter in trained]  # type: ignore[union-attr]

    def looked(*args: Any, **options: Any) -> nn.Module:
        left.append(sum("used" in node.metadata for node in nodes()))
        return graphed(*args, **options)

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", looked)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        converted = [parameter @ torch.zeros(parameter.shape[1], 1) for parameter in trained]  # autocast stores them
        for node in nodes():
            node.metadata["used"] = True
        del converted, node
        assert any("used" in node.metadata for node in nodes())
        RecordedScores(model, LENGTH, PAD)(*batch(), 4)
    assert left == [0]


def test_what_was_returned_outlives_the_next_replay(shapes: list) -> None:
    model = without_dropout(llama)
    scores = RecordedScores(model, LENGTH, PAD)
    ids, mask = batch()
    with torch.no_grad():
        parts = [scores(ids[rows], mask[rows], 4, entropy=True) for rows in (slice(4), slice(4, 8))]
        whole = score_completions(model, ids, mask, 4, entropy=True, share=False)
    real = mask[:, -4:].bool()
    for name in ("logps", "entropies", "hidden_states"):
        torch.testing.assert_close(
            torch.cat([getattr(part, name) for part in parts])[real], getattr(whole, name)[real], atol=1e-4, rtol=1e-4
        )


def test_each_shape_purpose_and_state_of_the_adapters_has_a_pass_of_its_own_up_to_a_number(shapes: list) -> None:
    model = without_dropout(llama)
    scores = RecordedScores(model, LENGTH, PAD)

    def score(start: list[int] | None = None) -> Tensor:
        return scores(*batch(start=start), 4, entropy=True).logps

    trained = score()
    with torch.no_grad(), model.disable_adapter():
        reference = score()
    assert len(shapes) == 2 and not torch.allclose(trained, reference)
    score(START)  # 21 columns of prompts
    with torch.no_grad():
        score()
    assert len(shapes) == recorded.MOST
    for _ in range(2):  # a fifth shape passes as usual
        assert score(START * 2).isfinite().all() and score().isfinite().all()
    assert len(shapes) == recorded.MOST and list(scores.passes.values()).count(None) == 1


@pytest.mark.parametrize("fault", ["fails", "differs", "other gradients"])
def test_a_model_that_cannot_be_recorded_is_said_once_and_passes_as_usual(
    fault: str, shapes: list, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    graphed = torch.cuda.make_graphed_callables

    def wrong(module: nn.Module, sample: tuple[Tensor, ...], allow_unused_input: bool) -> Any:
        if fault == "fails":
            raise RuntimeError("operation not permitted when stream is capturing")
        step = graphed(module, sample, allow_unused_input)
        if fault == "differs":
            return lambda *given: tuple(1.5 * tensor for tensor in step(*given))
        return lambda *given: tuple(tensor.detach() + 0.5 * (tensor - tensor.detach()) for tensor in step(*given))

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", wrong)
    model = without_dropout(llama)
    scores = RecordedScores(model, LENGTH, PAD)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            mine, other = both(model, scores)
            torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)
    assert caplog.text.count("LlamaForCausalLM: updates are not recorded") == 1 and not any(scores.passes.values())


def test_nothing_is_recorded_on_a_cpu() -> None:
    model = without_dropout(llama)
    scores = RecordedScores(model, LENGTH, PAD)
    both(model, scores)
    assert list(scores.passes.values()) == [None] and not scores.refused


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("adapters", [True, False])
@pytest.mark.parametrize("build", [gpt2, wide, llama, neox])
def test_recorded_updates_on_a_gpu(build: Callable, adapters: bool, dtype: torch.dtype) -> None:
    """Over several steps of an optimizer: the recorded pass follows the weights."""
    model = without_dropout(build, adapters).to("cuda")
    scores = RecordedScores(model, LENGTH, PAD)
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-2)
    for _ in range(4):
        with torch.autocast("cuda", dtype=dtype, enabled=dtype != torch.float32):
            mine, other = both(model, scores, "cuda")
        assert (mine - other).norm() < 0.02 * other.norm()
        if adapters:
            with torch.no_grad(), model.disable_adapter():
                both_reference = [score(*(tensor.cuda() for tensor in batch()), 4) for score in (scores, _plain_scores(model))]
            torch.testing.assert_close(both_reference[0].logps, both_reference[1].logps, atol=2e-2, rtol=2e-2)
        optimizer.step()
    assert not scores.refused and len(scores.passes) == (2 if adapters else 1)


def _plain_scores(model: nn.Module) -> Callable:
    return lambda ids, mask, length: score_completions(model, ids, mask, length, share=False)


@pytest.mark.gpu
def test_dropout_and_recomputed_activations_are_not_recorded_on_a_gpu() -> None:
    ids = batch()[0].cuda()
    model = made(gpt2).to("cuda").train()
    assert not RecordedScores(model, LENGTH, PAD)._possible(ids)
    assert RecordedScores(model.eval(), LENGTH, PAD)._possible(ids)
    recomputing = made(llama).to("cuda").train()
    recomputing.gradient_checkpointing_enable()
    assert not RecordedScores(recomputing, LENGTH, PAD)._possible(ids)


@pytest.mark.gpu
def test_a_model_that_looks_at_the_cpu_in_its_pass_is_said_on_a_gpu(caplog: pytest.LogCaptureFixture) -> None:
    model = without_dropout(bloom).to("cuda")  # its slopes of positions are made on the CPU
    scores = RecordedScores(model, LENGTH, PAD)
    for _ in range(2):
        mine, other = both(model, scores, "cuda")
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)
    assert scores.refused and caplog.text.count("updates are not recorded") == 1
