"""Random numbers that depend on counters only, so that a stopped run continues bit for bit.

The usual random generator has a state, which every checkpoint must store, for every process and library that draws from it.
Nothing here keeps such a state. Each random draw names its purpose and a counter that the run keeps anyway (the update, the
rollout). A stable hash of `(seed, purpose, counter)` seeds a fresh generator, as in JAX's `fold_in` and Random123 (Salmon et
al. 2011). A run that restores its counters restores its random numbers.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a hash of `(seed, *purpose)` in [0, 2**63), the same on every machine and Python version.

    Examples:
        >>> derive_seed(0, "student", 3) == derive_seed(0, "student", 3)
        True
        >>> derive_seed(0, "student", 3) == derive_seed(0, "student", "3")
        False
    """
    # repr distinguishes 3 from "3", and the commas of the tuple distinguish ("a", "b") from ("ab",).
    digest = hashlib.sha256(repr((int(seed), *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def random_generator(seed: int, *purpose: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """Return a fresh `torch.Generator` on `device` that depends only on the seed and the purpose."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *purpose))


@contextmanager
def seeded(seed: int, *purpose: str | int) -> Iterator[None]:
    """Run a block with torch's global generators (CPU and CUDA) set by seed and purpose; restore their state after it.

    Some code draws from the global state and takes no generator: dropout, weight initialisation.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        value = derive_seed(seed, *purpose)
        # `torch.manual_seed` would be slow: without a GPU it records a traceback at each call, a millisecond or more.
        torch.default_generator.manual_seed(value)
        if devices:
            torch.cuda.manual_seed_all(value)
        yield
