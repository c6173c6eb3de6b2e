"""Words and the tokens that stand for them, against a search through all tokens, for any text and several tokenizers."""

import re
import unicodedata
from functools import cache

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from distill.common.errors import InputError
from distill.kinds.word_table import WordTable
from distill.kinds.words import first_within, words_of

CORPUS = ["the harbour, the harbours and Anna's boat: 27 km off Zürich!", "New York is new. e.g. x-ray"] * 3


@cache
def tokenizer(name: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer by pieces of words, of bytes, or of marked spaces."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    ends = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    if name == "pieces":
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer(lowercase=True)
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer: object = trainers.WordPieceTrainer(vocab_size=90, special_tokens=special)
    elif name == "bytes":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=330, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
    else:
        made = Tokenizer(models.Unigram())
        made.normalizer = normalizers.NFKC()
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=special, unk_token="[UNK]")
    made.train_from_iterator(CORPUS, trainer)
    made.post_processor = ends
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", model_max_length=64
    )


NAMES = ["pieces", "bytes", "spaces"]


def searched(span: tuple[int, int], tokens: list[tuple[int, int]]) -> int:
    shares = (number for number, (start, end) in enumerate(tokens) if start < end and start < span[1] and span[0] < end)
    return next(shares, -1)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.text(max_size=30) | st.sampled_from(CORPUS), min_size=1, max_size=4))
def test_every_word_has_the_first_token_that_shares_a_character_with_it(name: str, texts: list[str]) -> None:
    table = WordTable(tokenizer(name), 24, token_types=False)
    table.put(torch.arange(len(texts)), texts)
    for row, text in enumerate(texts):
        offsets = tokenizer(name)(text, truncation=True, max_length=24, return_offsets_mapping=True)["offset_mapping"]
        expected = [searched(span, offsets) for span in words_of(text)]
        places = table.places[row].tolist()
        assert places[: len(expected)] + [-1] * (len(expected) - len(places)) == expected
        assert set(places[len(expected) :]) <= {-1}


JOINERS = "\u200c\u200d"


@given(st.text())
@example("0\ua880")  # a vowel sign after a digit
def test_words_are_runs_of_letters_and_single_marks_in_order(text: str) -> None:
    spans = words_of(text)
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))
    between = set(range(len(text))) - {place for start, end in spans for place in range(start, end)}
    assert all(text[place].isspace() for place in between)
    for start, end in spans:
        bare = "".join(mark for mark in text[start:end] if unicodedata.category(mark)[0] != "M" and mark not in JOINERS)
        assert len(bare) <= 1 or re.fullmatch(r"\w+", bare)


def test_rows_that_are_put_again_hold_their_new_words_only() -> None:
    table = WordTable(tokenizer("pieces"), 24, token_types=False)
    table.put(torch.tensor([0, 1]), ["the harbour and the boat", "boat"])
    table.put(torch.tensor([0]), ["new"])
    assert table.places[0].tolist()[0] == 1 and table.places[0, 1:].eq(-1).all()
    logits = torch.randn(2, 8, 3)
    outputs = table.outputs_of(logits, torch.tensor([1, 0]))
    torch.testing.assert_close(outputs[0, 0], logits[0, 1])
    assert torch.isneginf(outputs[:, 1:]).all()


def test_words_after_the_last_token_have_none() -> None:
    table = WordTable(tokenizer("pieces"), 6, token_types=False)
    table.put(torch.tensor([0]), ["the " * 10_000])
    assert table.places.tolist() == [[1, 2, 3, 4]]


def test_nothing_is_found_without_tokens_or_words() -> None:
    assert first_within([], [(0, 1)]) == [] and first_within([(0, 1)], []) == [-1] and first_within([(0, 1)], [(0, 0)]) == [-1]


def test_a_tokenizer_without_offsets_is_refused() -> None:
    class Slow:
        is_fast, name_or_path = False, "old"

    with pytest.raises(InputError, match="old does not say where its tokens lie"):
        WordTable(Slow(), 24, token_types=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("राम दिल्ली में", ["राम", "दिल्ली", "में"]),
        ("cafe\u0301 in Paris", ["cafe\u0301", "in", "Paris"]),
        ("مُحَمَّد هنا", ["مُحَمَّد", "هنا"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("👩\u200d👩 ❤\ufe0f ok!", ["👩\u200d", "👩", "❤\ufe0f", "ok", "!"]),
        ("Zürich-Nord: 5 €", ["Zürich", "-", "Nord", ":", "5", "€"]),
    ],
)
def test_combining_characters_belong_to_their_word(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in words_of(text)] == words


@given(st.text(st.characters(max_codepoint=0x2FF, blacklist_categories=["Cs"]), max_size=60))
def test_text_without_combining_characters_is_divided_as_ever(text: str) -> None:
    assert words_of(text) == [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
