"""From settings to workers that have loaded their models."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import torch

from distill.common.errors import InputError
from prompter.cluster.config import EngineSettings
from prompter.cluster.pool import Pool
from prompter.cluster.start import address_of, connected, room
from prompter.runtime.versions import DISTRIBUTION, distribution_of

LIBRARIES = (DISTRIBUTION, "torch", "transformers", "tokenizers", "peft")
"""Distributions that decide what a worker computes; it must have the versions of this process."""


@contextlib.contextmanager
def opened_pool(
    config: EngineSettings,
    device: str,
    make: tuple[str, str],
    arguments: tuple[Any, ...],
    say: Callable[[str], None],
    libraries: Sequence[str] = (),
) -> Iterator[Pool]:
    """Start workers, and stop them at the end.

    A worker has one GPU, or, where the cluster has none or `device` is cpu, as many CPUs as PyTorch has threads here: then it
    computes the same bits.

    Args:
        config: Which cluster, and how many workers.
        device: auto, cpu or cuda.
        make: Module and name of what makes a worker's `Work`.
        arguments: Its arguments: plain data.
        say: Shows a line to the user.
        libraries: Further distributions that a worker must have.

    Raises:
        InputError: See `connected` and `Pool`; or the cluster has no room for the workers.
    """
    if ":" in device:
        raise InputError(f"device is {device}, which names one card, but each worker has its own: give cuda, cpu or auto")
    threads = torch.get_num_threads()
    with connected(config, threads) as ray:
        total = ray.cluster_resources()
        gpus = 1 if device.startswith("cuda") or (device == "auto" and total.get("GPU", 0)) else 0
        cpus = 1 if gpus else threads
        fits = room(ray, gpus, cpus)
        if fits < max(1, config.ray_workers):
            unit = "1 GPU" if gpus else f"{cpus} CPUs (OMP_NUM_THREADS says how many)" if cpus > 1 else "1 CPU"
            raise InputError(
                f"ray_workers: the cluster has {total.get('CPU', 0):g} CPUs and {total.get('GPU', 0):g} GPUs, room for {fits} "
                f"workers of {unit}, but {max(1, config.ray_workers)} were asked for: ask for fewer, or add machines"
            )
        here = os.cpu_count() or 1
        if not gpus and not address_of(config) and config.ray_workers * cpus > here:
            say(
                f"{config.ray_workers} workers share the {here} CPUs of this machine, and each loads models of its own: "
                f"--ray_workers {max(1, here // cpus)} is as fast and takes less memory."
            )
        found = {name: distribution_of(name) for name in (*LIBRARIES, *libraries)}
        versions = {name: version(source) for name, source in found.items() if source}  # else a checkout, never installed
        needs = {"num_cpus": cpus, "num_gpus": gpus}
        yield Pool(ray, config.ray_workers or fits, needs, versions, (threads, make, arguments), say)
