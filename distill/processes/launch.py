"""What a launcher (`accelerate launch`, `torchrun`) has started: how many processes, and how they find each other.

The command line asks this before anything is loaded, so the slow imports are inside the functions.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from distill.common.errors import InputError

if TYPE_CHECKING:
    from distill.processes.group import Processes

PATIENCE = timedelta(days=1)
"""How long a process waits for the others. A launcher ends all processes when one has failed, so this need not be short, and
a service may take hours to answer the first process."""

GRACE = 15.0
"""Seconds that a process which has failed before the others waits for the first one of its machine."""

PATIENT_UNTIL = 60.0
"""Seconds after which a process that still waits for the others at the start says so."""

OF_MPI = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Variables of mpirun with the number of its processes. accelerate reads them, on the CPU."""

MEETING = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables by which torch meets others. On the CPU, accelerate makes up all but the address."""

OTHER_WAYS = ("DEEPSPEED", "FSDP", "MEGATRON_LM", "PARALLELISM_CONFIG")
"""Ways of accelerate to divide one model over processes."""


def launched() -> int:
    """Return how many processes a launcher has started for this command, 1 without a launcher.

    Raises:
        InputError: WORLD_SIZE is no number, or 0.
    """
    value = os.environ.get("WORLD_SIZE") or "1"
    if not value.isdecimal() or int(value) == 0:
        raise InputError(f"the environment variable WORLD_SIZE is {value!r}, expected a number of processes: unset it")
    return int(value)


def may_speak() -> bool:
    """Return whether this process says why the command ends: of several that fail, the first one to ask does.

    Before they have found each other, the first one of each machine does. The others wait for it, since a launcher ends all of
    them as soon as one has ended. One that is still there after `GRACE` seconds has failed alone, and speaks.
    """
    if (os.environ.get("WORLD_SIZE") or "1") == "1":
        return True
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        try:
            return bool(dist.distributed_c10d._get_default_store().add("prompter/failed", 1) == 1)
        except RuntimeError:  # the store has gone with the process that held it
            return True
    if (os.environ.get("LOCAL_RANK") or os.environ.get("RANK") or "0") != "0":
        time.sleep(GRACE)
    return True


def refuse_launcher(verb: str) -> None:
    """Refuse to run a command as one of several processes.

    Raises:
        InputError: A launcher started more than one process.
    """
    if (size := launched()) > 1:
        raise InputError(
            f"{verb} runs in one process, but a launcher started {size} (WORLD_SIZE): start it without accelerate launch or "
            "torchrun, or unset WORLD_SIZE if it is left over from one; only prompter train runs in several"
        )


def start(device: str) -> "Processes":
    """Meet the other processes that a launcher has started. Without a launcher there are none.

    Args:
        device: The setting `device`.

    Raises:
        InputError: They cannot meet, or cannot work together on this device; or a single process would look for others.
    """
    from distill.processes.group import Processes

    size = launched()
    _check_undivided()
    if size == 1:
        _check_alone(device)
        return Processes()
    from accelerate import PartialState

    kind = _checked_device(device)
    try:
        with _stoppable(), _told_when_late(size):
            state = PartialState(cpu=kind == "cpu", timeout=PATIENCE)
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(_no_meeting(error)) from error
    if state.num_processes != size:
        raise InputError(f"a launcher started {size} processes, but {state.num_processes} have met: start all of them anew")
    return Processes(state.process_index, state.num_processes)


def _check_undivided() -> None:
    """Refuse ways of accelerate that divide a model; its trainer would take them up in a single process, too.

    Raises:
        InputError: One is set up.
    """
    for way in OTHER_WAYS:
        if os.environ.get(f"ACCELERATE_USE_{way}", "").lower() in ("true", "1"):
            raise InputError(
                f"accelerate is set up for {way}, but prompter train holds its models whole in each process: choose plain "
                "multi-GPU or multi-CPU with accelerate config, or the file configs/accelerate/multi_gpu.yaml"
            )


def _check_alone(device: str) -> None:
    """Refuse what another launcher set, or one left over: the trainer would look for processes that are not there.

    Raises:
        InputError: Such a variable is set.
    """
    names = [name for name in (*OF_MPI, "LOCAL_RANK") if os.environ.get(name) not in (None, "", "-1")]
    if not names:
        return  # the usual case loads nothing
    from distill.common.precision import resolve_device

    kind = resolve_device(device).type
    if kind not in ("cpu", "cuda"):
        return
    for name in names:
        value = os.environ[name]
        if name in OF_MPI and kind == "cpu" and value.isdecimal() and int(value) > 1:
            raise InputError(
                f"the environment variable {name} is {value}, but processes of mpirun do not train together: start them with "
                f"accelerate launch or torchrun, or unset {name} if it is left over"
            )
        needed = ("MASTER_ADDR",) if kind == "cpu" else MEETING
        missing = [other for other in needed if not os.environ.get(other)]
        if name == "LOCAL_RANK" and (missing or (os.environ.get("RANK") or "0") != "0"):
            without = (
                f"{', '.join(missing)}, which a launcher sets too, is not" if missing else "a launcher started one process"
            )
            raise InputError(
                f"the environment variable LOCAL_RANK is {value!r}, but {without}: start with accelerate launch or torchrun, "
                "or unset LOCAL_RANK and RANK if they are left over"
            )


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let a request to stop end this process at once.

    Nothing is written yet, and Python runs no handler of its own while torch waits for the others, which may be a day.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}  # one that is ignored stays so
    for number in ours:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


@contextmanager
def _told_when_late(size: int) -> Iterator[None]:
    """Say after a while that this process still waits for the others; the first one of a machine does."""

    def say() -> None:
        rank, place = os.environ.get("RANK", "?"), _place()
        print(
            f"prompter: process {rank} of {size} has waited {PATIENT_UNTIL:.0f} seconds for the others at {place}, and goes "
            "on waiting: start them, too, or stop it and unset WORLD_SIZE if it is left over from another launch",
            file=sys.stderr,
            flush=True,
        )

    timer = threading.Timer(PATIENT_UNTIL, say)
    timer.daemon = True
    if (os.environ.get("LOCAL_RANK") or "0") == "0":
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _place() -> str:
    return f"{os.environ.get('MASTER_ADDR', 'MASTER_ADDR')}:{os.environ.get('MASTER_PORT', '29500')}"


def _checked_device(device: str) -> str:
    """Return the type of the device, cpu or cuda.

    Raises:
        InputError: Several processes cannot work on it.
    """
    import torch
    import torch.distributed as dist

    from distill.common.precision import resolve_device

    place = resolve_device(device)
    if str(place) not in ("cpu", "cuda"):
        raise InputError(
            f"device is {device}, expected auto, cuda or cpu with several processes: each takes the GPU of its own number"
        )
    if not dist.is_available():
        raise InputError("this PyTorch is built without torch.distributed: start one process, or install another build")
    if place.type == "cpu":
        if not dist.is_gloo_available():
            raise InputError("this PyTorch lacks gloo, by which processes on CPUs talk: start one process, or install another")
        return "cpu"
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("true", "1"):
        raise InputError(f"accelerate was started with --cpu, but device is {device} and means a GPU: give --device cpu")
    if not dist.is_nccl_available():
        raise InputError(
            "this PyTorch lacks NCCL, by which processes on GPUs talk: install a build with NCCL (Linux), start one process, "
            "or give --device cpu"
        )
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE") or launched()), torch.cuda.device_count()
    if here > gpus:
        raise InputError(
            f"{here} processes were started on a machine with {gpus} GPU{'s' * (gpus != 1)}: give --num_processes {gpus} "
            f"(torchrun: --nproc_per_node {gpus}), or --device cpu"
        )
    return "cuda"


def _no_meeting(error: Exception) -> str:
    """Return one line about processes that did not find each other."""
    reason = " ".join(str(error).split())
    port = os.environ.get("MASTER_PORT", "29500")
    if "EADDRINUSE" in reason or "already in use" in reason.lower():
        return (
            f"port {port}, by which the processes would meet, is in use: choose another one (accelerate launch "
            "--main_process_port, torchrun --master_port)"
        )
    return (
        f"the processes cannot meet at {_place()} ({reason[:160]}): start them with accelerate launch or torchrun, or unset "
        "WORLD_SIZE if it is left over from one"
    )
