"""Texts one can differentiate: what classifiers read through their embeddings, and the gradients of choices."""

from pathlib import Path

import pytest
import torch

from distill.common.seeding import random_generator
from distill.embedded import classify, word_table
from distill.methods.relaxed import embed_choice, entropy, gumbel_choice, kl
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import random_texts


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta"])
def test_embedded_tokens_are_answered_as_tokens(family: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(f"{family}_folder")
    teacher = TransformersTeacher(folder, "cpu")
    inputs = teacher.tokenizer(random_texts(12, 0, 1, 20), padding=True, padding_side="right", return_tensors="pt")
    mask = inputs["attention_mask"]
    assert 0 in mask
    embeddings = word_table(teacher.model)[inputs["input_ids"]]
    with torch.no_grad():
        expected = teacher.model(input_ids=inputs["input_ids"], attention_mask=mask).logits.log_softmax(1)
        predictions = classify(teacher.model, embeddings, mask)
        # Padding is not looked at, so what stands there is of no consequence.
        noisy = torch.where(mask[..., None].bool(), embeddings, torch.full_like(embeddings, 3.0))
        assert torch.allclose(classify(teacher.model, noisy, mask), expected, atol=1e-5)
    assert torch.allclose(predictions, expected, atol=1e-5)
    assert len(expected.unique(dim=0)) == 12  # different texts, different answers


def test_choices_are_draws_from_the_distribution() -> None:
    logits = torch.tensor([0.1, 0.6, 0.3]).log().expand(20_000, 3)
    tokens, soft = gumbel_choice(logits, 0.7, random_generator(0, "choice"))
    shares = torch.bincount(tokens, minlength=3) / 20_000
    assert torch.allclose(shares, torch.tensor([0.1, 0.6, 0.3]), atol=0.015)
    assert torch.equal(soft.argmax(dim=1), tokens)
    assert torch.allclose(soft.sum(dim=1), torch.ones(20_000), atol=1e-5)
    again, _ = gumbel_choice(logits, 0.7, random_generator(0, "choice"))
    assert torch.equal(tokens, again)
    likeliest, plain = gumbel_choice(logits[:2], 1.0, None)
    assert likeliest.tolist() == [1, 1]
    assert torch.allclose(plain, logits[:2].exp())


def test_straight_through_gradient_equals_a_hand_written_one() -> None:
    source = random_generator(0, "gradient")
    logits = torch.randn(4, 7, generator=source).requires_grad_(True)
    table, upstream = torch.randn(7, 5, generator=source), torch.randn(4, 5, generator=source)
    temperature = 0.6
    tokens, soft = gumbel_choice(logits, temperature, random_generator(1, "noise"))
    embedded = embed_choice(tokens, soft, table)
    assert torch.allclose(embedded, table[tokens], atol=1e-6)  # forward: the tokens themselves
    (embedded * upstream).sum().backward()
    # Backward: dL/dsoft = upstream @ table^T, then the softmax's Jacobian, row by row.
    noise = -torch.empty(4, 7).exponential_(generator=random_generator(1, "noise")).log()
    for row in range(4):
        p = ((logits[row].detach() + noise[row]) / temperature).softmax(dim=0)
        jacobian = (torch.diag(p) - torch.outer(p, p)) / temperature
        expected = jacobian @ (table @ upstream[row])
        assert logits.grad is not None
        assert torch.allclose(logits.grad[row], expected, atol=1e-5)
    assert float(logits.grad.abs().max()) > 0.01


def test_kl_and_entropy_of_known_distributions() -> None:
    p, q = torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    logs = p.clamp_min(1e-30).log()
    assert torch.allclose(kl(logs, q.log()), torch.tensor([0.143841, 0.693147]), atol=1e-5)
    assert torch.allclose(entropy(logs), torch.tensor([0.693147, 0.0]), atol=1e-5)
