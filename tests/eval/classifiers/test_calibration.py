"""Temperature and threshold of a student, against other computations, and the statement that they make, on new texts."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import beta, binom
from torch import Tensor
from transformers import AutoConfig, BertConfig

from distill.common.errors import InputError
from distill.common.seeding import random_generator
from distill.kinds.labels import MULTI_LABEL
from distill.kinds.scores import Score
from distill.kinds.tokens import Tokens
from eval.classifiers.calibration import (
    CALIBRATION_KEY,
    Calibration,
    calibrate,
    confidences,
    coverage,
    fit_temperature,
    lower_bound,
    set_calibration,
    stored_calibration,
)

STORED = Calibration(1.5, 0.8, 0.95, 0.95, 400, 0.6, 0.97, 0.951, 20, "held-out synthetic texts")


def drawn(rows: int, seed: int, spread: float = 3.0, overconfidence: float = 2.0) -> tuple[Tensor, Tensor]:
    """A student and its teacher: the teacher's class is drawn from the student's probabilities at a higher temperature."""
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, 3, generator=random, dtype=torch.float64) * spread
    classes = torch.multinomial(logits.softmax(dim=1), 1, generator=random).flatten()
    teacher = torch.nn.functional.one_hot(classes, 3).double().clamp_min(1e-6).log()
    return (logits * overconfidence).log_softmax(dim=1), teacher


def test_the_temperature_is_where_the_likelihood_has_no_slope() -> None:
    student, teacher = drawn(1000, 0)
    classes = teacher.argmax(dim=1)
    beta = torch.ones((), dtype=torch.float64, requires_grad=True)  # another parameter, and another optimiser
    optimizer = torch.optim.LBFGS([beta], lr=0.5, max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(student * beta, classes)
        loss.backward()
        return loss

    optimizer.step(closure)
    found = fit_temperature(student, classes)
    assert found == pytest.approx(1 / beta.item(), rel=1e-4)
    assert found == pytest.approx(2.0, rel=0.1)  # the student was made twice as sure as it is right


def test_a_student_that_is_always_right_has_a_temperature_all_the_same() -> None:
    student, _ = drawn(100, 0)
    assert fit_temperature(student, student.argmax(dim=1)) == pytest.approx(0.1, abs=1e-3)


def test_the_lower_bound_is_the_share_at_which_so_many_successes_are_unlikely() -> None:
    for successes, trials, confidence in ((57, 60, 0.95), (1, 3, 0.9), (400, 400, 0.9975)):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if binom.sf(successes - 1, trials, middle) < 1 - confidence else (low, middle)
        assert lower_bound(successes, trials, confidence) == pytest.approx(low, abs=1e-9)
    assert lower_bound(0, 0, 0.95) == 0.0 == lower_bound(0, 9, 0.95)


def by_the_description(
    student: Tensor, teacher: Tensor, temperature: float, rate: float, states: int
) -> dict[str, float | None]:
    """The threshold as the module's text says it, line by line."""
    order = torch.randperm(len(student), generator=random_generator(0, "calibration")).numpy()
    fitted, tested = np.split(order, [round(len(order) / 4)])
    sure = softmax(student.numpy() / temperature, axis=1).max(axis=1)
    agrees = student.numpy().argmax(axis=1) == teacher.numpy().argmax(axis=1)

    def bound(successes: int, trials: int) -> float:
        return float(beta.ppf(0.05 / states, successes, trials - successes + 1)) if successes else 0.0

    thresholds = [round(float(np.quantile(sure[fitted], 1 - k / 20)), 9) for k in range(1, 20)] + [0.0]
    promises = []
    for k, threshold in enumerate(thresholds, start=1):
        above, trials = agrees[fitted][sure[fitted] >= threshold], int(k / 20 * len(tested))
        promises.append(bound(int(trials * (above.sum() + 1) / (len(above) + 2)), trials))
    first = int(np.argmax(promises))
    found: dict[str, float | None] = {"threshold": None}
    for threshold in thresholds[first:]:
        above = agrees[tested][sure[tested] >= threshold]
        figures = {
            "coverage": len(above) / len(tested), "agreement": above.mean(), "at_least": bound(int(above.sum()), len(above)),
        }  # fmt: skip
        if figures["at_least"] < rate:
            return found if found["threshold"] is not None else {"threshold": None, **figures}
        found = {"threshold": threshold, **figures}
    return found


@pytest.mark.parametrize("states", [1, 20])
@pytest.mark.parametrize("seed", range(6))
def test_the_threshold_is_found_as_described(seed: int, states: int) -> None:
    student, teacher = drawn(500 + 37 * seed, seed, spread=4.0)
    rate = (0.85, 0.9, 0.93)[seed % 3]
    student = student[student.amax(dim=1).argsort()]  # in an order that says much, as a file may be sorted
    teacher = teacher[drawn(len(teacher), seed, spread=4.0)[0].amax(dim=1).argsort()]
    if seed % 2:
        right = student.argmax(dim=1) == teacher.argmax(dim=1)
        student[right & (torch.arange(len(student)) % 3 > 0)] *= 1000  # as sure as a number can be: many are equal
    found = calibrate(student, teacher, "texts", rate, states)
    assert found is not None and found.coverage is not None
    order = torch.randperm(len(student), generator=random_generator(0, "calibration"))[: round(len(student) / 4)]
    assert found.temperature == pytest.approx(fit_temperature(student[order], teacher[order].argmax(dim=1)), abs=1e-4)
    expected = by_the_description(student, teacher, found.temperature, rate, states)
    assert (found.threshold is None) == (expected["threshold"] is None)
    for name, figure in expected.items():
        assert figure is None or getattr(found, name) == pytest.approx(figure, rel=1e-6), name


def test_nothing_is_tested_after_a_threshold_that_failed() -> None:
    rows = 800
    student = torch.stack([torch.linspace(4, 0.01, rows, dtype=torch.float64), torch.zeros(rows)], dim=1)  # the surest first
    order = torch.randperm(rows, generator=random_generator(0, "calibration"))
    fitted = torch.zeros(rows, dtype=torch.bool)
    fitted[order[: rows // 4]] = True
    place = torch.arange(rows) / rows
    agrees = torch.where(fitted, place < 0.3, (place < 0.3) | (place > 0.4))  # in 90 % of those that test
    teacher = torch.stack([agrees, ~agrees], dim=1).double()
    found = calibrate(student, teacher, "texts", rate=0.85)
    assert found is not None and found.threshold is not None and found.threshold > 0.5
    assert found.coverage == pytest.approx(0.3, abs=0.05) and found.agreement > 0.9


def test_the_statement_holds_on_new_texts_in_95_of_100_draws() -> None:
    fresh, taught = drawn(20_000, 1)
    agrees = fresh.argmax(dim=1) == taught.argmax(dim=1)
    wrong = found = 0
    for seed in range(2, 62):
        calibration = calibrate(*drawn(600, seed), on="texts", rate=0.9)
        assert calibration is not None
        if calibration.threshold is None:
            continue
        found += 1
        wrong += bool(agrees[confidences(fresh, calibration.temperature) >= calibration.threshold].double().mean() < 0.9)
    assert found > 45 and wrong <= 0.05 * 60 + 4, (found, wrong)  # 4: more than two standard errors


def test_more_states_to_choose_from_make_the_statement_harder() -> None:
    student, teacher = drawn(2000, 3)
    one, many = (calibrate(student, teacher, "texts", 0.9, states) for states in (1, 50))
    assert one and many and one.threshold is not None and many.threshold is not None
    assert many.threshold >= one.threshold and one.temperature == many.temperature and many.states == 50


def test_a_student_that_always_agrees_answers_everything() -> None:
    student, _ = drawn(400, 0)
    calibration = calibrate(student, student, "texts")
    assert calibration is not None and calibration.threshold == 0.0 and calibration.coverage == 1.0


def test_texts_that_are_as_sure_as_can_be_are_above_the_highest_threshold() -> None:
    student, teacher = torch.zeros(400, 2, dtype=torch.float64), torch.zeros(400, 2)
    student[:, 0], teacher[:, 0] = 1000.0, 1.0
    student[::3, 0], teacher[::6, 0] = 0.5, -1.0  # of these, the teacher answers half otherwise
    calibration = calibrate(student, teacher, "texts")
    assert calibration is not None and calibration.threshold == 1.0
    assert calibration.coverage == pytest.approx(2 / 3, abs=0.05) and calibration.agreement == 1.0


def test_where_no_threshold_reaches_the_rate_it_says_so() -> None:
    random = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(400, 2, generator=random).log_softmax(dim=1) for _ in range(2))
    calibration = calibrate(student, teacher, "synthetic texts")
    assert calibration is not None and calibration.threshold is None
    assert "no threshold for 95.0% agreement" in str(calibration) and "of 400 synthetic texts agree in" in str(calibration)
    few = calibrate(*drawn(60, 0), on="texts")
    assert few is not None and few.threshold is None and few.coverage is None
    assert str(few).endswith("60 texts are too few, 79 would be the least")
    student, _ = drawn(79, 0)
    enough = calibrate(student, student, on="texts")
    assert enough is not None and enough.threshold == 0.0 and calibrate(student[:78], student[:78], "texts").threshold is None
    assert calibrate(*drawn(39, 0), on="texts") is None and calibrate(*drawn(40, 0), on="texts") is not None


@pytest.mark.parametrize("states", [1, 3, 7, 38])
def test_the_least_number_of_texts_is_the_least(states: int) -> None:
    student, teacher = drawn(1000, 0)
    said = str(calibrate(student[:50], teacher[:50], "texts", states=states))
    least = int(said.split(" would be")[0].split()[-1])
    for texts, enough in ((least, True), (least - 1, False)):
        found = calibrate(student[:texts], student[:texts], "texts", states=states)
        assert found is not None and (found.threshold is not None) == enough


def test_answers_that_are_not_finite_are_left_out() -> None:
    student, teacher = drawn(500, 4)
    broken = student.clone()
    broken[7] = math.nan
    kept = torch.arange(500) != 7
    expected = calibrate(student[kept], teacher[kept], "texts")
    assert calibrate(broken, teacher, "texts") == expected
    unanswered = teacher.clone()
    unanswered[7] = math.nan
    assert calibrate(student, unanswered, "texts") == expected


def test_coverage_counts_the_surest_texts() -> None:
    student, teacher = drawn(1000, 5)
    calibration = dataclasses.replace(STORED, temperature=2.0, threshold=0.7)
    found = coverage(student, teacher, calibration)
    sure = np.exp(np.asarray(student / 2)) / np.exp(np.asarray(student / 2)).sum(axis=1, keepdims=True)
    same = np.asarray(student).argmax(axis=1) == np.asarray(teacher).argmax(axis=1)
    order = np.argsort(-sure.max(axis=1), kind="stable")
    assert found["texts"] == 1000 and found["surest"][0] == {
        "coverage": 1.0, "agreement": pytest.approx(same.mean()), "threshold": pytest.approx(sure.max(axis=1).min()),
    }  # fmt: skip
    half = next(row for row in found["surest"] if row["coverage"] == 0.5)
    assert half["agreement"] == pytest.approx(same[order[:500]].mean())
    assert half["threshold"] == pytest.approx(sure.max(axis=1)[order[499]])
    exactly = float(confidences(student, 2.0)[order[499]])  # which is answered by the student
    at_least = coverage(student, teacher, dataclasses.replace(calibration, threshold=exactly))["sure"]
    assert at_least["coverage"] == 0.5
    chosen = sure.max(axis=1) >= 0.7
    assert found["sure"] == {"coverage": chosen.mean(), "agreement": pytest.approx(same[chosen].mean())}
    assert coverage(student, teacher)["sure"] is None
    student[order[0]] = math.nan  # the surest text has no usable answer now, so it is the least sure
    assert coverage(student, teacher, calibration)["surest"][-1]["agreement"] == pytest.approx(same[order[1:101]].mean())


def test_no_answer_agrees_with_nothing() -> None:
    student, teacher = torch.tensor([[0.9, 0.1], [math.nan] * 2]).log(), torch.tensor([[0.8, 0.2], [0.7, 0.3]]).log()
    assert coverage(student, teacher, shares=(1.0,))["surest"][0]["agreement"] == 0.5


def test_transformers_keeps_a_calibration_in_config_json(tmp_path: Path) -> None:
    config = BertConfig(hidden_size=8, num_attention_heads=1)
    set_calibration(config, STORED)
    config.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    config.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert stored_calibration(config, "model: x") == STORED
    set_calibration(config, None)
    config.save_pretrained(tmp_path)
    assert stored_calibration(AutoConfig.from_pretrained(tmp_path), "model: x") is None


@pytest.mark.parametrize(
    "damage",
    [{"threshold": "high"}, {"threshold": 1.5}, {"temperature": 0}, {"temperature": math.nan}, {"on": 3}, {"texts": True}],
)
def test_what_is_no_calibration_is_named(damage: dict) -> None:
    config = BertConfig()
    setattr(config, CALIBRATION_KEY, dataclasses.asdict(STORED) | damage)
    with pytest.raises(InputError, match="model: x: prompter_calibration in its config.json is damaged"):
        stored_calibration(config, "model: x")
    setattr(config, CALIBRATION_KEY, [1])
    with pytest.raises(InputError, match="damaged"):
        stored_calibration(config, "model: x")


def test_a_set_of_labels_is_as_sure_as_its_least_sure_label_and_agrees_where_all_do() -> None:
    random = torch.Generator().manual_seed(3)
    odds = torch.randn(400, 4, generator=random, dtype=torch.float64) * 3
    teacher = odds + torch.randn(400, 4, generator=random, dtype=torch.float64)
    p = 1 / (1 + np.exp(-odds.numpy() / 1.7))
    assert np.allclose(confidences(odds, 1.7, MULTI_LABEL).numpy(), np.maximum(p, 1 - p).min(axis=1))
    alone, as_classes = odds[:, :1], torch.cat([torch.zeros(400, 1), odds[:, :1]], dim=1).log_softmax(dim=1)
    taught = torch.cat([torch.zeros(400, 1), teacher[:, :1]], dim=1).log_softmax(dim=1)
    one = calibrate(alone, teacher[:, :1], "texts", 0.8, kind=MULTI_LABEL)
    two = calibrate(as_classes, taught, "texts", 0.8)
    assert one is not None and two is not None and one.threshold is not None
    numbers = [{k: v for k, v in vars(found).items() if k != "on"} for found in (one, two)]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-6)
    found = coverage(odds, teacher, kind=MULTI_LABEL)["surest"]
    assert found[0]["agreement"] == pytest.approx(((odds > 0) == (teacher > 0)).all(dim=1).double().mean())


def test_values_and_tags_are_not_calibrated() -> None:
    values = torch.rand(100, 1)
    assert calibrate(values, values, "texts", kind=Score()) is None
    with pytest.raises(ValueError, match="score do not say how sure"):
        confidences(values, kind=Score())
    tags, kind = torch.randn(60, 3, 3).log_softmax(dim=2), Tokens(("O", "B-a", "I-a"))
    assert calibrate(tags, tags[:, :2], "texts", kind=kind) is None and not kind.alike(tags, tags.flip(2)).all()


def test_a_threshold_that_no_text_reaches_is_said_so() -> None:
    none = {"threshold": None, "coverage": 0.0, "agreement": 0.0, "at_least": 0.0}
    calibration = Calibration(1.0, rate=0.95, confidence=0.95, texts=300, states=1, on="texts of a.txt", **none)
    assert str(calibration).endswith("of 300 texts of a.txt, none that tested it is as sure as the one tried")
