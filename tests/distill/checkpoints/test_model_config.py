"""config.json as people have it is understood; as a stranger may write it, it is one line, and nothing is imported."""

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.common.errors import InputError
from distill.common.hub import load_config, load_tokenizer
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import LABELS

TEXTS = ["boat and cow", "cow", "a boat"]


@pytest.fixture
def copy(bert_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert_folder, tmp_path / "copy"))


def change(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {
            "id2label": {str(i + 1): name for i, name in enumerate(LABELS)},
            "label2id": {n: i + 1 for i, n in enumerate(LABELS)},
        },
        {"id2label": list(LABELS), "label2id": None},
        {"id2label": None},
        {"id2label": {}, "label2id": {name: str(i) for i, name in enumerate(LABELS)}},
        {"max_position_embeddings": "64", "hidden_dropout_prob": "0.1", "num_hidden_layers": 3.0, "layer_norm_eps": "1e-12"},
        {"num_labels": len(LABELS)},
        {"num_labels": str(len(LABELS))},
        {"model_type": "bert", "auto_map": {"AutoConfig": "evil.Config"}, "fusion_config": {"x": True}},
        {"pad_token_id": 10**6, "eos_token_id": 10**6},
        {"attn_implementation": "eager"},
        {"attn_implementation": None},
        {"transformers_weights": "../../elsewhere.safetensors"},
        {"architectures": [None]},
        {"architectures": "BertForSequenceClassification"},
    ],
)
def test_what_people_have(copy: Path, bert_folder: Path, changes: dict[str, Any]) -> None:
    expected = TransformersTeacher(bert_folder, "cpu")(TEXTS)
    change(copy, **changes)
    teacher = TransformersTeacher(copy, "cpu")
    assert teacher.labels == list(LABELS)
    torch.testing.assert_close(teacher(TEXTS), expected, rtol=1e-4, atol=1e-5)


def test_names_that_are_numbers(copy: Path) -> None:
    change(copy, id2label={"0": 1, "1": 2.5, "2": True}, label2id=None)
    assert TransformersTeacher(copy, "cpu").labels == ["1", "2.5", "True"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 10**6}, "num_hidden_layers = 1,000,000; at most 1,000"),
        ({"num_hidden_layers": str(10**6)}, "at most 1,000"),
        ({"id2label": None, "label2id": None, "num_labels": 10**7}, "num_labels = 10,000,000; at most 100,000"),
        ({"id2label": {str(i): str(i) for i in range(100_001)}}, "id2label = 100,001"),
        ({"hidden_size": 10**9}, "hidden_size"),
        ({"vocab_size": 10**9}, "vocab_size"),
        ({"max_position_embeddings": 10**12}, "max_position_embeddings"),
        ({"max_position_embeddings": 10**7}, "describes .* weights, but the files hold"),
        ({"nested": {"text_config": {"num_layers": 10**6}}}, "num_layers"),
        ({"attn_implementation": "evil/kernel"}, "attn_implementation 'evil/kernel', which may be code"),
        ({"_attn_implementation": "evil/kernel@main:f"}, "may be code"),
        ({"attn_implementation": {"text_config": "evil/kernel"}}, "may be code"),
        ({"text_config": {"attn_implementation": "evil/kernel"}}, "may be code"),
        ({"attn_implementation": "paged|evil/kernel"}, "may be code"),
        ({"id2label": {"0": "a", "2": "b", "5": "c"}}, "numbers its classes"),
        ({"id2label": "abc"}, "expected names by number"),
        ({"id2label": {"a": "0"}}, "expected names by number"),
        ({"num_labels": 7}, "num_labels = 7, but id2label has 3 names"),
        ({"quantization_config": {"quant_method": "evil"}}, "quantised by 'evil'"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "gptqmodel is not installed"),
        ({"model_type": "brt"}, "model_type 'brt' is unknown"),
        ({"model_type": ["bert"]}, "is unknown"),
        ({"num_attention_heads": 0}, "cannot be loaded"),
        ({"num_attention_heads": -1}, "cannot classify a text"),
        ({"num_hidden_layers": "three"}, "cannot be loaded"),
        ({"hidden_size": None}, "cannot be loaded"),
        ({"hidden_act": "evil"}, "cannot be loaded"),
        ({"problem_type": "regression"}, "gives 3 numbers for a text"),
        ({"dtype": "evil"}, "cannot be loaded"),
        ({"architectures": "Bert"}, "is not a sequence classifier|cannot be loaded"),
    ],
)
def test_what_strangers_may_write(copy: Path, changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    change(copy, **changes)
    asked: list[str] = []
    monkeypatch.setattr("importlib.import_module", lambda name, *_: asked.append(name) or sys.modules[name])
    started = time.monotonic()
    with pytest.raises(InputError, match=message) as caught:
        TransformersTeacher(copy, "cpu")(TEXTS)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("teacher: ")
    assert time.monotonic() - started < 20
    assert not [name for name in asked if "evil" in name]


def test_deep_and_huge_files(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = copy / "config.json"
    file.write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    with pytest.raises(InputError, match="is not JSON"):
        load_config(copy, "teacher")
    change_depth: Any = 1
    for _ in range(30):
        change_depth = {"a": change_depth}
    file.write_text(json.dumps({"model_type": "bert"} | change_depth))
    with pytest.raises(InputError, match="nested more than 16 deep"):
        load_config(copy, "teacher")
    monkeypatch.setattr("distill.checkpoints.model_config.MAX_JSON_BYTES", 10)
    with pytest.raises(InputError, match="at most 10 are read"):
        load_config(copy, "teacher")


def test_tokenizer_with_millions_of_entries(copy: Path) -> None:
    entries = ",".join(f'"w{i}":{i}' for i in range(2_100_000))
    (copy / "tokenizer.json").write_text('{"model":{"type":"WordLevel","unk_token":"w0","vocab":{' + entries + "}}}")
    started = time.monotonic()
    with pytest.raises(InputError, match=r"tokenizer.json has 2,100,\d+ entries; at most 2,000,000"):
        load_tokenizer(copy, "teacher")
    assert time.monotonic() - started < 5


def test_tokenizer_files_alone(copy: Path) -> None:
    (copy / "config.json").unlink()
    assert load_tokenizer(copy, "student_tokenizer")("boat")["input_ids"]


def test_infinity_as_transformers_writes_it(copy: Path) -> None:
    infinite = {"__float__": "Infinity"}
    change(copy, limit=infinite, limits=[0.0, infinite, {"low": {"__float__": "-Infinity"}}])
    config = load_config(copy, "teacher")
    assert (config.limit, config.limits) == (float("inf"), [0.0, float("inf"), {"low": -float("inf")}])


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"load_in_4bit": True}, r"quantised \(bitsandbytes\)"),
        ({"quant_method": None}, "has no quant_method"),
    ],
)
def test_a_quantiser_that_is_half_named(copy: Path, said: dict, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    change(copy, quantization_config=said)
    with pytest.raises(InputError, match=message):
        load_config(copy, "teacher")


def test_an_error_of_several_lines_is_told_whole(copy: Path) -> None:
    change(copy, pad_token_id="none")
    with pytest.raises(InputError, match=r"cannot be loaded \(Validation error for field 'pad_token_id': .*expected int"):
        load_config(copy, "teacher")


def test_a_tokenizer_without_its_vocabulary(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    settings = json.loads((copy / "tokenizer_config.json").read_text()) | {"tokenizer_class": "TokenizersBackend"}
    (copy / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"has no tokenizer files \(tokenizer.json\)"):
        load_tokenizer(copy, "teacher")
