"""A budget in money, and what a summary says of the cost."""

import pytest

from distill.common.errors import InputError
from distill.teachers.config import Asking, MoneySettings, TeacherSettings


@pytest.mark.parametrize(
    ("money", "price", "queries"),
    [(10.0, 0.5, 20_000), (0.3, 0.1, 3_000), (0.0003, 0.1, 3), (1.0, 3.0, 333), (7.0, 7000.0, 1), (0.0, 0.5, 6_000)],
)
def test_money_buys_whole_queries(money: float, price: float, queries: int) -> None:
    settings = MoneySettings(budget_money=money, teacher_price=price)
    assert settings.bought(6_000, 6_000) == queries
    assert settings.cost(queries)["money_spent"] <= max(money, 6_000 * price / 1000) + 1e-9


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(InputError, match="budget_money is 5, but the price is not known: give --teacher_price"):
        MoneySettings(budget_money=5.0).bought(100, 100)
    with pytest.raises(InputError, match="budget_money is 0.001, which buys no query at 2 for 1,000"):
        MoneySettings(budget_money=0.001, teacher_price=2.0).bought(100, 100)
    with pytest.raises(InputError, match="budget is 500, but budget_money 1 buys 1,000 queries: give one of the two"):
        MoneySettings(budget_money=1.0, teacher_price=1.0).bought(500, 100)
    assert MoneySettings(budget_money=1.0, teacher_price=1.0).bought(1000, 100) == 1000  # config.yaml of a run holds both


def test_without_a_price_nothing_is_said() -> None:
    assert TeacherSettings().cost(1000) == {"teacher_calls": 1000} and TeacherSettings().spent(1000) == ""
    priced = TeacherSettings(teacher_price=2.0)
    assert priced.cost(0) == {"teacher_calls": 0, "teacher_price": 2.0, "money_spent": 0.0}
    assert priced.spent(1500) == "1,500 texts were sent to the teacher in this call; spent 3.00."


def test_how_a_teacher_is_asked() -> None:
    settings = TeacherSettings(teacher_prompt="{text}", teacher_hypothesis="{}!", teacher_rate=2.0)
    assert settings.asking("a review") == Asking("{text}", "a review", "{}!", 2.0)
    assert TeacherSettings().asking(None) == Asking()
