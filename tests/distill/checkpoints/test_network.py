"""The hub is asked once whether it can be reached; without an answer nothing waits for it."""

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from distill.checkpoints import network


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_reached", False)
    monkeypatch.setattr(network, "_offline_since", None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def answering() -> Iterator[tuple[str, list[bytes]]]:
    """A server that has no file at all, and what it was asked."""
    asked: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
    server.close()


def test_a_hub_that_does_not_answer_is_asked_once(
    silent: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", silent)
    monkeypatch.setattr(network, "PATIENCE", 0.3)
    start = time.monotonic()
    for _ in range(20):
        network.heed_network()
    assert time.monotonic() - start < 2 and constants.HF_HUB_OFFLINE
    assert [record.levelno for record in caplog.records] == [logging.WARNING] and silent in caplog.text
    asked: list[int] = []
    monkeypatch.setattr(network, "_answers", lambda: asked.append(1) or True)
    network.heed_network()
    assert not asked
    monkeypatch.setattr(network, "TRUSTED_FOR", 0.0)  # a minute later
    network.heed_network()
    assert asked and not constants.HF_HUB_OFFLINE


def test_a_hub_that_answers_is_used(answering: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", answering[0])
    network.heed_network()
    network.heed_network()
    assert not constants.HF_HUB_OFFLINE and len(answering[1]) == 1


def test_the_users_own_offline_mode_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(network, "TRUSTED_FOR", 0.0)
    monkeypatch.setattr(network, "_answers", lambda: pytest.fail("asked"))
    network.heed_network()
    assert constants.HF_HUB_OFFLINE


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate-data", "rows.jsonl", "--teacher", "nobody/unknown"],
        ["train", "--teacher", "nobody/unknown", "--generator", "nobody/lm", "--output_dir", "run"],
        ["evaluate", "nobody/unknown", "--task", "sst2"],
    ],
)
def test_every_command_ends_soon_in_one_line(arguments: list[str], silent: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a b"}\n{"text": "c d"}\n')
    environment = {**os.environ, "HF_ENDPOINT": silent, "HF_HOME": str(tmp_path / "hf")}
    del environment["HF_HUB_OFFLINE"]
    command = [sys.executable, "-m", "prompter.cli", *arguments]
    start = time.monotonic()
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90)
    taken = time.monotonic() - start
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert ended.stderr.strip().splitlines()[-1].startswith("prompter: ") and taken < 60, (taken, ended.stderr)
