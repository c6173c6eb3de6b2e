import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
)

from distill.common.errors import InputError
from distill.common.hub import load_config, load_model, load_tokenizer
from tests.distill.tiny import make_tokenizer

CPU = torch.device("cpu")


def load_classifier(folder: Path | str) -> torch.nn.Module:
    return load_model(AutoModelForSequenceClassification, folder, "teacher", CPU, torch.float32)


def refused(folder: Path | str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_classifier(folder)
    assert str(caught.value).startswith("teacher: ")
    assert "\n" not in str(caught.value)


@pytest.fixture
def copy(bert_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert_folder, tmp_path / "copy"))


def test_loads_in_the_asked_format_whatever_the_file_holds(copy: Path) -> None:
    load_classifier(copy).to(torch.bfloat16).save_pretrained(copy)
    assert load_config(copy, "teacher").dtype == torch.bfloat16
    model = load_classifier(copy)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not model.training


@pytest.mark.parametrize("name", ["/no/such/folder", "./models/none", "~/none", "a/b/c", "no such model"])
def test_missing_folder(name: str) -> None:
    refused(name, f"folder {name} does not exist; check the path")


def test_missing_folder_beside_existing_ones_is_no_hub_id(copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    refused("copy/tiny", "folder copy/tiny does not exist")


def test_hub_id_while_offline_says_to_pass_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # what HF_HUB_OFFLINE=1 sets at start
    refused("someone/never-downloaded", "offline.*hf download someone/never-downloaded --local-dir DIR.*pass DIR")
    with pytest.raises(InputError, match="student_tokenizer: .*pass DIR"):
        load_tokenizer("someone/never-downloaded", "student_tokenizer")


def test_folder_without_config_and_file_instead_of_folder(copy: Path) -> None:
    refused(str(copy / "config.json"), "is a file; give the model folder")
    (copy / "config.json").unlink()
    refused(copy, "has no config.json")


@pytest.mark.parametrize("content", ["{", '{"model_type": "no-such-family"}', "[]"])
def test_damaged_or_foreign_config(copy: Path, content: str) -> None:
    (copy / "config.json").write_text(content)
    refused(copy, "config.json|model_type")


@pytest.mark.parametrize("kept", [0, 4, 1000, -100])
def test_truncated_weights(copy: Path, kept: int) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    refused(copy, "damaged or cut off")


def test_folder_without_weights(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    refused(copy, "has no model.safetensors")
    (copy / "tf_model.h5").touch()
    refused(copy, "TensorFlow, which is not read")


def test_wrong_kind_of_model(copy: Path, tmp_path: Path) -> None:
    GPT2LMHeadModel(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=1)).save_pretrained(tmp_path / "lm")
    refused(tmp_path / "lm", "is not a sequence classifier: its config.json says GPT2LMHeadModel")
    with pytest.raises(InputError, match="generator: .*is not a causal language model.*BertForSequenceClassification"):
        load_model(AutoModelForCausalLM, copy, "generator", CPU, torch.float32)
    model = load_model(AutoModelForCausalLM, tmp_path / "lm", "generator", CPU, torch.float32)
    assert isinstance(model, GPT2LMHeadModel)


def test_head_that_was_never_trained_is_refused(tmp_path: Path) -> None:
    config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertModel(config).save_pretrained(tmp_path)
    refused(tmp_path, "is not a sequence classifier: its config.json says BertModel")
    config_file = tmp_path / "config.json"
    claims = json.loads(config_file.read_text()) | {"architectures": ["BertForSequenceClassification"]}
    config_file.write_text(json.dumps(claims))
    refused(tmp_path, "lacks trained weights .*classifier.weight")
    model = load_model(AutoModelForSequenceClassification, tmp_path, "student", CPU, torch.float32, new_head=True)
    assert model.classifier.weight.shape == (2, 8)


def test_weights_below_a_new_head_that_the_files_lack_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=2, num_attention_heads=1, intermediate_size=8)

    def begin(name: str, lacks: str) -> str:
        BertModel(config).save_pretrained(tmp_path / name)
        file = tmp_path / name / "model.safetensors"
        kept = {key: weight for key, weight in load_file(file).items() if lacks not in key}
        save_file(kept, file, {"format": "pt"})
        caplog.clear()
        load_model(AutoModelForSequenceClassification, tmp_path / name, "student", CPU, torch.float32, new_head=True)
        return caplog.text

    assert "lack 16 of the weights that config.json describes (bert.encoder.layer.1." in begin("layer", "layer.1.")
    assert "lack 1 of the weights that config.json describes (bert.embeddings.word" in begin("words", "word_embeddings")
    assert not begin("pooler", "pooler") and not begin("whole", "nothing")


def test_repository_code_is_never_run(copy: Path) -> None:
    (copy / "evil.py").write_text(f"open({str(copy / 'ran')!r}, 'w')\n")
    config_file = copy / "config.json"
    claims = json.loads(config_file.read_text())
    claims |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.EvilConfig"}}
    config_file.write_text(json.dumps(claims))
    refused(copy, "needs code from its repository")
    assert not (copy / "ran").exists()


def test_tokenizer_without_pad_token_gets_one_and_no_new_embedding(copy: Path) -> None:
    make_tokenizer(pad=False).save_pretrained(copy)
    tokenizer = load_tokenizer(copy, "teacher")
    assert tokenizer.pad_token is not None
    assert len(tokenizer) == len(make_tokenizer())
    assert tokenizer(["boat", "boat and cow"], padding=True)["attention_mask"] == [[1, 1, 1, 0, 0], [1] * 5]


def test_missing_and_damaged_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match="teacher: the tokenizer in .* cannot be loaded"):
        load_tokenizer(copy, "teacher")
    (copy / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="teacher: .*tokenizer"):
        load_tokenizer(copy, "teacher")
    (copy / "tokenizer_config.json").unlink()
    with pytest.raises(InputError, match="teacher: .*tokenizer"):
        load_tokenizer(copy, "teacher")


def test_gelu_of_many_kernels_gives_way_to_the_fused_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=2)).eval()
    assert plain.config.activation_function == "gelu_new"
    plain.save_pretrained(tmp_path)
    fused = load_model(AutoModelForCausalLM, tmp_path, "generator", torch.device("cpu"), torch.float32)
    assert fused.config.activation_function == "gelu_pytorch_tanh"
    ids = torch.randint(50, (4, 10))
    torch.testing.assert_close(fused(input_ids=ids).logits, plain(input_ids=ids).logits, rtol=1e-4, atol=1e-5)
