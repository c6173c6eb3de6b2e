"""LoRA adapters as PEFT saves them give the answers of the merged model, and nothing in their files is run."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from distill.checkpoints.adapters import Adapter, find_adapter
from distill.common.errors import InputError
from distill.common.hub import load_config, load_model
from distill.common.seeding import seeded
from distill.teachers.loading import identity
from distill.teachers.transformers_teacher import TransformersTeacher

CPU = torch.device("cpu")
TEXTS = ["boat and cow", "cow", "a boat"]


def tuned(
    base: Path, adapter: Path, auto: Any = AutoModelForSequenceClassification, task: str = "SEQ_CLS", **kwargs: Any
) -> Any:
    """Save an adapter of random weights; return the model with it."""
    kwargs.pop("num_labels", None)
    model = get_peft_model(auto.from_pretrained(base), LoraConfig(task_type=task, r=4, **kwargs))
    with torch.no_grad(), seeded(1, "adapter"):
        for name, weight in model.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                weight.normal_(0, 0.3)
    model.save_pretrained(adapter)
    return model.eval()


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"use_rslora": True}, {"use_dora": True}, {"target_modules": "all-linear"}, {"target_modules": r".*\.(query|dense)"},
     {"rank_pattern": {"query": 2}, "alpha_pattern": {"query": 16}}, {"bias": "lora_only"}],
)  # fmt: skip
def test_a_teacher_is_merged_with_its_base(bert_folder: Path, tmp_path: Path, kwargs: dict[str, Any]) -> None:
    model = tuned(bert_folder, tmp_path / "adapter", **kwargs)
    teacher = TransformersTeacher(tmp_path / "adapter", "cpu")  # the tokenizer is that of the base
    inputs = teacher.tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs).logits.log_softmax(-1)
    torch.testing.assert_close(teacher(TEXTS), expected, rtol=1e-4, atol=1e-5)
    assert not hasattr(teacher.model, "peft_config")


def test_adapter_of_a_bare_encoder_brings_its_own_head(bert_folder: Path, tmp_path: Path) -> None:
    BertModel.from_pretrained(bert_folder).save_pretrained(tmp_path / "base")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(bert_folder / file, tmp_path / "base")
    settings = tmp_path / "base" / "config.json"
    plain = json.loads(settings.read_text())
    settings.write_text(json.dumps({key: value for key, value in plain.items() if "label" not in key}))
    encoder = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=4)
    model = get_peft_model(encoder, LoraConfig(task_type="SEQ_CLS", r=4))
    model.save_pretrained(tmp_path / "adapter")
    teacher = TransformersTeacher(tmp_path / "adapter", "cpu")
    assert teacher.labels == ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"]
    inputs = teacher.tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model.eval()(**inputs).logits.log_softmax(-1)
    torch.testing.assert_close(teacher(TEXTS), expected, rtol=1e-4, atol=1e-5)


def test_a_generator(tmp_path: Path) -> None:
    with seeded(0, "lm"):
        GPT2LMHeadModel(GPT2Config(vocab_size=40, n_positions=16, n_embd=16, n_layer=2, n_head=2)).save_pretrained(
            tmp_path / "base"
        )
    model = tuned(tmp_path / "base", tmp_path / "adapter", AutoModelForCausalLM, "CAUSAL_LM")
    ids = torch.randint(40, (2, 8))
    merged = load_model(AutoModelForCausalLM, tmp_path / "adapter", "generator", CPU, torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(merged(input_ids=ids).logits, model(input_ids=ids).logits, rtol=1e-3, atol=1e-4)
    with pytest.raises(InputError, match="is not a sequence classifier"):
        load_model(AutoModelForSequenceClassification, tmp_path / "base", "teacher", CPU, torch.float32)


@pytest.fixture
def adapter(bert_folder: Path, tmp_path: Path) -> Path:
    tuned(bert_folder, tmp_path / "adapter")
    return tmp_path / "adapter"


def change(adapter: Path, **changes: Any) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_the_base_is_named_before_it_is_loaded(adapter: Path, bert_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    TransformersTeacher(adapter, "cpu")
    assert f"a LoRA adapter of {bert_folder}" in caplog.text


@pytest.mark.parametrize("field", ["target_modules", "exclude_modules", "layers_pattern"])
def test_a_regular_expression_is_never_run(adapter: Path, field: str) -> None:
    expected = TransformersTeacher(adapter, "cpu")(TEXTS)
    change(adapter, **{field: "(((((((a|.)*)*)*)*)*)*)*!", "layers_to_transform": [0]})
    started = time.monotonic()
    assert torch.equal(TransformersTeacher(adapter, "cpu")(TEXTS), expected)
    assert time.monotonic() - started < 20


def test_a_module_is_never_imported(adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil_core.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    change(adapter, megatron_core="evil_core", auto_mapping={"base_model_class": "x", "parent_library": "evil_core"})
    TransformersTeacher(adapter, "cpu")
    change(adapter, megatron_config={"a": 1})
    with pytest.raises(InputError, match="uses megatron_config, which is not merged here"):
        TransformersTeacher(adapter, "cpu")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "adapter of kind IA3; only LORA is read"),
        ({"base_model_name_or_path": None}, "names no base model"),
        ({"base_model_name_or_path": "/no/such/base"}, "folder /no/such/base does not exist"),
        ({"r": "four"}, "r is four, expected a whole number from 1 to 1024"),
        ({"r": 10**9}, "r is 1000000000, expected a whole number from 1 to 1024"),
        ({"r": 3}, "does not fit"),
        ({"rank_pattern": {"(a*)*": 4}}, "rank_pattern is no list of names of modules"),
        ({"rank_pattern": [1]}, "rank_pattern is no mapping"),
        ({"init_lora_weights": "pissa"}, "uses init_lora_weights"),
        ({"layer_replication": [[0, 2]]}, "uses layer_replication"),
    ],
)
def test_what_cannot_be_merged_is_one_line(adapter: Path, changes: dict[str, Any], message: str) -> None:
    change(adapter, **changes)
    with pytest.raises(InputError, match=message) as caught:
        TransformersTeacher(adapter, "cpu")
    assert "\n" not in str(caught.value)


def test_an_adapter_of_itself(adapter: Path) -> None:
    change(adapter, base_model_name_or_path=str(adapter))
    with pytest.raises(InputError, match="is an adapter itself"):
        load_config(adapter, "teacher")


def test_missing_weights(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").write_bytes(b"1234")
    with pytest.raises(InputError, match="damaged or cut off"):
        TransformersTeacher(adapter, "cpu")
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match="no adapter_model.safetensors"):
        TransformersTeacher(adapter, "cpu")


def test_another_base_is_another_teacher(adapter: Path, bert_folder: Path, tmp_path: Path) -> None:
    change(adapter)
    known = identity(TransformersTeacher(adapter, "cpu"))
    shutil.copytree(bert_folder, tmp_path / "other")
    model = AutoModelForSequenceClassification.from_pretrained(bert_folder)
    with torch.no_grad():
        model.classifier.bias += 1
        model.bert.pooler.dense.bias += 1
    model.save_pretrained(tmp_path / "other")
    change(adapter, base_model_name_or_path=str(tmp_path / "other"))
    assert identity(TransformersTeacher(adapter, "cpu")) != known
    change(adapter, base_model_name_or_path=str(bert_folder))
    assert identity(TransformersTeacher(adapter, "cpu")) == known


TIED_IDS = torch.tensor([[0, 5, 6, 7, 8]])


def llama(folder: Path, tied: bool) -> Path:
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        tie_word_embeddings=tied,
    )
    with seeded(0, "lm"):
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def assert_same_as_peft(base: Path, adapter: Path, resized: int | None = None, **kwargs: Any) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    if resized:
        model.resize_token_embeddings(resized)
    tuned = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, **kwargs)).eval()
    with torch.no_grad(), seeded(1, "adapter"):
        for weight in tuned.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.3)
    tuned.save_pretrained(adapter)
    merged = load_model(AutoModelForCausalLM, adapter, "generator", CPU, torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(merged(TIED_IDS).logits, tuned(TIED_IDS).logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"modules_to_save": ["lm_head"]},
        {"modules_to_save": ["embed_tokens"]},
        {"modules_to_save": ["embed_tokens", "lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj"], "resized": 43},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"], "resized": 43},
    ],
)
def test_embeddings_and_output_layer(tmp_path: Path, tied: bool, kwargs: dict[str, Any]) -> None:
    assert_same_as_peft(llama(tmp_path / "base", tied), tmp_path / "adapter", **kwargs)


def test_single_trained_tokens_are_named_and_not_the_base(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="uses trainable_token_indices, which is not merged here"):
        assert_same_as_peft(llama(tmp_path / "base", True), tmp_path / "adapter", trainable_token_indices=[3])


def test_the_base_is_read_at_the_commit_that_the_adapter_names(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_adapter(str(adapter), None, "x").revision is None  # type: ignore[union-attr]
    asked = []
    change(adapter, base_model_name_or_path="org/base", revision="v2")
    monkeypatch.setattr("distill.common.hub.file_of", lambda source, name, revision: asked.append((source, revision)))
    with pytest.raises(InputError):
        load_config("org/other", "teacher", "main")
    monkeypatch.setattr(
        "distill.common.hub.find_adapter",
        lambda source, *_: Adapter("x", "org/base", {}, adapter, "v2") if source == str(adapter) else None,
    )
    with pytest.raises(InputError):
        load_config(adapter, "teacher")
    assert ("org/base", "v2") in asked


@pytest.mark.parametrize("revision", [["v2"], "../../../home", "/etc", "v1/../../x"])
def test_a_revision_that_is_none_is_refused(adapter: Path, revision: object) -> None:
    change(adapter, revision=revision)
    with pytest.raises(InputError, match="revision in adapter_config.json is .* expected a commit or null"):
        find_adapter(str(adapter), None, "x")


def test_an_adapter_beside_a_whole_model_of_the_hub_is_left_alone(
    adapter: Path, bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself transformers would load the base that the adapter names, and put the adapter on top."""
    repository, commit = tmp_path / "hub" / "models--org--both", "0" * 40
    snapshot = shutil.copytree(bert_folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    for file in adapter.iterdir():
        if file.name.startswith("adapter_"):
            shutil.copy(file, snapshot)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    model = load_model(AutoModelForSequenceClassification, "org/both", "teacher", CPU, torch.float32)
    whole = load_model(AutoModelForSequenceClassification, bert_folder, "teacher", CPU, torch.float32).state_dict()
    assert model.state_dict().keys() == whole.keys() and not hasattr(model, "peft_config")
    assert all(torch.equal(weight, whole[name]) for name, weight in model.state_dict().items())
    teacher = TransformersTeacher("org/both", "cpu")
    change(snapshot, base_model_name_or_path="org/not-here")  # the answers do not depend on it
    assert identity(teacher)
