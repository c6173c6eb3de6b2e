"""What is found at the address of a cluster; Ray is not needed for that."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distill.common.errors import InputError
from prompter.cluster import start
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
