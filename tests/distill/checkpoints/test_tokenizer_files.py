"""What is written of a tokenizer: everything that it is, nothing of how it was loaded."""

import json
from pathlib import Path

from transformers import AutoTokenizer

from distill.checkpoints.tokenizer_files import LOADER_STATE, save_tokenizer
from distill.common.hub import load_tokenizer
from distill.student import load_student
from tests.distill.tiny import make_tokenizer


def test_how_it_was_loaded_is_not_written(tmp_path: Path) -> None:
    make_tokenizer().save_pretrained(tmp_path / "made")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "made", local_files_only=True)
    loaded.save_pretrained(tmp_path / "theirs")
    leaking = json.loads((tmp_path / "theirs" / "tokenizer_config.json").read_text())
    assert set(LOADER_STATE) & set(leaking), "transformers leaks no more: this module can go"
    save_tokenizer(loaded, tmp_path / "ours")
    config = json.loads((tmp_path / "ours" / "tokenizer_config.json").read_text())
    assert config == {name: value for name, value in leaking.items() if name not in LOADER_STATE}
    assert load_tokenizer(tmp_path / "ours", "student")("boat and cow") == make_tokenizer()("boat and cow")


def test_a_saved_student_says_nothing_of_it(bert_folder: Path, tmp_path: Path) -> None:
    load_student(str(bert_folder), device="cpu").save(tmp_path / "student")
    assert not set(LOADER_STATE) & set(json.loads((tmp_path / "student" / "tokenizer_config.json").read_text()))
