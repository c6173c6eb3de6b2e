"""Runs whose frozen writer is on a server."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from distill.common.errors import InputError
from prompter.training.run import train
from prompter.training.settings import parse_settings
from tests.prompter.completions_server import MODEL, CompletionsServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CompletionsServer]:
    monkeypatch.delenv("PROMPTER_WRITER_TOKEN", raising=False)
    server = CompletionsServer()
    yield server
    server.close()


def test_a_run_and_its_resumption(arguments: Callable, server: CompletionsServer, tmp_path: Path) -> None:
    settings = {
        "budget": 16,
        "student_updates": 2,
        "writer_batch_size": 0,
        "writer": f"{server.url}?key=s3cret#{MODEL}",
        "candidates": 2,
    }
    summary = train(parse_settings(arguments(**settings)))
    assert summary is not None
    assert len(server.asked) == 2 * 16  # two candidates for each query
    run = tmp_path / "run"
    assert yaml.safe_load((run / "config.yaml").read_text())["writer"] == f"{server.url}#{MODEL}"
    assert json.loads((run / "prompter" / "prompter.json").read_text())["written_by"] == f"{server.url}#{MODEL}"
    assert json.loads((run / "writer.json").read_text()) == {"id": MODEL, "root": "/models/writer"}
    assert not [file for file in run.rglob("*") if file.is_file() and b"s3cret" in file.read_bytes()]
    for name in ("summary.json", "report.html"):
        (run / name).unlink()
    server.listed["data"][0]["root"] = "/models/other"
    with pytest.raises(InputError, match="writer: the server has org/writer, /models/other now"):
        train(parse_settings([*arguments(**settings), "--resume"]))
    with pytest.raises(InputError, match="another configuration .*writer: 'http"):
        train(parse_settings([*arguments(**settings | {"writer": "transformers"}), "--resume"]))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"candidates": 2, "candidate_tokens": 2}, "candidate_tokens is 2, expected 0 with a writer on vLLM or a server"),
        ({"candidates": 2, "lora_rank": 0}, "no hidden states to choose candidates by, and with lora_rank 0"),
        ({"writer": "vlm"}, "writer is 'vlm'.*Did you mean 'vllm'"),
    ],
)
def test_what_a_server_cannot_do(arguments: Callable, server: CompletionsServer, changes: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        train(parse_settings(arguments(**{"writer": f"{server.url}#{MODEL}"} | changes)))
