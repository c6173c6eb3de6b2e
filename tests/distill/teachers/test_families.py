"""Families of classifiers that need care: those that pool at an end token, and those that read from the left."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BartForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForSequenceClassification,
    XLNetConfig,
    XLNetForSequenceClassification,
)

from distill.common import encode
from distill.common.errors import InputError
from distill.common.seeding import seeded
from distill.student import load_student
from distill.teachers.transformers_teacher import TransformersTeacher

WORDS = "good bad film food the was a text".split()
SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
CLASSES = {"id2label": {0: "neg", 1: "pos"}, "label2id": {"neg": 0, "pos": 1}}
ODD = ["good film", "good food was <s> 20 </s> 10", "bad </s>", "</s>", "", "<pad> a", "a " * 100]


def reader(template: str, side: str = "right") -> PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *WORDS))}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(
        single=template,
        pair=template.replace("$A", "$A </s> $B"),
        special_tokens=[(token, vocabulary[token]) for token in ("<s>", "</s>")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>",
        pad_token="<pad>", padding_side=side, model_max_length=32,
    )  # fmt: skip


def saved(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    with torch.no_grad(), seeded(0, "weights"):
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 2 / weight.shape[-1] ** 0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


TOKENS = {"vocab_size": 12, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
BART = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
        "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_position_embeddings": 32, "decoder_start_token_id": 3}  # fmt: skip
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}


@pytest.fixture(params=["bart", "t5"])
def pooled_at_the_end(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "bart":
        model = BartForSequenceClassification(BartConfig(**TOKENS, **BART, **CLASSES))
    else:
        model = T5ForSequenceClassification(T5Config(**TOKENS, **T5, **CLASSES))
    return saved(model, reader("<s> $A </s>"), tmp_path / "teacher")


def test_the_spelling_of_an_end_token_is_no_end(pooled_at_the_end: Path) -> None:
    teacher = TransformersTeacher(pooled_at_the_end, "cpu")
    together, alone = teacher(ODD), torch.cat([teacher([text]) for text in ODD])
    assert together.isfinite().all()
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    inputs = teacher.tokenizer(ODD[0], return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        torch.testing.assert_close(teacher.model(**inputs).logits.log_softmax(-1), together[:1], rtol=1e-4, atol=1e-5)
    assert teacher(["a </s>", "a"], ["b", "</s> b </s>"]).isfinite().all()


def test_a_student_that_pools_at_the_end_learns_from_such_texts(pooled_at_the_end: Path) -> None:
    student = load_student(str(pooled_at_the_end), device="cpu")
    table = encode.token_table(student.model, student.tokenizer, 32)
    table.put(torch.arange(len(ODD)), ODD)
    inputs = table.gather(torch.arange(len(ODD)), torch.device("cpu"))
    student.model.train()
    assert student.model(**inputs).logits.shape == (len(ODD), 2)


def test_a_tokenizer_without_the_end_token_is_refused_at_load(tmp_path: Path) -> None:
    model = BartForSequenceClassification(BartConfig(**TOKENS, **BART, **CLASSES))
    folder = saved(model, reader("<s> $A"), tmp_path / "teacher")
    with pytest.raises(InputError, match="teacher: .*cannot classify a text"):
        TransformersTeacher(folder, "cpu")


def test_xlnet_reads_from_the_left(tmp_path: Path) -> None:
    model = XLNetForSequenceClassification(XLNetConfig(vocab_size=12, d_model=16, n_layer=2, n_head=2, d_inner=16, **CLASSES))
    teacher = TransformersTeacher(saved(model, reader("$A </s> <s>", "left"), tmp_path / "teacher"), "cpu")
    texts = ["good film", "bad bad film and a the was", "a", ""]
    with torch.no_grad():
        alone = [teacher.tokenizer(text, return_tensors="pt", return_token_type_ids=False) for text in texts]
        expected = torch.cat([teacher.model(**inputs).logits.log_softmax(-1) for inputs in alone])
    torch.testing.assert_close(teacher(texts), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("offset", [False, True])
def test_positions_are_read_from_the_model(tmp_path: Path, offset: bool) -> None:
    """A tokenizer and a configuration may claim more tokens than the table of positions has."""
    config = BertConfig(vocab_size=12, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
                        max_position_embeddings=32, **CLASSES)  # fmt: skip
    folder = saved(BertForSequenceClassification(config), reader("<s> $A </s>"), tmp_path / "teacher")
    teacher = TransformersTeacher(folder, "cpu")
    teacher.tokenizer.model_max_length = 10**30
    teacher.model.config.max_position_embeddings = 4096
    if offset:
        teacher.model.bert.embeddings.position_embeddings.padding_idx = 1
    assert encode.usable_length(teacher.model, teacher.tokenizer, 512) == (30 if offset else 32)
    assert teacher(["a " * 600]).isfinite().all()
    assert teacher.cut_share(["a " * 600, "a", "a " * 20, "a " * 40]) == 0.5


def test_added_tokens_beyond_the_embedding_are_refused_at_load(bert_folder: Path, tmp_path: Path) -> None:
    teacher = TransformersTeacher(bert_folder, "cpu")
    teacher.tokenizer.add_tokens(["<new>"])
    teacher.model.save_pretrained(tmp_path)
    teacher.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"word embeddings, but its tokenizer has .* '<new>'.*resize_token_embeddings"):
        TransformersTeacher(tmp_path, "cpu")


def test_few_texts_are_cut_of_many() -> None:
    texts = ["a " * 5] * 9000 + ["a " * 100] * 1000
    assert encode.cut_share(reader("<s> $A </s>"), 32, texts) == pytest.approx(0.1, abs=0.01)
    assert encode.cut_share(reader("<s> $A </s>"), 32, []) == 0
    assert encode.cut_share(reader("<s> $A </s>"), 32, ["a"], ["a " * 40]) == 1
