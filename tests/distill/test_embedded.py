"""Samples that are embeddings: stored, padded, scored, read."""

from pathlib import Path

import pytest
import torch

from distill.common.seeding import random_generator
from distill.embedded import (
    classify,
    embedded_outputs,
    nearest_texts,
    nearest_tokens,
    padded_inputs,
    padding_mask,
    stored_rows,
    word_table,
)
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import random_texts


def test_real_embeddings_decode_to_their_tokens(teacher: TransformersTeacher) -> None:
    table = word_table(teacher.model)
    everything = torch.arange(len(table)).repeat(30)  # more than are compared at once
    assert torch.equal(nearest_tokens(table[everything], table), everything)
    texts = random_texts(20, 0, 1, 20)
    inputs = teacher.tokenizer(texts, padding=True, return_tensors="pt")
    lengths = inputs["attention_mask"].sum(dim=1)
    assert len(lengths.unique()) > 3
    assert nearest_texts(table[inputs["input_ids"]], lengths, table, teacher.tokenizer) == texts
    close = table[inputs["input_ids"]] + 1e-3 * torch.randn(20, int(lengths.max()), table.shape[1])
    assert nearest_texts(close, lengths, table, teacher.tokenizer) == texts


def test_special_tokens_are_no_words(teacher: TransformersTeacher) -> None:
    table = word_table(teacher.model).clone()
    table[teacher.tokenizer.pad_token_id] = 0.0
    (text,) = nearest_texts(torch.zeros(1, 5, table.shape[1]), torch.tensor([5]), table, teacher.tokenizer)
    shortest = table.norm(dim=1).argsort().tolist()
    assert shortest[0] == teacher.tokenizer.pad_token_id
    word = next(token for token in shortest if token not in teacher.tokenizer.all_special_ids)
    assert text == teacher.tokenizer.decode([word] * 3)


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta"])
def test_stored_texts_are_answered_as_texts(family: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(f"{family}_folder")
    teacher = TransformersTeacher(folder, "cpu")
    texts = random_texts(300, 0, 1, 20)
    inputs = teacher.tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
    rows = stored_rows(word_table(teacher.model)[inputs["input_ids"]], inputs["attention_mask"].sum(dim=1))
    assert {row.dtype for row in rows} == {torch.float16}
    predictions = embedded_outputs(teacher.model, rows, 64).log_softmax(dim=1)
    assert torch.allclose(predictions, teacher(texts), atol=5e-3)  # float16 rounds the embeddings
    assert not teacher.model.training


def test_padding_is_zero_and_never_beyond_what_the_model_reads() -> None:
    rows = [torch.randn(length, 3, generator=random_generator(0, "row", length)).half() for length in (5, 2, 9)]
    inputs = padded_inputs(rows, 10, torch.device("cpu"))
    embeddings, mask = inputs["inputs_embeds"], inputs["attention_mask"]
    assert embeddings.shape == (3, 10, 3) and embeddings.dtype == torch.float32
    assert torch.equal(mask, padding_mask(torch.tensor([5, 2, 9]), 10))
    for index, row in enumerate(rows):
        assert torch.equal(embeddings[index, : len(row)], row.float())
        assert not embeddings[index, len(row) :].any()
        assert mask[index].tolist() == [1] * len(row) + [0] * (10 - len(row))


def test_stored_rows_own_their_memory() -> None:
    whole = torch.randn(4, 6, 3).half()
    row = stored_rows(whole, torch.tensor([6, 2, 3, 1]))[1]
    assert row.untyped_storage().nbytes() == 2 * 3 * 2


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta"])
def test_embedded_tokens_are_answered_as_tokens(family: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(f"{family}_folder")
    teacher = TransformersTeacher(folder, "cpu")
    inputs = teacher.tokenizer(random_texts(12, 0, 1, 20), padding=True, padding_side="right", return_tensors="pt")
    mask = inputs["attention_mask"]
    assert 0 in mask
    embeddings = word_table(teacher.model)[inputs["input_ids"]]
    with torch.no_grad():
        expected = teacher.model(input_ids=inputs["input_ids"], attention_mask=mask).logits.log_softmax(1)
        predictions = classify(teacher.model, embeddings, mask)
        # Padding is not looked at, so what stands there is of no consequence.
        noisy = torch.where(mask[..., None].bool(), embeddings, torch.full_like(embeddings, 3.0))
        assert torch.allclose(classify(teacher.model, noisy, mask), expected, atol=1e-5)
    assert torch.allclose(predictions, expected, atol=1e-5)
    assert len(expected.unique(dim=0)) == 12  # different texts, different answers
