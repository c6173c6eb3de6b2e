"""Runs and exports whose language model is a GGUF file."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from prompter.cli import main
from prompter.generation.config import PolicyConfig, WriterConfig
from prompter.generation.policy import TopicPolicy
from prompter.generation.writer import Writer
from prompter.saved.prompter import Prompter
from tests.distill.gguf_file import write_gguf
from tests.prompter.training.runs import flags_of

pytest.importorskip("gguf")


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_gguf(file, "llama", quantised=True)
    return file


@pytest.fixture
def flags(teacher_folder: Path, whole_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Flags of a run of two rollouts in the folder `run`; its model is the file `tiny.gguf` beside it."""
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(whole_file, "tiny.gguf")

    def made(**changes: object) -> list[str]:
        return ["train", *flags_of(Path("run"), teacher_folder, Path("tiny.gguf"), {"budget": 32} | changes)]

    return made


def export(to: str, *flags: str) -> int:
    return main(["export", "run", "--rows", "6", "--output_dir", to, "--device", "cpu", "--quiet", *flags])


def test_a_run_and_an_export(flags: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(flags()) == 0
    manifest = json.loads(Path("run/prompter/prompter.json").read_text())
    assert manifest["base"] == manifest["writer"] == "tiny.gguf" and manifest["adapter"]
    assert json.loads(Path("run/prompter/adapter_config.json").read_text())["base_model_name_or_path"] == "tiny.gguf"
    assert export("data") == 0
    assert list(Path("data").rglob("*.parquet"))
    prompter = Prompter.load("run", device="cpu")
    assert isinstance(prompter.writer, Writer) and prompter.writer.model is prompter.policy.model
    Path("elsewhere").mkdir()
    Path("tiny.gguf").rename("elsewhere/tiny.gguf")
    capsys.readouterr()
    assert export("again") == 2
    said = capsys.readouterr().err
    assert not Path("again").exists()
    assert "file tiny.gguf does not exist" in said and "--base" in said and "Traceback" not in said
    assert export("again", "--base", "elsewhere/tiny.gguf") == 0
    moved = Prompter.load("run", base="elsewhere/tiny.gguf", device="cpu")
    assert moved.texts("good", 2) == prompter.texts("good", 2)


def test_all_weights(flags: Callable[..., list[str]]) -> None:
    """A model that is tuned as a whole is saved as an ordinary one, which needs no GGUF file; the writer still does."""
    assert main(flags(lora_rank=0, topic_max_tokens=4, writes="text")) == 0
    Path("tiny.gguf").unlink()
    assert (Path("run/prompter") / "model.safetensors").is_file()
    assert "quantization_config" not in json.loads(Path("run/prompter/config.json").read_text())
    AutoModelForCausalLM.from_pretrained("run/prompter")
    assert len(Prompter.load("run", device="cpu").texts("good", 3)) == 3


def test_another_file_for_the_policy(flags: Callable[..., list[str]]) -> None:
    write_gguf(Path("policy.gguf"), "qwen2")
    assert main(flags(policy="policy.gguf")) == 0
    prompter = Prompter.load("run", device="cpu")
    assert (prompter.manifest["base"], prompter.manifest["writer"]) == ("policy.gguf", "tiny.gguf")
    assert prompter.writer.model.config.model_type == "llama"
    assert prompter.policy.model.config.model_type == "qwen2"


def test_one_file_is_one_model_in_memory(whole_file: Path) -> None:
    policy = TopicPolicy.load(str(whole_file), ["good", "bad"], PolicyConfig(lora_rank=2), 6, "cpu")
    writer = Writer.beside(policy, str(whole_file), str(whole_file), WriterConfig(writer_max_new_tokens=8), "cpu")
    assert writer.model is policy.model


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"general.architecture": "bert"}, "is not a causal language model: its architecture is 'bert'"),
        ({"general.architecture": "gptneox"}, "transformers does not read GGUF files of the architecture 'gptneox'"),
        ({"llama.context_length": 6}, "context is 6 tokens"),
        ({"tokenizer.ggml.tokens": ["<a>"] * 400}, "cannot be read|word embeddings, but its tokenizer has"),
    ],
)
def test_files_that_do_not_fit(
    flags: Callable[..., list[str]], settings: dict, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_gguf(Path("other.gguf"), settings=settings)
    refused(flags(generator="other.gguf"), message, capsys)


def test_a_file_that_is_cut_off(flags: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    content = Path("tiny.gguf").read_bytes()
    for size in (100, len(content) // 4, len(content) - 100):
        Path("other.gguf").write_bytes(content[:size])
        refused(flags(generator="other.gguf"), "is damaged or cut off .*; download it again", capsys)


def refused(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and nothing left behind."""
    assert main(flags) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, said[-1]), said
    assert not any("Traceback" in line for line in said)
    assert not Path("run").exists()
