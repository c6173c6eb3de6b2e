"""Tokenizers with damage that only some texts reveal."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from distill.checkpoints.tokenizers import TokenizerFault, open_tokenizer, unreadable
from distill.common.errors import InputError
from distill.common.hub import load_tokenizer
from distill.methods.filler import Filler
from distill.student import load_student
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import make_tokenizer, save_masked_lm

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def word_pieces(folder: Path) -> None:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(["the cat saw a dog"], trainers.WordPieceTrainer(vocab_size=60, special_tokens=SPECIAL))
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def lose_unknown(content: dict[str, Any]) -> None:
    content["model"]["unk_token"] = "[UNX]"


def lose_a_special_token(content: dict[str, Any]) -> None:
    content["post_processor"]["special_tokens"].pop("[SEP]")


@pytest.mark.parametrize("change", [lose_unknown, lose_a_special_token])
def test_damage_that_raises_for_some_texts_is_one_line_at_once(
    change: Callable, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    word_pieces(tmp_path)
    open_tokenizer(tmp_path, "generator: x")
    edited(tmp_path, change)
    with pytest.raises(TokenizerFault):
        open_tokenizer(tmp_path, "generator: x")
    with pytest.raises(InputError, match="generator: the tokenizer in .* cannot be loaded .*; copy the folder"):
        load_tokenizer(tmp_path, "generator")
    assert not capfd.readouterr().err  # Rust prints where it panics


@pytest.mark.parametrize("kind", ["teacher", "student", "filler"])
def test_each_user_of_a_tokenizer_names_it(kind: str, bert_folder: Path, tmp_path: Path) -> None:
    folder = save_masked_lm(tmp_path / "m") if kind == "filler" else Path(shutil.copytree(bert_folder, tmp_path / "m"))
    edited(folder, lose_unknown)
    load: Callable = {
        "teacher": lambda: TransformersTeacher(folder, "cpu"),
        "student": lambda: load_student(str(folder), device="cpu"),
        "filler": lambda: Filler(str(folder), 32, 0.3, "cpu"),
    }[kind]
    with pytest.raises(InputError, match="m cannot be loaded .*Missing|m cannot be loaded .*unk"):
        load()


def test_damage_that_was_not_found_names_the_tokenizer_later(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.model = models.WordLevel({"boat": 4}, unk_token="[UNX]")
    tokenizer.name_or_path = "models/x"
    with pytest.raises(Exception) as raised:  # noqa: PT011  that is the class
        tokenizer(["strange"])
    assert "the tokenizer of models/x cannot read a text" in str(unreadable(raised.value))
    assert unreadable(ValueError("x")) is None and unreadable(Exception("x")) is None
