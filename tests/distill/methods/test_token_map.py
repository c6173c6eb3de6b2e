from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertJapaneseTokenizer, PreTrainedTokenizerFast

from distill.common.errors import InputError
from distill.methods.token_map import check_coverage, count_tokens, frame, map_tokens, surfaces
from tests.distill.rewriters import rewriter_tokenizer
from tests.distill.tiny import make_tokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "boat", "##s", "sail", "##ing", ".", "un", "##do", "the"]


def wordpiece(lowercase: bool = True) -> PreTrainedTokenizerFast:
    vocabulary = {token: i for i, token in enumerate(PIECES)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]"
    )


def sentencepiece(pieces: list[str]) -> PreTrainedTokenizerFast:
    """A vocabulary with T5's marks; ids: <pad> 0, </s> 1, <unk> 2, then the pieces."""
    vocabulary = {token: i for i, token in enumerate(["<pad>", "</s>", "<unk>", *pieces])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def in_python(folder: Path, lowercase: bool) -> BertJapaneseTokenizer:
    """A tokenizer without a part in Rust."""
    (folder / "vocab.txt").write_text("\n".join([*PIECES, "[MASK]"]))
    parts = {"word_tokenizer_type": "basic", "subword_tokenizer_type": "wordpiece"}
    return BertJapaneseTokenizer(vocab_file=str(folder / "vocab.txt"), do_lower_case=lowercase, **parts)


SOURCE = ["\u2581boat", "\u2581Boat", "ing", "\u2581boats", "\u2581zebra", ".", "\u2581the", "zebra"]


def spelt(index: int) -> list[str]:
    mapped = map_tokens(sentencepiece(SOURCE), wordpiece(), 11, "teacher")
    ends = [*mapped.offsets[1:].tolist(), len(mapped.pieces)]
    return [PIECES[piece] for piece in mapped.pieces[int(mapped.offsets[index]) : ends[index]].tolist()]


@pytest.mark.parametrize(
    ("token", "pieces"),
    [
        ("<pad>", ["[PAD]"]),
        ("</s>", ["[SEP]"]),
        ("<unk>", ["[UNK]"]),
        ("\u2581boat", ["boat"]),
        ("\u2581Boat", ["boat"]),  # the target lower-cases
        ("ing", ["##ing"]),  # the inside of a word
        ("\u2581boats", ["boat", "##s"]),
        ("\u2581zebra", ["[UNK]"]),
        (".", ["."]),  # inside a word here, a word of its own there
        ("zebra", ["[UNK]"]),
    ],
)
def test_each_token_says_the_same(token: str, pieces: list[str]) -> None:
    assert spelt(["<pad>", "</s>", "<unk>", *SOURCE].index(token)) == pieces


def test_coverage_is_the_share_of_ordinary_tokens_that_cross() -> None:
    mapped = map_tokens(sentencepiece(SOURCE), wordpiece(), 11, "teacher")
    assert mapped.coverage() == pytest.approx(6 / 8)
    counts = torch.tensor([90, 90, 90, 6, 0, 0, 0, 3, 0, 0, 1])  # special tokens do not count
    assert mapped.coverage(counts) == pytest.approx(6 / 10)
    assert check_coverage(mapped, counts, "teacher", "rewriter") == pytest.approx(0.6)
    counts[10] = 2
    with pytest.raises(InputError, match=r"teacher: .* knows only 55% of the tokens.* \(75% of .*at least 60%"):
        check_coverage(mapped, counts, "teacher", "rewriter")


def test_a_cased_target_does_not_know_other_cases() -> None:
    mapped = map_tokens(sentencepiece(SOURCE), wordpiece(lowercase=False), 11, "teacher")
    assert mapped.known.tolist()[3:5] == [True, False]


def test_table_holds_rows_and_means_of_rows() -> None:
    mapped = map_tokens(sentencepiece(SOURCE), wordpiece(), 11, "teacher")
    embeddings = torch.randn(len(PIECES), 5, requires_grad=True)
    table = mapped.table(embeddings)
    assert table.shape == (11, 5) and not table.requires_grad
    assert torch.equal(table[3], embeddings[4])
    assert torch.allclose(table[6], (embeddings[4] + embeddings[5]) / 2)  # boat, ##s
    assert torch.equal(table[1], embeddings[3])
    assert mapped.single.tolist() == [0, 3, 1, 4, 4, 7, -1, 1, 8, 11, 1]


def test_more_outputs_than_tokens() -> None:
    mapped = map_tokens(sentencepiece(SOURCE), wordpiece(), 16, "teacher")
    assert mapped.single[11:].tolist() == [1] * 5
    assert mapped.coverage() == pytest.approx(6 / 8)


def test_byte_level_marks() -> None:
    pieces = ["<e>", "\u0120boat", "boat", "\u0120caf\u00c3\u00a9", "s"]
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(pieces)}, unk_token="<e>"))
    tokenizer.decoder = decoders.ByteLevel()
    read = surfaces(PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<e>"))
    assert read == {1: ("boat", True), 2: ("boat", False), 3: ("café", True), 4: ("s", False)}


def test_frame_and_a_tokenizer_without_one() -> None:
    assert frame(wordpiece()) == ([2], [3])
    bare = wordpiece()
    bare.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    with pytest.raises(InputError, match="student: its tokenizer puts 0 special tokens after a text"):
        map_tokens(sentencepiece(SOURCE), bare, 11, "student")


def test_texts_cross_token_by_token() -> None:
    """Between two vocabularies of the same words, the map spells a text as the other tokenizer does."""
    words = ["net", "boat", "the", "very"]
    source, target = rewriter_tokenizer(words), make_tokenizer()
    mapped = map_tokens(source, target, len(source), "teacher")
    text = "the very boat net net"
    own = target(text)["input_ids"]
    assert mapped.prefix + mapped.single[torch.tensor(source(text)["input_ids"])].tolist() == own
    assert 1 not in own
    counts = count_tokens(source, [text, "the"], len(source))
    assert counts.tolist() == [0, 0, 0, 0, 2, 1, 2, 1]


@pytest.mark.parametrize("lowercase", [True, False])
def test_a_classifier_whose_tokenizer_is_written_in_python(tmp_path: Path, lowercase: bool) -> None:
    target = in_python(tmp_path, lowercase)
    assert not target.is_fast
    mapped, same = (map_tokens(sentencepiece(SOURCE), other, 11, "teacher") for other in (target, wordpiece(lowercase)))
    assert mapped.pieces.tolist() == same.pieces.tolist() and mapped.known.tolist() == same.known.tolist()
