import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from distill.checkpoints.gguf import LLAMA3_ROPE, ON_HUB
from distill.common.errors import InputError
from distill.common.hub import check_vocabulary, load_model, load_tokenizer
from tests.distill.gguf_file import CONFIGS, byte_tokenizer, tiny_model, write_gguf

pytest.importorskip("gguf")

CPU = torch.device("cpu")


@pytest.mark.parametrize("family", list(CONFIGS))
def test_the_model_of_the_file(tmp_path: Path, family: str) -> None:
    file = tmp_path / "model.gguf"
    model, _ = write_gguf(file, family)
    read = load_model(AutoModelForCausalLM, file, "generator", CPU, torch.float32)
    ids = torch.arange(3, 43)[None]
    with torch.no_grad():
        torch.testing.assert_close(read(ids).logits, model(ids).logits, rtol=1e-4, atol=1e-4)
    assert read.config.max_position_embeddings == 128
    read.save_pretrained(tmp_path / "saved")
    again = load_model(AutoModelForCausalLM, tmp_path / "saved", "generator", CPU, torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(again(ids).logits, read(ids).logits)


def test_the_tokenizer_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    _, tokenizer = write_gguf(file)
    (tmp_path / "tokenizer.json").write_text("{")  # belongs to something else
    read = load_tokenizer(file, "generator")
    text = "the good film\n<|im_end|> and 3 rooms é"
    assert read(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert read.decode(read(text)["input_ids"]) == tokenizer.decode(tokenizer(text)["input_ids"])
    assert (read.bos_token, read.eos_token, read.pad_token) == ("<|endoftext|>", "<|im_end|>", "<|im_end|>")
    chat = [{"role": "user", "content": "hi"}]
    expected = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert read.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == expected
    read.save_pretrained(tmp_path / "saved")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert not any("prompter-gguf" in path.read_text() for path in (tmp_path / "saved").iterdir())


def test_blocks_of_eight_bits(tmp_path: Path) -> None:
    model, _ = write_gguf(tmp_path / "model.gguf", quantised=True)
    read = load_model(AutoModelForCausalLM, tmp_path / "model.gguf", "generator", CPU, torch.float32)
    ids = torch.arange(3, 43)[None]
    with torch.no_grad():
        torch.testing.assert_close(read(ids).logits, model(ids).logits, rtol=0.05, atol=0.05)
    assert not hasattr(read.config, "quantization_config")
    half = load_model(AutoModelForCausalLM, tmp_path / "model.gguf", "generator", CPU, torch.bfloat16)
    assert {weight.dtype for weight in half.parameters()} == {torch.bfloat16}


def test_stretched_positions(tmp_path: Path) -> None:
    """Llama 3.1 and later keep the factors of their positions in a tensor, which transformers does not read."""
    import gguf

    tokenizer = byte_tokenizer()
    config = CONFIGS["llama"](len(tokenizer))
    config.rope_parameters = LLAMA3_ROPE | {"factor": 8.0, "rope_theta": 500000.0}
    config.max_position_embeddings = 16384
    model = AutoModelForCausalLM.from_config(config)
    inverse = model.model.rotary_emb.inv_freq
    plain = 500000.0 ** -(torch.arange(0, 16, 2) / 16)
    add_tensor, written = gguf.GGUFWriter.add_tensor, []

    def with_factors(self: gguf.GGUFWriter, name: str, values: Any, **options: Any) -> None:
        if not written:
            written.append(add_tensor(self, "rope_freqs.weight", (plain / inverse).numpy()))
        add_tensor(self, name, values, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf.GGUFWriter, "add_tensor", with_factors)
        write_gguf(tmp_path / "model.gguf", model=model, tokenizer=tokenizer)
    read = load_model(AutoModelForCausalLM, tmp_path / "model.gguf", "generator", CPU, torch.float32)
    torch.testing.assert_close(read.model.rotary_emb.inv_freq, inverse)


def test_all_tokens_that_end_what_the_model_says(tmp_path: Path) -> None:
    settings = {"tokenizer.ggml.eos_token_id": 0, "tokenizer.ggml.eot_token_id": 2}
    write_gguf(tmp_path / "model.gguf", settings=settings)
    read = load_model(AutoModelForCausalLM, tmp_path / "model.gguf", "generator", CPU, torch.float32)
    assert read.generation_config.eos_token_id == [0, 2]


def test_names() -> None:
    assert ON_HUB.fullmatch("org/repo/file.gguf").groups() == ("org/repo", "file.gguf")
    assert ON_HUB.fullmatch("org/re.po/Q4/file-Q4_K_M.GGUF").groups() == ("org/re.po", "Q4/file-Q4_K_M.GGUF")
    for name in ("repo/file.gguf", "org/repo/../file.gguf", "/org/repo/file.gguf", "org/repo/.gguf"):
        assert not ON_HUB.fullmatch(name), name


def test_a_file_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "a" * 40
    folder = tmp_path / "cache" / "snapshots" / commit
    folder.mkdir(parents=True)
    write_gguf(folder / "x.gguf")
    asked = []

    def found(repository: str, name: str, revision: str) -> str:
        asked.append((repository, name, revision))
        return str(folder / name)

    monkeypatch.setattr("distill.checkpoints.gguf.cached_file", found)
    model = load_model(AutoModelForCausalLM, "org/repo/x.gguf", "generator", CPU, torch.float32, revision="v1")
    assert set(asked) == {("org/repo", "x.gguf", "v1")}
    assert model.config._commit_hash == commit
    assert load_tokenizer("org/repo/x.gguf", "generator").eos_token == "<|im_end|>"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": {"general.type": "adapter"}}, "is not a causal language model: it says that it is a 'adapter'"),
        ({"settings": {"general.architecture": "bert"}}, "is not a causal language model: its architecture is 'bert'"),
        ({"settings": {"general.architecture": "clip"}}, "is not a causal language model: its architecture is 'clip'"),
        ({"settings": {"general.architecture": "gptneox"}}, "transformers does not read .* architecture 'gptneox'; give the"),
        ({"settings": {"general.architecture": "x y"}}, "names no architecture"),
        ({"settings": {"split.count": 3}}, "is one of 3 parts; join them"),
        ({"settings": {"llama.block_count": 10**6}}, "num_hidden_layers = 1,000,000; at most"),
        ({"settings": {"llama.block_count": 900, "llama.feed_forward_length": 200_000}}, "describes .* weights, but .* hold"),
        ({"settings": {"llama.feed_forward_length": 80}}, "has shape .* but its settings describe"),
        ({"settings": {"general.alignment": 0}}, "its alignment is 0"),
        ({"without": ("tokenizer.",)}, "has no tokenizer; use a file that was converted"),
        ({"settings": {"tokenizer.ggml.bos_token_id": 5000}}, "bos_token_id is 5000, but it has 295 tokens"),
        ({"settings": {"tokenizer.ggml.model": "unheard"}}, "the tokenizer in .* cannot be read .*'unheard'"),
        ({"settings": {"tokenizer.ggml.merges": ["a"]}}, "the tokenizer in .* cannot be read"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    file = tmp_path / "model.gguf"
    write_gguf(file, **changes)
    with pytest.raises(InputError, match=f"^generator: .*{message}") as caught:
        load_model(AutoModelForCausalLM, file, "generator", CPU, torch.float32)
        load_tokenizer(file, "generator")
    assert "\n" not in str(caught.value)


def test_a_vocabulary_larger_than_the_embedding(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    model = tiny_model("llama", tokenizer)
    tokenizer.add_tokens(["<new>", "<newer>"])
    write_gguf(tmp_path / "model.gguf", model=model, tokenizer=tokenizer)
    read = load_model(AutoModelForCausalLM, tmp_path / "model.gguf", "generator", CPU, torch.float32)
    with pytest.raises(InputError, match="has .* word embeddings, but its tokenizer has"):
        check_vocabulary(read, load_tokenizer(tmp_path / "model.gguf", "generator"), "generator: x")


def test_other_uses(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    write_gguf(file)
    for head in (False, True):
        with pytest.raises(InputError, match="teacher: .* is not a sequence classifier: .*LlamaForCausalLM"):
            load_model(AutoModelForSequenceClassification, file, "teacher", CPU, torch.float32, new_head=head)
    with pytest.raises(InputError, match="holds GGUF files; name one of them: .*model.gguf"):
        load_model(AutoModelForCausalLM, tmp_path, "generator", CPU, torch.float32)
    for name in ("missing.gguf", str(tmp_path / "missing.gguf")):
        with pytest.raises(InputError, match="generator: file .*missing.gguf does not exist; .* org/repo/file.gguf"):
            load_model(AutoModelForCausalLM, name, "generator", CPU, torch.float32)


def test_no_such_file_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*asked: object, **known: object) -> str:
        raise OSError("offline")

    monkeypatch.setattr("distill.checkpoints.gguf.cached_file", unreachable)
    with pytest.raises(InputError, match=r"is not a local file, .*download org/repo x.gguf --local-dir DIR\) and pass DIR/x"):
        load_model(AutoModelForCausalLM, "org/repo/x.gguf", "generator", CPU, torch.float32)


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gguf(tmp_path / "model.gguf")
    monkeypatch.setitem(sys.modules, "gguf.constants", None)
    with pytest.raises(InputError, match=r"gguf is not installed: pip install 'topic-prompter\[gguf\]'"):
        load_model(AutoModelForCausalLM, tmp_path / "model.gguf", "generator", CPU, torch.float32)
