"""Exports whose texts a server writes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from distill.common.errors import InputError
from prompter.exporting.loop import Export
from prompter.exporting.shards import read_rows
from prompter.saved.prompter import Prompter
from tests.prompter.completions_server import MODEL, CompletionsServer
from tests.prompter.exporting.exports import run

SERVED = ["--teacher", "none", "--near_duplicates", "0", "--min_words", "0"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CompletionsServer]:
    monkeypatch.delenv("PROMPTER_WRITER_TOKEN", raising=False)
    server = CompletionsServer()
    yield server
    server.close()


@pytest.mark.parametrize("kind", ["vllm", "tgi"])
def test_an_export_says_what_wrote_it(kind: str, server: CompletionsServer, run_folder: Path, tmp_path: Path) -> None:
    server.kind = kind
    run(run_folder, tmp_path / "set", *SERVED, "--writer", f"{server.url}?key=s3cret#{MODEL}")
    recipe = yaml.safe_load((tmp_path / "set" / "recipe.yaml").read_text())
    assert recipe["export"]["writer"] == f"{server.url}#{MODEL}" and "not always" in recipe["reproducible"]
    assert server.paths and all("key=s3cret" in path for path in server.paths)
    card = (tmp_path / "set" / "README.md").read_text()
    assert "A server wrote the texts" in card
    assert ("because its server gave none" in card) is (kind == "tgi"), card
    assert not [file for file in (tmp_path / "set").rglob("*") if file.is_file() and b"s3cret" in file.read_bytes()]
    rows = list(read_rows(tmp_path / "set"))
    assert all("w1 w2 w3" in row["text"] for row in rows)
    assert {row["lm_logprob"] for row in rows} == {None if kind == "tgi" else -2.0}


def test_a_begun_export_goes_on_with_the_same_model_alone(
    server: CompletionsServer, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*SERVED, "--writer", f"{server.url}#{MODEL}"]
    with monkeypatch.context() as patch:
        patch.setattr(Export, "step", lambda export: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(run_folder, tmp_path / "set", *flags)
    with pytest.raises(InputError, match=r"other settings \(writer: 'http.*' there, 'transformers' here\)"):
        run(run_folder, tmp_path / "set", *SERVED)
    assert (tmp_path / "set" / ".export" / "writer.json").is_file()
    server.listed["data"][0]["root"] = "/models/other"
    with pytest.raises(InputError, match="has org/writer, /models/other now, but had org/writer, /models/writer when"):
        run(run_folder, tmp_path / "set", *flags)
    assert not server.asked
    server.listed["data"][0]["root"] = "/models/writer"
    assert run(run_folder, tmp_path / "set", *flags) in (0, 1)


def test_a_host_that_a_folder_names_is_not_asked(
    server: CompletionsServer, run_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "prompter"
    folder.mkdir()
    for file in (run_folder / "prompter").iterdir():
        if file.name != "checksums.json":
            (folder / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((folder / "prompter.json").read_text())
    (folder / "prompter.json").write_text(json.dumps(manifest | {"written_by": f"{server.url}#{MODEL}"}))
    caplog.set_level("INFO")
    assert len(Prompter.load(folder, device="cpu").texts("good", 2)) == 2
    assert f"trained with texts of {server.url}#{MODEL}; now transformers writes (--writer)" in caplog.text
    settings = manifest["writer_settings"] | {"writer": server.url}
    (folder / "prompter.json").write_text(json.dumps(manifest | {"writer_settings": settings}))
    with pytest.raises(InputError, match="does not know one of the settings"):
        Prompter.load(folder, device="cpu")
    (folder / "prompter.json").write_text(json.dumps(manifest | {"writer": server.url}))
    with pytest.raises(InputError, match="generator"):
        Prompter.load(folder, device="cpu")
    assert not server.tokens
