"""Drawing from truncated distributions against their definition and against transformers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from distill.common.seeding import random_generator
from prompter.decoding.sampling import DRAWS, VOCABULARY_BLOCK, draw_tokens

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
