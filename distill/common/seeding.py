"""Counter-based randomness: why a stopped run can continue bit for bit.

A stateful random generator must be saved at every checkpoint and restored exactly, in every process and library that
draws from it. Here nothing keeps such a state. Each random act names its purpose and a counter that the run keeps
anyway (the update, the round), and derives a fresh generator from `(seed, purpose, counter)` by a stable hash, as
JAX's `fold_in` and Random123 (Salmon et al. 2011) do. Restoring the counters restores the randomness.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Hash `(seed, *purpose)` to an integer in [0, 2**63); the same on every machine and Python version.

    >>> derive_seed(0, "student", 3) == derive_seed(0, "student", 3)
    True
    >>> derive_seed(0, "student", 3) == derive_seed(0, "student", "3")
    False
    """
    # repr tells 3 from "3", and the tuple's commas keep ("a", "b") apart from ("ab",).
    digest = hashlib.sha256(repr((int(seed), *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def random_generator(seed: int, *purpose: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """Return a fresh `torch.Generator` on `device` that depends on the seed and the purpose alone."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *purpose))


@contextmanager
def seeded(seed: int, *purpose: str | int) -> Iterator[None]:
    """Run a block with torch's global generators (CPU and CUDA) set by seed and purpose, and restore them after.

    For code that draws from the global state and takes no generator: dropout, weight initialisation.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        value = derive_seed(seed, *purpose)
        # Not `torch.manual_seed`: without a GPU it takes a traceback at each call, of a millisecond or more.
        torch.default_generator.manual_seed(value)
        if devices:
            torch.cuda.manual_seed_all(value)
        yield
