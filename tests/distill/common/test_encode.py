from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel

from distill.common import encode
from distill.common.encode import TokenTable, length_step, outputs, padded_length, usable_length
from distill.student import Student, load_student
from tests.distill.tiny import make_tokenizer, random_texts

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=["bert_folder", "distilbert_folder", "roberta_folder"])
def student(request: pytest.FixtureRequest) -> Student:
    return load_student(str(request.getfixturevalue(request.param)), device="cpu")


def one_by_one(model: PreTrainedModel, texts: list[str], pairs: list[str] | None, max_length: int) -> torch.Tensor:
    """The plain way: each text alone, no padding at all."""
    tokenizer = make_tokenizer()
    rows = []
    for i, text in enumerate(texts):
        inputs = tokenizer(text, pairs[i] if pairs else None, truncation=True, max_length=max_length,
                           return_tensors="pt")  # fmt: skip
        if not encode.takes_token_types(model):
            inputs.pop("token_type_ids", None)
        with torch.no_grad():
            rows.append(model(**inputs).logits[0].log_softmax(dim=0))
    return torch.stack(rows)


@pytest.mark.parametrize("paired", [False, True])
def test_scores_equal_those_of_each_text_alone(student: Student, paired: bool) -> None:
    texts = ["", "boat", *random_texts(40, 0, 1, 50)]
    pairs = random_texts(42, 1, 1, 40) if paired else None
    scores = outputs(student.model, student.tokenizer, texts, pairs, batch_tokens=256).log_softmax(dim=1)
    assert scores.dtype == torch.float32
    limit = usable_length(student.model, student.tokenizer, 128)
    torch.testing.assert_close(scores, one_by_one(student.model, texts, pairs, limit), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(scores.exp().sum(dim=1), torch.ones(42))


def test_over_long_texts_are_cut_to_what_the_model_reads(student: Student) -> None:
    text = " ".join(["cow"] * 200)
    limit = usable_length(student.model, student.tokenizer, 128)
    assert limit == (63 if student.model.config.model_type == "roberta" else 64)
    scores = outputs(student.model, student.tokenizer, [text], [text])
    assert torch.isfinite(scores).all()


def test_no_texts_and_restored_mode(student: Student) -> None:
    assert outputs(student.model, student.tokenizer, []).shape == (0, 3)
    student.model.train()
    outputs(student.model, student.tokenizer, ["boat"])
    assert student.model.training
    student.model.eval()


def test_scores_can_take_part_in_a_loss(student: Student) -> None:
    scores = outputs(student.model, student.tokenizer, ["boat"])
    leaf = torch.ones(3, requires_grad=True)
    (scores * leaf).sum().backward()
    assert leaf.grad is not None


@given(st.integers(1, 600), st.integers(1, 512), st.sampled_from([4, 16]))
def test_padded_length_is_the_next_multiple(length: int, most: int, step: int) -> None:
    padded = padded_length(min(length, most), most, step)
    assert min(length, most) <= padded <= most
    assert padded % step == 0 or padded == most
    assert padded - min(length, most) < step


def test_shapes_are_few_only_where_a_new_one_costs_something(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, step in (("bfloat16", 16), ("float32", 4)):
        monkeypatch.setenv("PROMPTER_PRECISION", name)
        assert length_step(CPU) == step
    assert length_step(torch.device("cuda")) == 16


rows_and_lengths = st.lists(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 70)), min_size=1, max_size=6),
                            min_size=1, max_size=5)  # fmt: skip


@given(rows_and_lengths, st.booleans())
@settings(deadline=None, max_examples=50)
def test_table_returns_what_was_put_last(history: list[list[tuple[int, int]]], paired: bool) -> None:
    tokenizer = make_tokenizer()
    table = TokenTable(tokenizer, max_length=50, token_types=True)
    held: dict[int, tuple[str, str | None]] = {}
    for step, puts in enumerate(history):
        rows = {row: " ".join(random_texts(1, step, max(n, 1), max(n, 1))) if n else "" for row, n in puts}
        pairs = ["cow hay"] * len(rows) if paired else None
        table.put(torch.tensor(list(rows)), list(rows.values()), pairs)
        held |= {row: (text, "cow hay" if paired else None) for row, text in rows.items()}
    gathered = table.gather(torch.tensor(list(held)), CPU)
    for i, (text, pair) in enumerate(held.values()):
        expected = tokenizer(text, pair, truncation=True, max_length=50)
        real = int(gathered["attention_mask"][i].sum())
        assert gathered["input_ids"][i, :real].tolist() == expected["input_ids"]
        assert gathered["input_ids"][i, real:].eq(tokenizer.pad_token_id).all()
        if paired:
            assert gathered["token_type_ids"][i, :real].tolist() == expected["token_type_ids"]
    width = gathered["input_ids"].shape[1]
    assert width % length_step(CPU) == 0 or width == 50


def test_token_types_only_where_the_tokenizer_announces_them(bert_folder: Path) -> None:
    student = load_student(str(bert_folder), device="cpu")
    marked = student.answers(["boat"], ["cow hay barn"])
    student.tokenizer.model_input_names = ["input_ids", "attention_mask"]
    assert not torch.allclose(marked, student.answers(["boat"], ["cow hay barn"]))


def test_text_without_any_token_is_one_padding_token() -> None:
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = None
    table = TokenTable(tokenizer, max_length=50, token_types=True)
    for texts in ([""], ["", "boat"]):
        table.put(torch.arange(len(texts)), texts)
        gathered = table.gather(torch.arange(len(texts)), CPU)
        assert gathered["attention_mask"].sum(dim=1).tolist() == [1] * len(texts)


def test_a_table_leaves_how_the_tokenizer_cuts_and_pads_to_another_thread_that_is_about_to_use_it() -> None:
    tokenizer = make_tokenizer()
    backend = tokenizer.backend_tokenizer
    TokenTable(tokenizer, 6, token_types=True).put(torch.arange(2), [" ".join(["cow"] * 20), "boat"])
    before = backend.truncation, backend.padding
    TokenTable(tokenizer, 6, token_types=True)
    assert (backend.truncation, backend.padding) == before and before[0]["max_length"] == 6


def test_many_texts_are_tokenised_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = random_texts(50, 3)
    whole, parts = (TokenTable(make_tokenizer(), 64, token_types=False) for _ in range(2))
    whole.put(torch.arange(50), texts)
    monkeypatch.setattr(encode, "TOKENISED_AT_ONCE", 7)
    parts.put(torch.arange(50), texts)
    rows = torch.arange(50)
    assert torch.equal(whole.gather(rows, CPU)["input_ids"], parts.gather(rows, CPU)["input_ids"])


def test_few_shapes_and_little_padding(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    forward = student.model.forward

    def spy(**inputs: torch.Tensor) -> object:
        shapes.append(tuple(inputs["input_ids"].shape))
        return forward(**inputs)

    monkeypatch.setattr(student.model, "forward", spy)
    monkeypatch.setattr(encode, "takes_token_types", lambda model: False)
    monkeypatch.setattr(encode, "length_step", lambda device: 16)
    texts = random_texts(500, 2, 3, 60)
    outputs(student.model, student.tokenizer, texts, batch_tokens=1024)
    tokens = sum(min(len(text.split()) + 2, 64) for text in texts)
    assert {width % 16 for _, width in shapes} <= {0, 15}  # 15: RoBERTa's 63 positions
    assert len(set(shapes)) <= 6
    assert sum(rows * width for rows, width in shapes) < 1.5 * tokens
