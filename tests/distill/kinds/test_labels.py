"""Several labels per text: the numbers against scikit-learn, SciPy and PyTorch's own loss."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, rel_entr
from torch.nn.functional import binary_cross_entropy_with_logits

from distill.kinds.labels import MULTI_LABEL


def random_logits(seed: int, rows: int = 6, labels: int = 4, scale: float = 4.0) -> torch.Tensor:
    return torch.randn(rows, labels, generator=torch.Generator().manual_seed(seed)) * scale


@given(st.integers(0, 10**6), st.integers(1, 20), st.floats(0.1, 50))
def test_terms_stay_between_zero_and_one(seed: int, labels: int, scale: float) -> None:
    z, other = random_logits(seed, 6, labels, scale), random_logits(seed + 1, 6, labels, scale)
    targets = torch.arange(6) % (labels + 1) - 1
    terms = (MULTI_LABEL.confidence(z, targets), MULTI_LABEL.certainty(z), MULTI_LABEL.disagreement(z, other))
    for term in terms:
        assert ((term >= 0) & (term <= 1)).all()


def test_the_loss_is_torchs_cross_entropy_less_its_least_value() -> None:
    teacher, student = random_logits(0), random_logits(1)
    soft = (teacher / 2).sigmoid()
    least = binary_cross_entropy_with_logits(teacher / 2, soft)
    expected = 4 * (binary_cross_entropy_with_logits(student / 2, soft) - least)
    torch.testing.assert_close(MULTI_LABEL.loss(student, teacher, 2.0, 0.0), expected)
    torch.testing.assert_close(MULTI_LABEL.loss(teacher, teacher, 2.0, 0.0), torch.tensor(0.0), atol=1e-6, rtol=0)
    hard = binary_cross_entropy_with_logits(student, (teacher > 0).float())
    torch.testing.assert_close(MULTI_LABEL.loss(student, teacher, 2.0, 1.0), hard)


@given(st.integers(0, 10**6))
def test_the_divergence_is_scipys_relative_entropy(seed: int) -> None:
    teacher, student = random_logits(seed), random_logits(seed + 1)
    p, q = expit(teacher.double().numpy()), expit(student.double().numpy())
    expected = (rel_entr(p, q) + rel_entr(1 - p, 1 - q)).mean(axis=1)
    np.testing.assert_allclose(MULTI_LABEL.divergence(teacher, student).numpy(), expected, rtol=1e-4, atol=1e-6)


def test_every_label_is_a_decision_and_a_text_belongs_to_the_likeliest() -> None:
    z = torch.tensor([[3.0, -1.0, 1.0], [-2.0, -1.0, -3.0]])
    assert MULTI_LABEL.decisions(z).tolist() == [[1, 0, 1], [0, 0, 0]]
    assert MULTI_LABEL.group(z).tolist() == [0, 1]


def test_an_unusable_answer_gives_no_number() -> None:
    z = random_logits(0)
    z[2] = torch.nan
    targets = torch.zeros(6, dtype=torch.long)
    for term in (MULTI_LABEL.confidence(z, targets), MULTI_LABEL.certainty(z), MULTI_LABEL.disagreement(z, z * 1)):
        assert term.isnan().tolist() == [False, False, True, False, False, False]


def test_black_box_probabilities_are_read_and_those_of_one_class_are_told() -> None:
    answers, problem = MULTI_LABEL.read(np.array([[0.9, 0.8], [0.0, 1.0], [1.2, 0.1]]))
    assert "probabilities between 0 and 1, such as [1.2 0.1]" in problem
    torch.testing.assert_close(answers[:2].sigmoid(), torch.tensor([[0.9, 0.8], [0.0, 1.0]]), atol=1e-6, rtol=0)
    assert answers[2].isnan().all()
    softmax = random_logits(0, rows=9).softmax(dim=1)
    assert "all of its 9 answers add up to 1" in fault(softmax.logit())
    assert "answers add up to 1" in fault(MULTI_LABEL.read(softmax.bfloat16().double().numpy())[0])  # within its rounding
    assert fault(random_logits(0, rows=9)) == ""
    assert fault(softmax[:3].logit()) == ""  # so few may do so by chance
    assert fault(torch.cat([softmax.logit(), torch.tensor([[3.0, 3.0, -1.0, 0.0]])])) == ""  # one settles it
    hard, _ = MULTI_LABEL.read(np.eye(4)[[0, 1, 2] * 5])  # texts that have one label each say nothing
    assert fault(hard) == "" and "all of its 9" in fault(torch.cat([hard, softmax.logit()]))


def fault(answers: torch.Tensor) -> str:
    return MULTI_LABEL.fault(*MULTI_LABEL.doubts(answers), answers)


@pytest.mark.parametrize(("target", "wanted"), [(0, 1.0), (1, 0.0), (-1, 0.5)])
def test_confidence_is_of_the_label_asked_for(target: int, wanted: float) -> None:
    z = torch.tensor([[60.0, 0.0]])  # certain of the first, even odds of the second
    assert MULTI_LABEL.confidence(z, torch.tensor([target])).item() == pytest.approx(wanted, abs=1e-6)
