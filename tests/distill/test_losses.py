import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from distill.losses import entropy, hard_label_loss, hidden_state_loss, kd_loss, kl, layer_pairs


def softmax(x: np.ndarray) -> np.ndarray:
    shifted = np.exp(x - x.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def kd_reference(student: np.ndarray, teacher: np.ndarray, temperature: float) -> np.ndarray:
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    return temperature**2 * (p * (np.log(p) - np.log(q))).sum(axis=1)


def logits(seed: int, rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(0, 3, (rows, classes)), random.normal(0, 3, (rows, classes))


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(2, 7), st.floats(0.5, 8))
def test_kd_loss_is_the_float64_formula(seed: int, rows: int, classes: int, temperature: float) -> None:
    student, teacher = logits(seed, rows, classes)
    weights = np.random.default_rng(seed + 1).uniform(0.1, 2, rows)
    expected = kd_reference(student, teacher, temperature)
    tensors = [torch.tensor(x, dtype=torch.float32) for x in (student, teacher, weights)]
    assert kd_loss(*tensors[:2], temperature).item() == pytest.approx(expected.mean(), rel=1e-4, abs=1e-5)
    weighted = (weights * expected).sum() / weights.sum()
    assert kd_loss(*tensors[:2], temperature, tensors[2]).item() == pytest.approx(weighted, rel=1e-4, abs=1e-5)


def test_kd_loss_takes_logits_and_log_probabilities_alike() -> None:
    student, teacher = (torch.tensor(x) for x in logits(0, 5, 4))
    assert kd_loss(student, teacher, 2.0).item() == pytest.approx(
        kd_loss(student, teacher.log_softmax(1), 2.0).item(), rel=1e-5
    )
    assert kd_loss(teacher + 7, teacher, 3.0).item() == pytest.approx(0, abs=1e-5)


def test_kd_gradient_is_temperature_times_the_difference_of_probabilities() -> None:
    # d/dz of tau^2 KL = tau (q - p), Hinton et al. section 2.
    student, teacher = logits(1, 3, 4)
    leaf = torch.tensor(student, dtype=torch.float32, requires_grad=True)
    kd_loss(leaf, torch.tensor(teacher), 4.0).backward()
    expected = 4.0 * (softmax(student / 4.0) - softmax(teacher / 4.0)) / 3
    assert leaf.grad is not None
    np.testing.assert_allclose(leaf.grad.numpy(), expected, atol=1e-5)


def test_kd_gradient_hardly_depends_on_the_temperature_when_it_is_high() -> None:
    student, teacher = (torch.tensor(x, dtype=torch.float32) for x in logits(2, 8, 4))
    norms = []
    for temperature in (50.0, 100.0):
        leaf = student.clone().requires_grad_(True)
        kd_loss(leaf, teacher, temperature).backward()
        assert leaf.grad is not None
        norms.append(leaf.grad.norm().item())
    assert norms[0] == pytest.approx(norms[1], rel=0.1)


def test_confident_bf16_student_stays_finite() -> None:
    student = torch.tensor([[80.0, -80.0]], dtype=torch.bfloat16)
    assert torch.isfinite(kd_loss(student, torch.tensor([[1e-7, 1.0]]).log(), 1.0))


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(2, 7))
def test_hard_label_loss_is_the_float64_formula(seed: int, rows: int, classes: int) -> None:
    student, teacher = logits(seed, rows, classes)
    expected = -np.log(softmax(student)[np.arange(rows), teacher.argmax(axis=1)]).mean()
    found = hard_label_loss(torch.tensor(student), torch.tensor(teacher)).item()
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_hidden_state_loss_is_the_float64_formula() -> None:
    random = np.random.default_rng(0)
    student = [random.normal(size=(2, 5, 3)) for _ in range(2)]
    teacher = [random.normal(size=(2, 5, 4)) for _ in range(2)]
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    projection = nn.Linear(3, 4, bias=False)
    matrix = projection.weight.detach().double().numpy()
    real = mask.astype(bool)
    expected = np.mean([((s @ matrix.T - t)[real] ** 2).mean() for s, t in zip(student, teacher, strict=True)])
    found = hidden_state_loss(
        [torch.tensor(s).float() for s in student],
        [torch.tensor(t).float() for t in teacher],
        torch.tensor(mask),
        projection,
    )
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_hidden_state_loss_ignores_padding() -> None:
    states = torch.randn(1, 4, 3)
    other = states.clone()
    other[0, 2:] = 99.0
    assert hidden_state_loss([states], [other], torch.tensor([[1, 1, 0, 0]])).item() == 0.0


@given(st.integers(1, 24), st.integers(1, 24))
def test_layer_pairs_spread_over_the_teacher_and_end_together(student: int, teacher: int) -> None:
    pairs = layer_pairs(student, teacher)
    assert [mine for mine, _ in pairs] == list(range(1, student + 1))
    theirs = [t for _, t in pairs]
    assert theirs == sorted(theirs)
    assert theirs[0] >= 1
    assert theirs[-1] == teacher


def test_kl_and_entropy_of_known_distributions() -> None:
    p, q = torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    logs = p.clamp_min(1e-30).log()
    assert torch.allclose(kl(logs, q.log()), torch.tensor([0.143841, 0.693147]), atol=1e-5)
    assert torch.allclose(entropy(logs), torch.tensor([0.693147, 0.0]), atol=1e-5)
