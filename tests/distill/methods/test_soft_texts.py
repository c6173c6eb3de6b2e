"""The estimator's parts; its gradient as a whole is compared with one written by hand in `test_t3`."""

import torch

from distill.common.seeding import random_generator
from distill.embedded import word_table
from distill.methods.rewriter import RewrittenTokens
from distill.methods.soft_texts import embed_choice, embed_texts, gumbel_choice, score_loss, soft_choice
from distill.methods.token_map import map_tokens
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.rewriters import rewriter_tokenizer
from tests.distill.tiny import WORDS

FAR = 1e9  # a forbidden token


def test_noise_given_the_choice_is_gumbel_noise() -> None:
    """Soft choices have the mean that noise first, choice second gives, and always agree with the token."""
    logits = torch.tensor([0.3, -1.0, 1.2, -FAR]).expand(40_000, -1)
    tokens = torch.multinomial(logits.softmax(dim=-1), 1, generator=random_generator(0, "draw")).squeeze(1)
    soft = soft_choice(logits[:, None], tokens[:, None], 0.5, random_generator(0, "noise"))[:, 0]
    chosen, reference = gumbel_choice(logits, 0.5, random_generator(1, "noise"))
    assert torch.equal(soft.argmax(dim=1), tokens)
    assert torch.allclose(soft.mean(dim=0), reference.mean(dim=0), atol=0.01)
    assert torch.allclose(soft.std(dim=0), reference.std(dim=0), atol=0.01)
    assert (soft[:, 3] == 0).all() and soft.isfinite().all()


def test_tokens_that_were_not_drawn_get_no_gradient(teacher: TransformersTeacher) -> None:
    tokenizer = rewriter_tokenizer(WORDS)
    mapped = map_tokens(tokenizer, teacher.tokenizer, len(tokenizer), "teacher")
    table = mapped.table(word_table(teacher.model))
    ids = torch.tensor([[5, 6, 1]])
    tokens = RewrittenTokens(ids, torch.ones(1, 3, dtype=torch.bool), torch.tensor([[True, True, False]]))
    soft = torch.full((1, 3, len(tokenizer)), 0.1, requires_grad=True)
    embedded, mask = embed_texts(tokens, soft, table, teacher.model, mapped)
    embedded.sum().backward()
    assert mask.tolist() == [[1, 1, 1, 1]]
    assert soft.grad is not None and soft.grad[0, :2].abs().sum() > 0 and not soft.grad[0, 2].any()
    assert torch.equal(embedded[0, [0, 3]], word_table(teacher.model)[[2, 3]])  # [CLS] and [SEP]


def test_score_loss_has_the_gradient_of_the_expected_loss() -> None:
    logits = torch.tensor([0.5, -0.5, 1.0], requires_grad=True)
    values = torch.tensor([3.0, 1.0, 2.0])
    (expected,) = torch.autograd.grad((logits.softmax(dim=0) * values).sum(), logits)
    draws = torch.multinomial(
        logits.detach().softmax(dim=0), 4 * 20_000, replacement=True, generator=random_generator(0, "draw")
    )
    # In batches of four, so that a baseline that was not left out would show: it shrinks the gradient by a quarter.
    found = torch.zeros(3)
    for batch in draws.view(20, 1000, 4):
        log_probs = logits.log_softmax(dim=0)[batch]
        loss = sum(score_loss(values[row], row_log_probs) for row, row_log_probs in zip(batch, log_probs, strict=True)) / 1000
        found += torch.autograd.grad(loss, logits)[0] / 20
    assert torch.allclose(found, expected, atol=0.012)
    assert expected.abs().max() > 0.15


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
