"""The masked-embedding loss: what is hidden, what it measures, and that it can be learnt."""

import pytest
import torch

from distill.common.encode import NARROWEST
from distill.common.seeding import random_generator
from distill.embedded import padding_mask, word_table
from distill.masked_embeddings import MaskedEmbeddings
from distill.student import Student, load_student
from tests.distill.tiny import LABELS, make_tokenizer


@pytest.fixture(params=[32, NARROWEST])  # of the wider one, the last layer computes the hidden positions alone
def student(request: pytest.FixtureRequest) -> Student:
    spec = f"bert:layers=1,hidden={request.param}"
    return load_student(spec, labels=LABELS, tokenizer=make_tokenizer(), device="cpu")


def test_inner_positions_are_hidden_at_their_share(student: Student) -> None:
    term = MaskedEmbeddings(student, 1.0, 0.3, seed=0)
    lengths = torch.randint(3, 21, (2000,), generator=random_generator(0, "lengths"))
    mask = padding_mask(lengths, 20)
    hidden = term.choose(mask, "test", 0)
    assert not hidden[:, 0].any()
    assert not hidden[torch.arange(2000), lengths - 1].any()
    assert not (hidden & ~mask.bool()).any()
    assert hidden.any(dim=1).all()
    long = lengths > 15
    assert float(hidden[long].sum() / (lengths[long] - 2).sum()) == pytest.approx(0.3, abs=0.02)
    assert torch.equal(hidden, term.choose(mask, "test", 0))
    assert not torch.equal(hidden, term.choose(mask, "test", 1)) and not torch.equal(hidden, term.choose(mask, "other", 0))


def test_a_text_of_two_special_tokens_has_nothing_to_hide(student: Student) -> None:
    mask = padding_mask(torch.tensor([2, 5]), 5)
    assert MaskedEmbeddings(student, 1.0, 0.5, seed=0).choose(mask, "test", 0).any(dim=1).tolist() == [False, True]


def test_loss_equals_a_hand_written_one(student: Student) -> None:
    term = MaskedEmbeddings(student, 0.5, 0.3, seed=0)
    table = word_table(student.model)
    assert torch.equal(term.mask_embedding, table.mean(dim=0))  # this tokenizer has no mask token
    embeddings = table[torch.randint(4, len(table), (3, 8), generator=random_generator(0, "ids"))]
    mask = padding_mask(torch.tensor([8, 6, 3]), 8)
    hidden = term.choose(mask, "update", 7)
    distances = []
    for row, column in hidden.nonzero().tolist():
        seen = embeddings[row].clone()
        seen[hidden[row]] = table.mean(dim=0)
        length = int(mask[row].sum())
        with torch.no_grad():
            state = student.model.bert(inputs_embeds=seen[None, :length]).last_hidden_state[0, column]
            guess = term.head.weight @ state + term.head.bias
        target = (embeddings[row, column] - table.mean(dim=0)) / table.std(dim=0)
        distances.append(1 - float(guess @ target / guess.norm() / target.norm()))
    assert len(distances) > 3
    loss = term.loss(student.model, embeddings, mask, hidden)
    assert float(loss.detach()) == pytest.approx(sum(distances) / len(distances), abs=1e-5)
    inputs = {"inputs_embeds": embeddings, "attention_mask": mask}
    assert float(term.update_loss(student.model, inputs, 7).detach()) == pytest.approx(0.5 * float(loss.detach()), abs=1e-5)


def test_the_mask_token_is_used_where_there_is_one() -> None:
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"mask_token": "[MASK]"})
    student = load_student("bert:layers=1,hidden=16,heads=1", labels=LABELS, tokenizer=tokenizer, device="cpu")
    term = MaskedEmbeddings(student, 1.0, 0.3, seed=0)
    assert torch.equal(term.mask_embedding, word_table(student.model)[tokenizer.mask_token_id])


def test_what_can_be_guessed_is_learnt(student: Student) -> None:
    """Samples that repeat one word: whoever reads the rest knows what is hidden. At first, nothing is known."""
    term = MaskedEmbeddings(student, 1.0, 0.3, seed=0)
    table = word_table(student.model)
    optimizer = torch.optim.AdamW([*student.model.parameters(), *term.parameters()], lr=3e-3)
    mask = padding_mask(torch.full((32,), 8), 8)
    losses = []
    for step in range(60):
        words = torch.randint(4, len(table), (32, 1), generator=random_generator(0, "words", step)).expand(-1, 8)
        loss = term.update_loss(student.model, {"inputs_embeds": table[words], "attention_mask": mask}, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(1.0, abs=0.15)
    assert sum(losses[-5:]) / 5 < 0.6
    assert "head.weight" in term.state_dict() and not any(name.startswith("mean") for name in term.state_dict())
