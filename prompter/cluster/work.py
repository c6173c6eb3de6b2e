"""What a worker holds and does, on a machine that has this package."""

from collections.abc import Callable
from typing import Any, Protocol

from distill.common.errors import InputError


class Work(Protocol):
    """The models of a worker, and what it does with them: its other methods are the kinds of jobs.

    Attributes:
        facts: What all workers must agree on, by name.
        notes: Lines for the user, from loading.
    """

    facts: dict[str, Any]
    notes: list[str]


def refusals(machine: str) -> Callable[[Callable[[], Any]], tuple[str, Any]]:
    """Return a function that turns an `InputError` of a call into a line which names the machine.

    Examples:
        >>> refusals("node-7")(lambda: 1 + 1)
        ('value', 2)
    """

    def guarded(call: Callable[[], Any]) -> tuple[str, Any]:
        try:
            return "value", call()
        except InputError as error:
            return "fault", f"{error} (on the machine {machine})"

    return guarded
