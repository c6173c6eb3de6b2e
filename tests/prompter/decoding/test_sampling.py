"""Drawing from truncated distributions against their definition and against transformers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from distill.common.seeding import random_generator
from prompter.decoding.sampling import DRAWS, FEW, VOCABULARY_BLOCK, draw_tokens

# A table with ties, a tied top, a dominating token, a flat row, and one with impossible tokens.
TABLE = torch.stack(
    [
        torch.linspace(3, -3, 12),
        torch.tensor([2.0, 2.0, 2.0, 1, 1, 1, 0, 0, 0, -1, -1, -1]),
        torch.tensor([9.0] + [0.0] * 11),
        torch.zeros(12),
        torch.tensor([-torch.inf, 1, 2, -torch.inf, 0, 1, 2, 3, -torch.inf, -5, 0.5, 0.25]),
    ]
)


def truncated(logits: Tensor, temperature: float, top_k: int, top_p: float) -> Tensor:
    """The exact distribution (V,) by the definition, token by token, in float64."""
    p = (logits.double() / temperature).softmax(-1)
    if top_k:
        p = torch.stack([x if (p > x).sum() < top_k else torch.zeros_like(x) for x in p])
        p = p / p.sum()
    kept = torch.stack([x if p[p > x].sum() < top_p - 1e-12 else torch.zeros_like(x) for x in p])
    return kept / kept.sum()


SAMPLING = [(1, 0, 1), (1, 0, 0.9), (1, 0, 0.3), (0.7, 0, 0.95), (1.5, 5, 1), (1, 1, 1), (1, 4, 0.6), (1, 2, 0.01)]


@pytest.mark.parametrize(("temperature", "top_k", "top_p"), SAMPLING)
@pytest.mark.parametrize("row", range(len(TABLE)))
def test_sampling_follows_the_exact_distribution(row: int, temperature: float, top_k: int, top_p: float) -> None:
    draws = 20_000
    expected = truncated(TABLE[row], temperature, top_k, top_p)
    weights = (TABLE[row] / temperature).softmax(-1).expand(draws, -1).contiguous()
    uniforms = torch.rand(draws, DRAWS, dtype=torch.float64, generator=random_generator(0, "draws"))
    counts = draw_tokens(weights, uniforms, top_k=top_k, top_p=top_p).bincount(minlength=12).double()
    assert (counts[expected == 0] == 0).all()
    possible = expected > 0
    chi_square = ((counts - draws * expected)[possible].square() / (draws * expected[possible])).sum()
    freedom = int(possible.sum()) - 1
    assert chi_square < freedom + 5 * (2 * freedom) ** 0.5 + 1e-6
    assert (counts / draws - expected).abs().sum() / 2 < 0.02


@pytest.mark.parametrize(("temperature", "top_k", "top_p"), SAMPLING)
def test_the_exact_distribution_is_that_of_transformers(temperature: float, top_k: int, top_p: float) -> None:
    logits = torch.randn(1, 40, generator=random_generator(0, "logits")) * 2  # no ties: there transformers picks by position
    scores = TemperatureLogitsWarper(float(temperature))(None, logits)
    scores = TopKLogitsWarper(top_k)(None, scores) if top_k else scores
    scores = TopPLogitsWarper(float(top_p))(None, scores) if top_p < 1 else scores
    expected = truncated(logits[0], temperature, top_k, top_p)
    torch.testing.assert_close(scores[0].double().softmax(-1), expected, rtol=1e-4, atol=1e-6)


def test_sampling_from_a_large_vocabulary() -> None:
    vocabulary = 3 * VOCABULARY_BLOCK + 17
    p = torch.randn(vocabulary, generator=random_generator(0, "p")).mul(2).softmax(-1)
    uniforms = torch.rand(60_000, DRAWS, dtype=torch.float64, generator=random_generator(0, "u"))
    counts = draw_tokens(p.expand(60_000, -1).contiguous(), uniforms, top_p=0.8).bincount(minlength=vocabulary).double()
    expected = 60_000 * truncated(p.log(), 1, 0, 0.8)
    assert (counts[expected == 0] == 0).all()
    likely = expected > 5
    chi_square = ((counts - expected)[likely].square() / expected[likely]).sum()
    assert chi_square < likely.sum() + 5 * (2 * likely.sum()) ** 0.5


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 5),
    vocabulary=st.integers(1, 2 * VOCABULARY_BLOCK + 3),
    spread=st.sampled_from([0.0, 1.0, 5.0, 60.0]),
    top_k=st.integers(0, 9) | st.integers(10, 2 * VOCABULARY_BLOCK),
    top_p=st.sampled_from([1e-6, 0.2, 0.9, 0.999, 1.0]),
    edge=st.sampled_from([None, 0.0, 1 - 2**-53]),
    seed=st.integers(0, 10_000),
)
def test_no_draw_leaves_the_truncated_set(rows, vocabulary, spread, top_k, top_p, edge, seed) -> None:
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, vocabulary, generator=random) * spread
    logits[:, 1::3] = -torch.inf  # forbidden tokens
    weights = logits.softmax(-1)
    uniforms = torch.rand(rows, DRAWS, dtype=torch.float64, generator=random)
    if edge is not None:
        uniforms.fill_(edge)
    tokens = draw_tokens(weights, uniforms, top_k=top_k, top_p=top_p)
    for token, row in zip(tokens.tolist(), weights.double(), strict=True):
        likelier = row > row[token]
        assert row[token] > 0
        assert top_k == 0 or likelier.sum() < top_k
        kept = row[row >= row.sort(descending=True).values[min(top_k or vocabulary, vocabulary) - 1]].sum()
        assert row[likelier].sum() <= top_p * kept + 1e-5


@pytest.mark.parametrize("vocabulary", [5, VOCABULARY_BLOCK + 1, 2 * VOCABULARY_BLOCK + 3])
def test_each_token_has_its_share_of_the_unit_interval(vocabulary: int) -> None:
    """Also in the last block, which is not full: against the cumulative sum of the whole row in float64."""
    weights = torch.rand(1, vocabulary, generator=random_generator(0, "weights"))
    weights[:, -3:] = vocabulary / 8  # the last tokens are likely
    grid = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    cumulative = weights[0].double().cumsum(0)
    expected = torch.searchsorted(cumulative, grid * cumulative[-1], right=True)
    found = draw_tokens(weights.expand(4000, -1).contiguous(), grid[:, None].expand(-1, DRAWS).contiguous())
    assert torch.equal(found, expected)


@pytest.mark.parametrize("top_k", [0, 4])
def test_a_row_draws_what_it_draws_alone(top_k: int) -> None:
    """Whatever the other rows reject, and whatever the scale of their weights is."""
    weights = torch.randn(64, 40, generator=random_generator(0, "logits")).mul(2).softmax(-1)
    uniforms = torch.rand(64, DRAWS, dtype=torch.float64, generator=random_generator(0, "alone"))
    alone = [draw_tokens(weights[i : i + 1], uniforms[i : i + 1], top_k=top_k, top_p=0.4) for i in range(64)]
    scaled = weights * (torch.arange(64) - 32).exp2()[:, None]
    assert torch.equal(draw_tokens(scaled, uniforms, top_k=top_k, top_p=0.4), torch.cat(alone))


@pytest.mark.parametrize(("top_p", "kept"), [(0.5, 1), (0.5625, 2), (0.75, 2), (0.875, 3)])
def test_the_last_draw_keeps_what_the_others_keep(top_p: float, kept: int) -> None:
    """It is from the sorted row. A token of which the likelier ones hold just the share is outside."""
    weights = torch.tensor([[0.125, 0.5, 0.25, 0.0625, 0.0625]])
    likely = [1, 2, 0, 3, 4]
    share = weights[0, likely[:kept]].sum()
    grid = torch.arange(0, 1, 1 / 64, dtype=torch.float64)
    uniforms = torch.full((64, DRAWS), 1 - 2**-30, dtype=torch.float64)  # falls on the last token, again and again
    uniforms[:, -1] = grid
    counts = draw_tokens(weights.expand(64, -1).contiguous(), uniforms, top_p=top_p).bincount(minlength=5)
    expected = [round(64 * float(weights[0, token] / share)) if token in likely[:kept] else 0 for token in range(5)]
    assert [abs(int(count) - wanted) <= 1 for count, wanted in zip(counts, expected, strict=True)] == [True] * 5
    assert counts[likely[kept:]].sum() == 0


@pytest.mark.parametrize("top_k", [1, 2, FEW, FEW + 1, 598, 599, 600, 601])
def test_top_k_keeps_k_tokens(top_k: int) -> None:
    """However the k-th largest is found."""
    weights = torch.linspace(2, 1, 600).expand(2, -1).contiguous()
    edges = torch.tensor([[0.0], [1 - 2**-53]], dtype=torch.float64).expand(-1, DRAWS).contiguous()
    assert draw_tokens(weights, edges, top_k=top_k).tolist() == [0, min(top_k, 600) - 1]


def test_rare_tokens_are_drawn() -> None:
    """In float32 the sum of one and a billionth is one."""
    weights = torch.full((1, 101), 1e-9)
    weights[0, 0] = 1.0
    uniform = torch.tensor([1 - 50.5e-9 / (1 + 100e-9)], dtype=torch.float64)
    assert draw_tokens(weights, uniform[:, None].expand(-1, DRAWS).contiguous()).item() == 50
