"""Settings that name a teacher, shared by every command that may ask one."""

import math
from dataclasses import dataclass

from distill.common.errors import InputError
from distill.common.settings import setting
from distill.kinds.names import AUTO, KINDS, NOT_GIVEN, GivenKind


@dataclass(frozen=True)
class Asking:
    """How a teacher is asked, beside its name and its class names.

    Attributes:
        prompt: Request to a language model, with `{text}`; "" for the one that `task` makes.
        task: What a text is, in the user's words, for that request; "" where they said nothing.
        hypothesis: Sentence about a class for an NLI model, with `{}`; "" for the usual one.
        rate: Most requests per second to a service; 0 for no limit.
        kind: What the user says about its kind.
    """

    prompt: str = ""
    task: str = ""
    hypothesis: str = ""
    rate: float = 0.0
    kind: GivenKind = NOT_GIVEN


@dataclass
class TeacherSettings:
    """Which teacher, the names of its classes, and whether its predictions are kept."""

    teacher: str = setting(
        "",
        "Classifier: folder, hub id, http(s)://HOST/predict, endpoint+https://HOST, vllm+http://HOST/classify, "
        "openai+http://HOST/v1#MODEL, Python function module:function, or toy:TASK. Where a prompter or dataset is given, the "
        "default is the teacher it was made for.",
        "Models",
        path=True,
    )
    teacher_labels: list[str] = setting(
        [],
        "Class names of a function, in the order of its predictions, or of a service, in any order (of its numbers where it "
        "names none); the classes that an NLI or a language model shall tell apart.",
        "Models",
        commas="alone",
    )
    kind: str = setting(
        AUTO,
        "Kind of classifier: single (one class for a text), pair (one class for two texts), multi_label, score (a number), "
        "score_pair or tokens (a tag for each word); auto: what its files and the names of its classes say.",
        "Models",
        choices=(AUTO, *KINDS),
    )
    score_low: float = setting(0.0, "Lower end of the values of a teacher that gives numbers.", "Models")
    score_high: float = setting(1.0, "Upper end of these values.", "Models")
    teacher_max_length: int = setting(
        512,
        "Longer texts are cut to this many tokens by a Hugging Face teacher, or to what it can read.",
        "Models",
        low=2,
        high=8192,
    )
    teacher_prompt: str = setting(
        "",
        "Request to a language model that is the teacher, with {text} where the text and {labels} where the class names "
        "stand; default: one that names the task_description.",
        "Models",
    )
    teacher_hypothesis: str = setting(
        "",
        "Sentence about a class, with {} where its name stands, for an NLI model that is asked zero-shot; default: "
        "This example is {}.",
        "Models",
    )
    teacher_rate: float = setting(0.0, "Most requests per second to a service; 0: no limit.", "Models", low=0)
    teacher_price: float = setting(
        0.0, "Price of 1,000 queries to the teacher, in your currency; what was spent is then shown.", "Budget", low=0
    )
    teacher_cache: bool = setting(True, "Keep the teacher's predictions on disk, so that no text is paid for twice.", "Models")

    def cost(self, calls: int) -> dict[str, float]:
        """Return what a summary says of the cost: `teacher_calls`, and where there is a price, that and `money_spent`.

        Args:
            calls: Texts that the teacher was really asked.

        Examples:
            >>> TeacherSettings(teacher_price=0.5).cost(1234)
            {'teacher_calls': 1234, 'teacher_price': 0.5, 'money_spent': 0.617}
        """
        asked: dict[str, float] = {"teacher_calls": calls}
        if not self.teacher_price:
            return asked
        return asked | {"teacher_price": self.teacher_price, "money_spent": round(calls * self.teacher_price / 1000, 6)}

    def spent(self, calls: int) -> str:
        """Return a line about the cost of this call of the command, "" where there is no price."""
        if not self.teacher_price:
            return ""
        return f"{calls:,} texts were sent to the teacher in this call; spent {self.cost(calls)['money_spent']:,.2f}."

    def asking(self, task: str | None = None) -> Asking:
        """Return how the teacher is asked, where a text is `task`.

        Raises:
            InputError: The range of a score is empty.
        """
        if not self.score_low < self.score_high:
            raise InputError(f"score_high is {self.score_high:g}, expected more than score_low, {self.score_low:g}")
        given = GivenKind(self.kind, self.score_low, self.score_high)
        return Asking(self.teacher_prompt, task or "", self.teacher_hypothesis, self.teacher_rate, given)


@dataclass
class MoneySettings(TeacherSettings):
    """The same for commands with a budget, which may be given in money."""

    budget_money: float = setting(
        0.0,
        "Budget in money instead of queries: as many as it buys at teacher_price. Baselines and eval_data cost extra.",
        "Budget",
        low=0,
    )

    def bought(self, budget: int, default: int) -> int:
        """Return the budget in queries.

        Args:
            budget: As given in queries, `default` where it was not.
            default: What `budget` is without a word of the user.

        Raises:
            InputError: There is no price, the money buys nothing, or both budgets are given and differ.
        """
        if not self.budget_money:
            return budget
        if not self.teacher_price:
            raise InputError(
                f"budget_money is {self.budget_money:g}, but the price is not known: give --teacher_price for 1,000 queries"
            )
        queries = math.floor(self.budget_money / self.teacher_price * 1000 * (1 + 1e-12))  # 0.3 / 0.1 is 2.9999999999999996
        if not queries:
            raise InputError(
                f"budget_money is {self.budget_money:g}, which buys no query at {self.teacher_price:g} for 1,000: give more"
            )
        if budget not in (default, queries):
            raise InputError(
                f"budget is {budget:,}, but budget_money {self.budget_money:g} buys {queries:,} queries: give one of the two"
            )
        return queries


@dataclass
class FoundTeacherSettings(TeacherSettings):
    """The same for commands that read files which name a teacher; see `distill.teachers.found`."""

    trust_teacher: bool = setting(
        False,
        "Ask the teacher that a prompter or dataset of others names (a model or a service; never a function, and no token "
        "is sent).",
        "Models",
    )
