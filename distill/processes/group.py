"""The processes of a run, and what they exchange.

Each process computes its share of what costs time: texts of the writer, answers of teacher and student, gradients. Everything
else is small, and every process computes it alike from the same rows, so that no process has to wait for the decisions of
another. What could differ between them (a user's function, a choice by a library) is computed by the first process alone.

The messages are those of `accelerate` and `torch.distributed`. A single process exchanges nothing and computes as if this
module did not exist.
"""

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from distill.common.errors import InputError
from distill.kinds.rows import below

T = TypeVar("T")

LOST = ("gloo", "nccl", "connection closed", "connection reset", "broken pipe", "socket")
"""Words in the errors of torch that say that another process has gone."""


class Processes:
    """One of `size` processes that work on the same run.

    Args:
        rank: Number of this process, from 0.
        size: Number of processes, at least 1.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def first(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """Return which of `count` rows this process computes; the parts of all processes follow each other in order.

        Examples:
            >>> [Processes(rank, 3).part(7) for rank in range(3)]
            [slice(0, 2, None), slice(2, 4, None), slice(4, 7, None)]
        """
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def purpose(self, name: str) -> str:
        """Return the purpose of random numbers of this process: those of process 0 are those of a single process."""
        return f"{name}, process {self.rank}" if self.rank else name

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, in the order of their numbers."""
        if self.size == 1:
            return [value]
        from accelerate.utils import gather_object  # here, since it takes a second to import

        return gather_object([value])

    def from_first(self, make: Callable[[], T]) -> T:
        """Return to all processes what the first one makes."""
        if self.size == 1:
            return make()
        from accelerate.utils import broadcast_object_list

        made: list[Any] = [make() if self.first else None]
        return broadcast_object_list(made)[0]

    def share(self, compute: Callable[..., Any], *columns: Any) -> Any:
        """Compute rows in parts, one for each process, and return all rows to all processes.

        Args:
            compute: Takes as many columns as are given, and returns a list or a tensor with one entry for each row.
            columns: Lists or tensors of the same length N.

        Returns:
            The N rows in order, a list or a tensor on the CPU.
        """
        count = len(columns[0])
        if self.size == 1 or not count:
            return compute(*columns)
        part = self.part(count)
        own = compute(*(column[part] for column in columns)) if part.start < part.stop else None
        rows = [value for value in self.gather(own) if value is not None]
        return below(rows) if isinstance(rows[0], Tensor) else [row for values in rows for row in values]

    def any(self, value: bool) -> bool:
        """Return whether the value is true in any process."""
        return any(self.gather(value))

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.gather(None)

    def sum_gradients(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Add up the gradients of all processes, in place, and return the sum of their losses, a scalar.

        One message holds everything. Each process gets the same bits, so that equal weights stay equal.
        """
        if self.size == 1:
            return loss
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        whole = torch.cat([*(gradient.reshape(-1) for gradient in gradients), loss.detach().reshape(1)])
        torch.distributed.all_reduce(whole)
        for gradient, summed in zip(gradients, whole[:-1].split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))
        return whole[-1]

    def check_same(self, values: Mapping[str, Any]) -> None:
        """Refuse processes that were started with different settings.

        Raises:
            InputError: In all processes, if a value differs in any of them.
        """
        told = self.gather(dict(values))
        for number, other in enumerate(told):
            for name in told[0] | other:
                if told[0].get(name) != other.get(name):
                    raise InputError(
                        f"{name} is {told[0].get(name)!r} in process 0, but {other.get(name)!r} in process {number}: "
                        "start all processes with the same settings and versions"
                    )

    @contextmanager
    def together(self) -> Iterator[None]:
        """Say in one line that another process has ended, within the `with` block, instead of how the network found out."""
        try:
            yield
        except InputError:
            raise
        except RuntimeError as error:
            if self.size == 1 or not any(word in str(error).lower() for word in LOST):
                raise
            if hasattr(signal, "pthread_sigmask"):  # a launcher ends this process now, but it says why first
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            raise InputError(
                f"process {self.rank} of {self.size} has lost the others: one of them was killed, or its machine cannot be "
                "reached; start them again with --resume"
            ) from error

    def leave(self) -> None:
        """Go on alone, once all processes are here: what follows is work for one process."""
        self.wait()
        self.size = 1


ALONE = Processes()
"""The only process of a run."""
