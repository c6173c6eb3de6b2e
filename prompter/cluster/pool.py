"""Workers of Ray and the jobs that they do.

Ray could restart lost workers and repeat their jobs itself, but a job whose machine never comes back would then wait for ever,
and a job that ends every worker would be tried for ever. Here a lost worker's jobs go to the others at once, a new worker is
asked for, and after a few lost workers the job is named.
"""

import heapq
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from distill.common.errors import InputError
from distill.common.terminal import one_line
from prompter.cluster.worker import Outcome, actor_class

DEPTH = 2
"""Jobs that a worker has at once: one that it does, and one that waits, so that it need not wait for us."""

LOSSES = 4
"""Workers that may be lost during one job, or one after the other while they load."""

WAIT = 60.0
"""Seconds without news after which the user is told what is waited for."""


@dataclass(order=True)
class Job:
    """A call of a method of the work.

    Attributes:
        rank: Jobs of a lower rank go first.
        number: Jobs of one rank go in the order of their numbers.
        kind: Name of the method.
        arguments: Its arguments.
        done: Whether there is a value.
        value: What the method returned.
        wanted: False if nobody needs the value any more.
        losses: Workers that were lost during this job.
    """

    rank: int
    number: int
    kind: str = field(compare=False)
    arguments: tuple[Any, ...] = field(compare=False)
    done: bool = field(default=False, compare=False)
    value: Any = field(default=None, compare=False)
    wanted: bool = field(default=True, compare=False)
    losses: int = field(default=0, compare=False)


class Pool:
    """Workers with equal models.

    Args:
        ray: The module, connected.
        workers: How many.
        needs: Resources of a worker, as keyword arguments of Ray: `num_cpus`, `num_gpus`.
        versions: Versions of distributions that each worker must have.
        loading: Threads that PyTorch may use in a worker, module and name of what makes its `Work`, and the arguments of that.
        say: Shows a line to the user.

    Attributes:
        facts: What the workers agree on; see `prompter.cluster.work.Work`.
        workers: How many there shall be.

    Raises:
        InputError: A worker cannot load, lacks something, or differs from the others.
    """

    def __init__(
        self,
        ray: Any,
        workers: int,
        needs: dict[str, int],
        versions: dict[str, str],
        loading: tuple[int, tuple[str, str], tuple[Any, ...]],
        say: Callable[[str], None],
    ) -> None:
        self._ray, self.workers, self._say = ray, workers, say
        self._actor = ray.remote(actor_class()).options(max_restarts=0, scheduling_strategy="SPREAD", **needs)
        self._beginning = (versions, os.getcwd(), *loading)
        self._queue: list[Job] = []
        self._numbers = itertools.count()
        self._busy: dict[Any, list[tuple[Any, Job]]] = {}  # of each worker that has loaded: references and jobs, in order
        self._loading: dict[Any, Any] = {}  # reference to the facts: worker
        self._waited = False  # whether the user was told so
        self._failures = 0  # workers lost one after the other while they load
        self.facts: dict[str, Any] = {}
        for _ in range(workers):
            self._start()
        while self._loading:
            self._wait(strict=True)

    def submit(self, kind: str, *arguments: Any, rank: int = 0) -> Job:
        """Let a worker do a job, when one is free."""
        job = Job(rank, next(self._numbers), kind, arguments)
        heapq.heappush(self._queue, job)
        self._feed()
        return job

    def wait(self, job: Job) -> Any:
        """Return the value of a job as soon as it is done.

        Raises:
            InputError: A job cannot be done; see `advance`.
        """
        while not job.done:
            self.advance()
        return job.value

    def advance(self) -> None:
        """Wait until something is done. It need not be what the caller waits for.

        Raises:
            InputError: The work refused something, a job was lost too often, or there is no worker left.
        """
        self._wait(strict=False)

    def _start(self) -> None:
        worker = self._actor.remote()
        self._loading[worker.begin.remote(*self._beginning)] = worker

    def _feed(self) -> None:
        """Give jobs to the workers with the fewest."""
        while self._queue and self._busy:
            worker, jobs = min(self._busy.items(), key=lambda item: len(item[1]))
            if len(jobs) >= DEPTH:
                return
            job = heapq.heappop(self._queue)
            if job.wanted:
                jobs.append((worker.do.remote(job.kind, job.arguments), job))

    def _wait(self, strict: bool) -> None:
        """Handle what is finished; wait for something if nothing is."""
        pending = {reference: (worker, job) for worker, jobs in self._busy.items() for reference, job in jobs}
        finished, _ = self._ray.wait([*self._loading, *pending], num_returns=1, timeout=WAIT)
        if not finished and not self._waited and (strict or not self._busy):
            self._waited = True
            self._say(
                f"{len(self._busy)} of {self.workers} workers are ready; waiting until the cluster has room and the "
                "others have loaded. Ctrl-C stops; the same command goes on."
            )
        for reference in finished:
            if reference in self._loading:
                self._loaded(reference, strict)
            elif any(reference == known for known, _ in self._busy.get(pending[reference][0], [])):
                self._finish(reference, *pending[reference])
        self._feed()

    def _loaded(self, reference: Any, strict: bool) -> None:
        """Take a worker in."""
        worker = self._loading.pop(reference)
        outcome, reason = self._get(reference)
        fault = ""
        if outcome is None:
            self._failures += 1
            if self._failures < LOSSES:
                self._start()
                return
            fault = (
                f"{self._failures} workers of Ray ended while they loaded their models ({reason}): is there memory for them?"
            )
        elif outcome[0] == "fault":
            fault = str(outcome[1])
        else:
            fault = self._compare(*outcome[1])
        if not fault:
            self._failures = 0
            self._busy[worker] = []
            return
        if strict or not (self._busy or self._loading):
            raise InputError(f"engine: {fault}")
        self._say(f"A new worker is not used: {fault}. {len(self._busy)} workers go on.")
        self._end(worker)

    def _compare(self, facts: dict[str, Any], notes: list[str], machine: str) -> str:
        """Return how a worker differs from those before it, "" if it does not."""
        if not self.facts:
            self.facts = facts
            for note in notes:
                self._say(note)
        differing = [name for name in facts if facts[name] != self.facts.get(name)]
        if not differing:
            return ""
        name = differing[0]
        return (
            f"workers differ in their {name}: {facts[name]} on the machine {machine}, {self.facts[name]} elsewhere: "
            "let all machines have the same files and devices"
        )

    def _finish(self, reference: Any, worker: Any, job: Job) -> None:
        """Take the value of a job, or repeat it elsewhere if its worker was lost.

        Raises:
            InputError: The work refused it, or it has been lost too often.
        """
        outcome, reason = self._get(reference)
        if outcome is None:
            self._lose(worker, reason)
            return
        self._busy[worker] = [pair for pair in self._busy[worker] if pair[1] is not job]
        if outcome[0] == "fault":
            raise InputError(str(outcome[1]))
        job.value, job.done = outcome[1], True

    def _lose(self, worker: Any, reason: str) -> None:
        """Put a lost worker's jobs back, and ask for a worker in its place."""
        jobs = [job for _, job in self._busy.pop(worker)]
        self._end(worker)
        jobs[0].losses += 1  # the others have only waited
        if jobs[0].losses >= LOSSES:
            raise InputError(
                f"engine: {LOSSES} workers of Ray ended one after the other during one batch ({reason}): often their memory "
                "is too small: give fewer --ray_workers or a smaller --batch_size, then the same command again"
            )
        for job in jobs:
            heapq.heappush(self._queue, job)
        self._say(f"A worker was lost ({reason}); its work is done again by another.")
        self._start()

    def _get(self, reference: Any) -> tuple[Outcome | None, str]:
        """Return what a worker returned; or None and the reason, if the worker was lost.

        Raises:
            Exception: The worker's code raised it: a bug, with its traceback.
        """
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference), ""
        except errors.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from None
        except errors.RayError as error:  # an actor, a machine or an object is gone
            return None, one_line(" ".join(str(error).split()))[:160]

    def _end(self, worker: Any) -> None:
        try:
            self._ray.kill(worker)
        except Exception:  # it is gone already
            pass
