"""What is found at the address of a cluster; Ray is not needed for that."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distill.common.errors import InputError
from prompter.cluster import opening, start
from prompter.cluster.config import EngineSettings

SETTINGS = bytes([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1])


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("scheme", ["", "ray://"])
@pytest.mark.parametrize(
    "answer",
    [
        lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"),
        lambda connection: None,  # closes
        lambda connection: connection.recv(100) and connection.recv(100),  # silent
    ],
)
def test_something_else_at_the_address_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[socket.socket], None], scheme: str
) -> None:
    monkeypatch.delenv("RAY_USE_TLS", raising=False)
    monkeypatch.setattr(start, "PATIENCE", 0.3)
    with listening(answer) as address, pytest.raises(InputError, match=f"no cluster of Ray answers at {scheme}{address}"):
        start._check_reachable(scheme + address)


@pytest.mark.parametrize(("tls", "said"), [("0", SETTINGS), ("1", b"")])
def test_what_may_be_ray_is_left_to_ray(monkeypatch: pytest.MonkeyPatch, tls: str, said: bytes) -> None:
    monkeypatch.setenv("RAY_USE_TLS", tls)
    with listening(lambda connection: connection.sendall(said)) as address:
        start._check_reachable(address)


@pytest.mark.parametrize(
    ("address", "found", "said"),
    [
        ("host:20001", start.OTHER, "host:20001 is not a cluster's own port: .*ray://host:20001"),
        ("ray://host:6379", start.OWN, "host:6379 is the cluster's own port, .*: leave ray:// out"),
        ("host:20001", start.OWN, None),
        ("ray://host:6379", start.OTHER, None),
        ("host:20001", 1, None),
        ("auto", start.OTHER, None),
        ("host:6379", start.OTHER, None),  # not asked
        ("ray://host:10001", start.OWN, None),
    ],
)
def test_the_port_of_clients_and_a_clusters_own_are_told_apart(
    address: str, found: int, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=found))
    if said is None:
        start._check_port(address)
        return
    with pytest.raises(InputError, match=said):
        start._check_port(address)


def test_a_port_that_says_nothing_is_left_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "KNOCK", "import time; time.sleep(60)")
    monkeypatch.setattr(start, "PATIENCE", 0.2)
    start._check_port("host:20001")


def test_more_workers_than_cpus_are_said_to_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = SimpleNamespace(
        cluster_resources=lambda: {"CPU": 40.0}, nodes=lambda: [{"Resources": {"CPU": 40.0}, "Alive": 1}]
    )
    monkeypatch.setattr(opening, "connected", lambda config, threads: nullcontext(machine))
    monkeypatch.setattr(opening, "Pool", lambda *_: None)
    monkeypatch.setattr(opening.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(opening.torch, "get_num_threads", lambda: 1)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    said: list[str] = []
    for workers, address in ((2, ""), (40, "host:6379"), (40, "")):
        settings = EngineSettings(engine="ray", ray_workers=workers, ray_address=address)
        with opening.opened_pool(settings, "cpu", ("m", "n"), (), said.append):
            pass
    (line,) = said
    assert line.startswith("40 workers share the 2 CPUs of this machine") and "--ray_workers 2 is as fast" in line


@pytest.mark.parametrize("given", ["setting", "variable"])
def test_the_address_local_is_a_ray_of_this_command(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    begun: list[dict[str, Any]] = []
    ray = SimpleNamespace(is_initialized=lambda: False, init=lambda **options: begun.append(options), shutdown=lambda: None)
    monkeypatch.setattr(start, "_imported", lambda alone: ray if alone else None)
    monkeypatch.setenv("RAY_ADDRESS", "local" if given == "variable" else "")
    with start.connected(EngineSettings(engine="ray", ray_address="local" if given == "setting" else ""), 1):
        folder = Path(begun[0]["_temp_dir"])  # its logs are removed at the end
        assert folder.is_dir() and begun[0]["include_dashboard"] is False
    assert not folder.exists()
