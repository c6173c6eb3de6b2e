"""A text gets the answer that it gets alone, whatever its model and its tokenizer call padding."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    CanineConfig,
    CanineForSequenceClassification,
    CanineTokenizer,
    ConvBertConfig,
    ConvBertForSequenceClassification,
    FNetConfig,
    FNetForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedTokenizerBase,
    XLNetConfig,
    XLNetForSequenceClassification,
)

from distill.student import load_student
from distill.teachers.loading import identity
from distill.teachers.transformers_teacher import UNPADDED, TransformersTeacher
from tests.distill.teachers.test_families import CLASSES, reader, saved

TEXTS = ["good film", "bad bad film and a the was", "a", "the food was good", "a text the film was bad a a a food"]


def make_gpt2(**config: Any) -> GPT2ForSequenceClassification:
    return GPT2ForSequenceClassification(
        GPT2Config(vocab_size=12, n_embd=16, n_layer=2, n_head=2, n_positions=32, **CLASSES, **config)
    )


def make_llama(**config: Any) -> LlamaForSequenceClassification:
    sizes = {"vocab_size": 12, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    return LlamaForSequenceClassification(LlamaConfig(**sizes, max_position_embeddings=32, **CLASSES, **config))


def tokenizer(template: str, pad: str | None) -> PreTrainedTokenizerBase:
    made = reader(template)
    made.pad_token = pad
    if pad is None:
        made.bos_token = made.cls_token = None
    return made


def each_alone(folder: Path) -> Tensor:
    """What transformers answers to each text alone, which is never padded."""
    teacher = TransformersTeacher(folder, "cpu")
    model = type(teacher.model).from_pretrained(folder).eval()
    with torch.no_grad():
        rows = [model(input_ids=teacher.tokenizer(text, return_tensors="pt")["input_ids"]).logits for text in TEXTS]
    return torch.cat(rows).log_softmax(-1)


@pytest.mark.parametrize("make", [make_gpt2, make_llama])
@pytest.mark.parametrize(
    ("said", "pad", "template", "padding"),
    [
        (0, "<pad>", "$A", ""),
        (3, "<pad>", "$A", "3"),  # config.json says the end of a text
        (3, "<pad>", "$A </s>", "3"),
        (-1, "<pad>", "$A", ""),
        (0, None, "$A </s>", "0"),  # the tokenizer names none
        (None, None, "$A", ""),
        (None, None, "$A </s>", ""),
        (None, "</s>", "$A </s>", UNPADDED),  # every text ends with the token that pads
    ],
)
def test_the_padding_of_model_and_tokenizer_may_differ(
    make: Any, said: int | None, pad: str | None, template: str, padding: str, tmp_path: Path
) -> None:
    folder = saved(make(pad_token_id=0), tokenizer(template, pad), tmp_path / "teacher")
    settings = json.loads((folder / "config.json").read_text()) | {"pad_token_id": said}
    (folder / "config.json").write_text(json.dumps(settings))
    teacher = TransformersTeacher(folder, "cpu")
    assert teacher.padding == padding
    torch.testing.assert_close(teacher(TEXTS), each_alone(folder), rtol=1e-4, atol=1e-5)


def test_a_student_is_saved_with_the_padding_of_its_model(tmp_path: Path) -> None:
    folder = saved(make_gpt2(pad_token_id=3), tokenizer("$A", "<pad>"), tmp_path / "teacher")
    student = load_student("teacher-layers:0,1", teacher=TransformersTeacher(folder, "cpu"), device="cpu")
    torch.testing.assert_close(student.answers(TEXTS), each_alone(folder), rtol=1e-4, atol=1e-5)
    assert student.tokenizer.pad_token_id == student.model.config.pad_token_id == 3


@pytest.mark.parametrize("side", ["left", "right"])
def test_xlnet_reads_its_last_token_whatever_side_its_tokenizer_pads(side: str, tmp_path: Path) -> None:
    model = XLNetForSequenceClassification(
        XLNetConfig(vocab_size=12, d_model=16, n_layer=2, n_head=2, d_inner=16, pad_token_id=0, **CLASSES)
    )
    folder = saved(model, reader("$A </s> <s>", side), tmp_path / "teacher")
    teacher = TransformersTeacher(folder, "cpu")
    assert teacher.padding == ""
    torch.testing.assert_close(teacher(TEXTS), each_alone(folder), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["convbert", "fnet"])
def test_a_family_that_does_not_mask_padding_gets_none(family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sizes = {"vocab_size": 12, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 16, "pad_token_id": 0}
    if family == "convbert":
        heads = {"num_attention_heads": 2, "embedding_size": 16, "head_ratio": 1, "max_position_embeddings": 32}
        folder = saved(
            ConvBertForSequenceClassification(ConvBertConfig(**sizes, **heads, **CLASSES)),
            reader("<s> $A </s>"),
            tmp_path / "x",
        )
    else:
        config = FNetConfig(**sizes, max_position_embeddings=32, **CLASSES)
        folder = saved(FNetForSequenceClassification(config), reader("<s> $A </s>"), tmp_path / "x")
        file = folder / "tokenizer_config.json"  # FNet's tokenizer gives no attention mask
        file.write_text(json.dumps(json.loads(file.read_text()) | {"model_input_names": ["input_ids", "token_type_ids"]}))
    teacher = TransformersTeacher(folder, "cpu")
    assert teacher.padding == UNPADDED
    assert "texts of one length are classified at once" in caplog.text
    torch.testing.assert_close(teacher(TEXTS), each_alone(folder), rtol=1e-4, atol=1e-5)


def test_other_padding_is_another_teacher(bert_folder: Path) -> None:
    teacher = TransformersTeacher(bert_folder, "cpu")
    known = identity(teacher)
    teacher.padding = UNPADDED
    assert identity(teacher) != known


@pytest.mark.slow
def test_a_model_without_a_table_of_words_is_read(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    options = {"downsampling_rate": 2, "local_transformer_stride": 16, "max_position_embeddings": 2048}
    folder = saved(
        CanineForSequenceClassification(CanineConfig(**sizes, **options, **CLASSES)), CanineTokenizer(), tmp_path / "x"
    )
    assert TransformersTeacher(folder, "cpu")(TEXTS).isfinite().all()
