"""examples/serve.py as a real server, asked by hand and as a teacher."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.portable.exported import ExportedClassifier
from distill.teachers.loading import load_teacher
from tests.distill.portable.programs import write_program
from tests.prompter.tiny import word_tokenizer

pytest.importorskip("fastapi")
SERVE = Path(__file__).parents[2] / "examples" / "serve.py"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_program(tmp_path_factory.mktemp("served"), word_tokenizer(), ["good", "bad"])


@pytest.fixture(scope="module")
def address(program: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, SERVE, program, "--port", str(port)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/predict"
    finally:
        server.terminate()
        server.wait(timeout=20)


def ask(address: str, body: Any) -> Any:
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=30))


def test_the_service_is_a_teacher_like_any_other(address: str, program: Path) -> None:
    texts = [f"good w{i} bad w{i % 7}" for i in range(40)] + ["w1"]
    service = load_teacher(address, labels=["good", "bad"])
    torch.testing.assert_close(service(texts), ExportedClassifier(program)(texts), atol=1e-4, rtol=0)


def test_one_text_alone_gets_one_answer(address: str) -> None:
    one, batch = ask(address, {"inputs": "good w1"}), ask(address, {"inputs": [["good w1"], ["bad"]]})
    assert {row["label"] for row in one} == {"good", "bad"} and sum(row["score"] for row in one) == pytest.approx(1, abs=1e-5)
    assert len(batch) == 2 and {row["label"]: row["score"] for row in batch[0]} == pytest.approx(
        {row["label"]: row["score"] for row in one}, abs=1e-5
    )


def test_a_text_without_tokens_is_answered_as_in_training(address: str, program: Path) -> None:
    wanted = ExportedClassifier(program)(["", "good w1"]).exp()
    given = [*ask(address, {"inputs": [[""], ["good w1"]]}), ask(address, {"inputs": ""}), *ask(address, {"inputs": [[""]]})]
    scores = torch.tensor([[row["score"] for row in answer] for answer in given])
    torch.testing.assert_close(scores, wanted[[0, 1, 0, 0]], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "inputs", [None, [], 3, [["a", "b"]], [[1]], {"a": 1}, [["a"]] * 33, ["a", "b"], [["\ud83d"]], "\udc00"]
)
def test_what_it_does_not_take_is_refused(address: str, inputs: object) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(address, {"inputs": inputs})
    assert caught.value.code == 422
