"""Students of many families: made from a spec or the teacher's layers, trained, saved and measured; or one line."""

from pathlib import Path

import pytest
import torch
from transformers import (
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    LongformerConfig,
    LongformerForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedModel,
)

from distill.common import encode
from distill.common.errors import InputError
from distill.student import load_student
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import LABELS, make_tokenizer

TEXTS = ["boat and cow", "cow " * 200]


@pytest.mark.parametrize("family", ["deberta", "deberta-v2", "modernbert", "llama", "roberta", "gpt2"])
def test_a_student_of_random_weights(teacher: TransformersTeacher, tmp_path: Path, family: str) -> None:
    student = load_student(f"{family}:layers=2,hidden=32,heads=2", teacher=teacher, device="cpu")
    answers = student.answers(TEXTS)
    table = encode.token_table(student.model, student.tokenizer, student.max_length)
    table.put(torch.arange(2), TEXTS)
    student.model.train()
    student.model(**table.gather(torch.arange(2), torch.device("cpu"))).logits.sum().backward()
    student.save(tmp_path / "student")
    torch.testing.assert_close(TransformersTeacher(tmp_path / "student", "cpu")(TEXTS), answers)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("bert:layers=1000000,hidden=32", "num_hidden_layers = 1,000,000; at most 1,000"),
        ("bert:layers=2,hidden=99999968,heads=1", "hidden_size = 99,999,968; at most"),
        ("bert:layers=2,hidden=32,attn_implementation=evil/kernel", "'attn_implementation' in .* is not a field"),
        ("modernbert:layers=2,hidden=32,heads=2,layer_types=none", "no model can be built"),
    ],
)
def test_what_cannot_be_built_is_one_line(teacher: TransformersTeacher, spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_student(spec, teacher=teacher, device="cpu")
    assert "\n" not in str(caught.value)


SIZES = {"vocab_size": len(make_tokenizer()), "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
         "intermediate_size": 48, "pad_token_id": 0, "id2label": dict(enumerate(LABELS)),
         "label2id": {name: index for index, name in enumerate(LABELS)}}  # fmt: skip


@pytest.mark.parametrize(
    "model",
    [DebertaV2ForSequenceClassification(DebertaV2Config(**SIZES)), ModernBertForSequenceClassification(
        ModernBertConfig(**SIZES, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3))],
    ids=["deberta-v2", "modernbert"],
)  # fmt: skip
def test_layers_of_the_teacher(model: PreTrainedModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    teacher = TransformersTeacher(tmp_path, "cpu")
    whole = load_student("teacher-layers:0,1,2", teacher=teacher, device="cpu")
    torch.testing.assert_close(whole.answers(TEXTS[:1]), teacher(TEXTS[:1]))
    assert load_student("teacher-layers:0,2", teacher=teacher, device="cpu").model.config.num_hidden_layers == 2
    if model.config.model_type == "modernbert":
        with pytest.raises(InputError, match="first layer of a ModernBERT is of another form; begin with 0"):
            load_student("teacher-layers:1,2", teacher=teacher, device="cpu")


def test_kinds_of_attention_are_not_taken_for_layers(tmp_path: Path) -> None:
    """A DeBERTa of two layers has as many kinds of positions as layers."""
    config = DebertaV2Config(
        **SIZES | {"num_hidden_layers": 2}, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8
    )
    DebertaV2ForSequenceClassification(config).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    student = load_student("teacher-layers:0", teacher=TransformersTeacher(tmp_path, "cpu"), device="cpu")
    assert student.model.config.pos_att_type == ["p2c", "c2p"]
    assert student.answers(TEXTS).isfinite().all()


def test_what_each_layer_of_the_teacher_is_goes_with_it(tmp_path: Path) -> None:
    config = LongformerConfig(**SIZES, attention_window=[4, 8, 16], max_position_embeddings=66)
    LongformerForSequenceClassification(config).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    teacher = TransformersTeacher(tmp_path, "cpu")
    student = load_student("teacher-layers:0,2", teacher=teacher, device="cpu")
    assert student.model.config.attention_window == [4, 16]
    assert student.answers(TEXTS).isfinite().all()


def test_a_family_that_refuses_fewer_layers_is_one_line(teacher: TransformersTeacher, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("layers: no")

    monkeypatch.setattr("distill.student.AutoConfig.for_model", refuse)
    with pytest.raises(InputError, match=r"no model can be built from teacher-layers:0 \(layers: no\)"):
        load_student("teacher-layers:0", teacher=teacher, device="cpu")


def test_a_measured_student_reads_what_it_was_trained_on(bert_folder: Path, tmp_path: Path) -> None:
    student = load_student(str(bert_folder), device="cpu")
    student.max_length = 12
    student.save(tmp_path / "student")
    assert TransformersTeacher(tmp_path / "student", "cpu").reads == 12
    assert TransformersTeacher(bert_folder, "cpu").reads == 64
    assert TransformersTeacher(bert_folder, "cpu", max_length=32).reads == 32
    assert student.cut_share(["cow " * 20, "cow"]) == 0.5
