"""What a launcher started: who may speak, and what is refused in one line."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
import torch.distributed

from distill.common.errors import InputError
from distill.processes import launch
from distill.processes.group import Processes
from distill.processes.launch import launched, may_speak, refuse_launcher, start
from tests.distill.processes.two import as_launched, free_port, in_two


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A process that believes to be the second of two."""
    for name, value in as_launched(1, 29500).items():
        monkeypatch.setenv(name, value)
    yield monkeypatch


def test_without_a_launcher_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert launched() == 1
    assert may_speak()
    assert start("cpu").size == 1
    refuse_launcher("prompter export")
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(InputError, match="WORLD_SIZE is 'two'"):
        launched()
    monkeypatch.setenv("WORLD_SIZE", "0")
    with pytest.raises(InputError, match="WORLD_SIZE is '0', expected a number of processes"):
        launched()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"LOCAL_RANK": "0"}, "LOCAL_RANK is '0', but MASTER_ADDR, which a launcher sets too, is not: .* unset LOCAL_RANK"),
        ({"LOCAL_RANK": "1", "RANK": "1", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost"}, "a launcher started one process"),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, "OMPI_COMM_WORLD_SIZE is 2, but processes of mpirun do not train together"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "accelerate is set up for DEEPSPEED"),
        ({"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}, ""),
        ({"LOCAL_RANK": "-1", "PMI_SIZE": "1", "RANK": "0", "WORLD_SIZE": "1"}, ""),
    ],
)
def test_what_is_left_over_from_a_launch_is_named_by_a_process_alone(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer would look for others, and an error of torch about a variable would end the run."""
    for name in ("LOCAL_RANK", *launch.MEETING, *launch.OF_MPI):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if not said:
        assert start("cpu").size == 1
        return
    with pytest.raises(InputError, match=said):
        start("cpu")


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
def test_a_process_that_waits_for_the_others_says_so_and_can_be_stopped() -> None:
    """Python runs no handler while torch waits, and it waits for a day."""
    script = (
        "import signal, sys; from distill.processes import launch; from prompter.runtime.interrupt import handled, stop_now\n"
        "launch.PATIENT_UNTIL = 0.5\n"
        "with handled(stop_now): launch.start('cpu')"
    )
    variables = os.environ | as_launched(0, free_port())
    waiting = subprocess.Popen([sys.executable, "-c", script], env=variables, stderr=subprocess.PIPE, text=True)
    try:
        assert waiting.stderr is not None
        assert "process 0 of 2 has waited 0 seconds for the others at 127.0.0.1" in waiting.stderr.readline()
        waiting.terminate()
        assert waiting.wait(20) == -signal.SIGTERM
    finally:
        waiting.kill()


def test_before_they_meet_the_first_process_of_each_machine_speaks(launcher: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    launcher.setattr(launch.time, "sleep", waited.append)
    launcher.setenv("LOCAL_RANK", "0")
    assert may_speak() and not waited
    launcher.setenv("LOCAL_RANK", "1")
    assert may_speak() and waited == [launch.GRACE]  # no launcher has ended it: it has failed alone
    with pytest.raises(InputError, match="prompter distill runs in one process, but a launcher started 2"):
        refuse_launcher("prompter distill")


def test_the_reason_is_said_whichever_process_fails_first() -> None:
    """A launcher ends all processes when one has ended: without a line if that one leaves it to another."""
    command = [sys.executable, "-m", "prompter", "export", "runs/mine"]
    second, first = (
        subprocess.Popen(command, env=os.environ | as_launched(rank, 29500), stderr=subprocess.PIPE, text=True)
        for rank in (1, 0)
    )
    assert "prompter export runs in one process, but a launcher started 2" in first.communicate()[1]
    assert second.poll() is None
    second.terminate()
    assert second.communicate()[1] == ""


def test_of_processes_that_fail_one_speaks() -> None:
    assert sorted(in_two(lambda processes: [may_speak(), may_speak()])) == [[False, False], [True, False]]


@pytest.mark.parametrize(
    ("device", "gpus", "lacking", "variables", "said"),
    [
        ("cuda", 1, "", {}, "2 processes were started on a machine with 1 GPU: give --num_processes 1"),
        ("auto", 2, "is_nccl_available", {}, "lacks NCCL"),
        ("auto", 2, "", {"ACCELERATE_USE_CPU": "true"}, "give --device cpu"),
        ("cuda:1", 2, "", {}, "device is cuda:1, expected auto, cuda or cpu"),
        ("cpu", 0, "is_gloo_available", {}, "lacks gloo"),
        ("cpu", 0, "", {"ACCELERATE_USE_FSDP": "true"}, "set up for FSDP"),
    ],
)
def test_what_cannot_work_together_is_refused(
    launcher: pytest.MonkeyPatch, device: str, gpus: int, lacking: str, variables: dict[str, str], said: str
) -> None:
    launcher.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    launcher.setattr(torch.cuda, "device_count", lambda: gpus)
    launcher.setattr(torch.distributed, "is_nccl_available", lambda: lacking != "is_nccl_available")
    if lacking:
        launcher.setattr(torch.distributed, lacking, lambda: False)
    for name, value in variables.items():
        launcher.setenv(name, value)
    with pytest.raises(InputError, match=said):
        start(device)


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        port = taken.getsockname()[1]

        def refused(processes: Processes) -> str:
            if processes.rank:
                return ""
            import os

            os.environ["MASTER_PORT"] = str(port)
            with pytest.raises(InputError) as error:
                start("cpu")
            return str(error.value)

        assert f"port {port}, by which the processes would meet, is in use" in in_two(refused, meet=False)[0]
