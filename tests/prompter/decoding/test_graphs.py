"""The recorded pass of a token: on a CPU without the recording, on a GPU with it."""

import logging
from collections.abc import Callable

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from peft import LoraConfig, get_peft_model
from torch import nn

from prompter.decoding import graphs, loop
from prompter.decoding.graphs import FixedPrefix, FixedStep
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

    monkeypatch.setattr(loop, "can_record", lambda model, cache: model not in graphs._refused)
    monkeypatch.setattr(FixedStep, "record", lambda step, column: None)
    monkeypatch.setattr(FixedPrefix, "record", lambda begun: None)
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


def test_a_kept_pass_serves_the_next_batch_of_its_shape(passes: list[int]) -> None:
    model, other = made(llama), made(gpt2)
    ids, mask = prompts(6)
    ids[:, -1] = 9  # other prompts of the same lengths
    arguments = dict(max_new_tokens=24, eos_token_ids=[3], pad_token_id=PAD, top_p=0.9)
    written(model, shared=False, return_hidden_states=False)
    (step,) = graphs._kept[model].values()
    later = decode(model, ids, mask, random=torch.Generator().manual_seed(1), **arguments)
    assert list(graphs._kept[model].values()) == [step] and graphs._kept.get(other) is None
    graphs._refused.add(model)
    plain = decode(model, ids, mask, random=torch.Generator().manual_seed(1), **arguments)
    assert torch.equal(later.tokens, plain.tokens)
    torch.testing.assert_close(later.logprobs, plain.logprobs, atol=1e-4, rtol=1e-4)


def test_a_pass_is_kept_for_each_of_the_latest_shapes_only(passes: list[int]) -> None:
    model = made(llama)
    for tokens in (20, 24, 28, 24):
        written(model, max_new_tokens=tokens, return_hidden_states=False)
    assert [len(step.columns) for step in graphs._kept[model].values()] == [28 + 9, 24 + 9]  # after 9 columns of prompts
    graphs.forget(model)
    assert model not in graphs._kept


def after_prefixes(model: nn.Module, rows: list[list[int]], own: bool = True) -> loop.Decoded:
    """Continue rows that share their first tokens, and have others of their own or none."""
    ids, mask = prompts(len(rows))
    return decode(
        model, ids if own else ids[:, :0], mask if own else mask[:, :0], max_new_tokens=20, eos_token_ids=[], pad_token_id=PAD,
        random=torch.Generator().manual_seed(0), prefix=Prefix.of(rows, PAD, torch.device("cpu")), return_hidden_states=True,
    )  # fmt: skip


@pytest.mark.parametrize("own", [True, False])
def test_a_kept_pass_of_shared_tokens_serves_batches_of_other_tokens_and_sizes(
    own: bool, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, begun = made(llama), []
    call = FixedPrefix.__call__
    monkeypatch.setattr(FixedPrefix, "__call__", lambda one, *given: begun.append(one) or call(one, *given))
    batches = [[[5, 6, 7], [8, 9]] * 3, [[9, 5], [6, 7, 8]] * 2, [[4, 4, 4], [4, 4, 4], [1, 2]]]
    found = [after_prefixes(model, rows, own) for rows in batches]
    (kept,) = graphs._prefixes[model].values()
    assert set(begun) == {kept}
    graphs._refused.add(model)
    for rows, one in zip(batches, found, strict=True):
        plain = after_prefixes(model, rows, own)
        assert torch.equal(one.tokens, plain.tokens)
        torch.testing.assert_close(one.hidden_states, plain.hidden_states, atol=1e-4, rtol=1e-4)


def test_passes_of_shared_tokens_are_kept_up_to_a_number(passes: list[int]) -> None:
    model = made(llama)
    for length in range(2, 9):
        after_prefixes(model, [[5] * length, [6] * length])
    assert [key[0] for key in graphs._prefixes[model]] == [(2, length) for length in range(2, 2 + graphs.PREFIXES)]
    graphs.forget(model)
    assert model not in graphs._prefixes


def test_a_model_whose_logits_are_zero_is_recorded(passes: list[int]) -> None:
    model = made(llama)
    torch.nn.init.zeros_(model.lm_head.weight)
    after_prefixes(model, [[5, 6, 7], [8, 9]])
    assert model not in graphs._refused and model in graphs._checked and graphs._prefixes[model]


def test_a_short_text_is_not_worth_a_recorded_pass(passes: list[int]) -> None:
    model = made(llama)
    decode(
        model, *prompts(2), max_new_tokens=graphs.LEAST_STEPS_KEPT - 1, eos_token_ids=[], pad_token_id=PAD, temperature=0,
        random=None, prefix=Prefix.of([[5], [6]], PAD, torch.device("cpu")),
    )  # fmt: skip
    assert not passes and model not in graphs._prefixes


@pytest.mark.parametrize("fault", ["fails", "differs"])
def test_shared_tokens_whose_pass_cannot_be_recorded_pass_as_usual(
    fault: str, passes: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model, rows, call = made(gpt2), [[5, 6, 7], [8, 9]], FixedPrefix.__call__

    def fails(begun: FixedPrefix) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        if fault == "fails":
            patch.setattr(FixedPrefix, "record", fails)
        else:
            patch.setattr(FixedPrefix, "__call__", lambda begun, *given: 1.5 * call(begun, *given))
        tried = after_prefixes(model, rows)
    assert caplog.text.count("GPT2LMHeadModel: the pass of the class prompts") == 1 and not graphs._prefixes[model]
    assert len(passes) == 20  # the first is compared, and the token passes are recorded all the same
    assert torch.equal(tried.tokens, after_prefixes(model, rows).tokens)


def test_a_pass_with_other_adapters_or_weights_is_not_reused(passes: list[int]) -> None:
    adapted = get_peft_model(made(llama), LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    model = adapted.get_base_model()
    on = written(adapted, return_hidden_states=False)
    with adapted.disable_adapter():
        off = written(adapted, return_hidden_states=False)
    assert len(graphs._kept[model]) == 2 and not torch.equal(on.tokens, off.tokens)
    assert torch.equal(on.tokens, written(adapted, return_hidden_states=False).tokens)
    before = list(graphs._kept[model])
    model.lm_head.weight = torch.nn.Parameter(-model.lm_head.weight)
    assert not torch.equal(on.tokens, written(adapted, return_hidden_states=False).tokens)
    assert list(graphs._kept[model])[-1] not in before


def test_a_pass_is_not_kept_where_accelerate_stores_converted_weights(passes: list[int]) -> None:
    adapted = get_peft_model(made(llama), LoraConfig(r=2, target_modules="all-linear"))
    model = adapted.get_base_model()
    adapted._original_forward = adapted.forward  # the mark that accelerate leaves
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "is_autocast_enabled", lambda device: True)
        written(adapted, return_hidden_states=False)
        assert passes and not graphs._kept[model]
        adapted.forward = vars(adapted).pop("_original_forward")  # as `PPOTrainer` does
        written(adapted, return_hidden_states=False)
        assert len(graphs._kept[model]) == 1


@pytest.mark.parametrize("build", [mistral, bloom])
def test_other_caches_and_models_without_positions_take_growing_passes(
    build: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made(build)
    assert not graphs.can_record(model, loop.new_cache(model, 8))  # not on a GPU
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
    assert model not in graphs._refused_prefixes
    assert [begun.recorded for begun in graphs._prefixes[model].values()] == [True]
    graphs._refused.add(model)
    plain = written(model, "cuda")
    assert torch.equal(recorded.tokens, plain.tokens)
    torch.testing.assert_close(recorded.logprobs, plain.logprobs, atol=1e-3, rtol=1e-3)
    greedy = dict(temperature=0.0, random=None)
    assert torch.equal(written(model, "cuda", **greedy).tokens.cpu(), written(model, "cpu", **greedy).tokens)
    assert recorded.tokens.max() < VOCABULARY


@pytest.mark.gpu
def test_a_recorded_pass_is_replayed_for_the_next_batch_and_follows_the_weights_on_a_gpu() -> None:
    model = made(llama)
    first = written(model, "cuda")
    (step,) = graphs._kept[model].values()
    again = written(model, "cuda")
    assert list(graphs._kept[model].values()) == [step]
    assert torch.equal(first.tokens, again.tokens) and torch.equal(first.hidden_states, again.hidden_states)
    with torch.no_grad():
        model.lm_head.weight.mul_(-1)  # as an optimizer does, in place
    changed = written(model, "cuda")
    assert list(graphs._kept[model].values()) == [step]
    graphs._refused.add(model)
    plain = written(model, "cuda")
    assert torch.equal(changed.tokens, plain.tokens) and not torch.equal(first.tokens, plain.tokens)


@pytest.mark.gpu
@pytest.mark.parametrize("prepared", [True, False])
def test_adapters_in_bfloat16_are_followed_on_a_gpu(prepared: bool) -> None:
    adapted = get_peft_model(made(llama), LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)).to("cuda")
    model = adapted.get_base_model()
    if prepared:  # accelerate's own autocast stores converted adapters
        AcceleratorState._reset_state(reset_partial_state=True)
        Accelerator(mixed_precision="bf16").prepare(adapted)
    for _ in range(4):
        with torch.autocast("cuda", dtype=torch.bfloat16):
            recorded = written(adapted, "cuda")
        assert len(graphs._kept[model]) == (0 if prepared else 1)
        torch.cuda.empty_cache()
        graphs._refused.add(model)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            plain = written(adapted, "cuda")
        graphs._refused.discard(model)
        assert torch.equal(recorded.tokens, plain.tokens)
        with torch.no_grad():
            for parameter in adapted.parameters():
                if parameter.requires_grad:
                    parameter.mul_(-1.5)
