"""Checksums of saved folders: any flipped bit is named, and what the user changes is the user's right."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from distill.checkpoints.checksums import CHECKSUMS, check_folder, check_weights, sample_of_weights, seal
from distill.common.errors import InputError
from distill.student import load_student
from distill.teachers.transformers_teacher import TransformersTeacher

TEXTS = ["boat and cow", "cow", "a boat"]


@pytest.fixture(scope="module")
def saved(bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that was saved."""
    folder = tmp_path_factory.mktemp("saved") / "student"
    load_student(str(bert_folder), device="cpu").save(folder)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def flip(file: Path, place: int, bit: int = 1) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= bit
    file.write_bytes(content)


def test_a_saved_student_is_an_ordinary_folder(saved: Path, bert_folder: Path) -> None:
    found, expected = load_file(saved / "model.safetensors"), load_file(bert_folder / "model.safetensors")
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)
    with safe_open(saved / "model.safetensors", "pt") as opened:
        assert opened.metadata()["format"] == "pt"
    assert pipeline("text-classification", str(saved), device="cpu")("cow")[0]["label"] in ("sea", "field", "town")
    assert {"config.json", "tokenizer.json", "tokenizer_config.json"} <= json.loads((saved / CHECKSUMS).read_text()).keys()


def test_equal_folders_get_equal_bytes(saved: Path, bert_folder: Path, tmp_path: Path) -> None:
    load_student(str(bert_folder), device="cpu").save(tmp_path / "again")
    assert all((tmp_path / "again" / file.name).read_bytes() == file.read_bytes() for file in saved.iterdir())


@pytest.mark.parametrize("share", [0.5, 0.7, 0.999])
def test_a_flipped_bit_of_the_weights_is_named(copy: Path, share: float) -> None:
    file = copy / "model.safetensors"
    flip(file, int(file.stat().st_size * share))
    for load in (lambda: TransformersTeacher(copy, "cpu"), lambda: load_student(str(copy), device="cpu")):
        with pytest.raises(InputError, match="model.safetensors is damaged or cut off"):
            load()


def test_any_flipped_bit_is_named_or_changes_nothing(copy: Path) -> None:
    whole = {file.name: file.read_bytes() for file in copy.iterdir()}
    expected = TransformersTeacher(copy, "cpu")(TEXTS)
    silent = []
    for name, content in whole.items():
        for place in range(3, len(content), max(1, len(content) // 12)):
            flip(copy / name, place, 4)
            try:
                answers = TransformersTeacher(copy, "cpu")(TEXTS)
            except InputError as error:
                assert "\n" not in str(error)
            else:
                silent += [] if torch.equal(answers, expected) else [(name, place)]
            (copy / name).write_bytes(content)
    assert not silent


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_changed_letter_of_a_small_file_is_named(copy: Path, name: str) -> None:
    text = (copy / name).read_text()
    (copy / name).write_text(text.replace("[UNK]", "[UNX]") if "[UNK]" in text else text.replace("bert", "bort"))
    with pytest.raises(InputError, match=f"{name} is damaged .* if you changed it yourself, remove {CHECKSUMS}"):
        TransformersTeacher(copy, "cpu")
    (copy / CHECKSUMS).unlink()
    check_folder(copy, "teacher")  # and then it is the user's own


def test_an_edit_and_a_missing_file(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"note": "mine"}))
    TransformersTeacher(copy, "cpu")
    (copy / "tokenizer_config.json").unlink()
    with pytest.raises(InputError, match="tokenizer_config.json is missing"):
        TransformersTeacher(copy, "cpu")


def test_a_student_that_was_trained_further_is_accepted(copy: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(copy)
    with torch.no_grad():
        model.classifier.bias += 1
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.model_max_length = 32  # was 64: the file keeps its size
    model.save_pretrained(copy)
    tokenizer.save_pretrained(copy)
    TransformersTeacher(copy, "cpu")(TEXTS)
    load_student(str(copy), device="cpu").save(copy)  # and saved by us again
    flip(copy / "model.safetensors", -5)
    with pytest.raises(InputError, match="damaged"):
        TransformersTeacher(copy, "cpu")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"../x": [1, "a"]}', '{"config.json": 5}', "[" * 100_000])
def test_a_list_that_is_damaged(copy: Path, content: str) -> None:
    (copy / CHECKSUMS).write_text(content)
    with pytest.raises(InputError, match=f"{CHECKSUMS} is damaged"):
        check_folder(copy, "student: x")


def test_folders_without_checksums_are_read(bert_folder: Path, tmp_path: Path) -> None:
    check_folder(bert_folder, "teacher")
    check_weights(bert_folder / "model.safetensors", "teacher")
    odd = tmp_path / "odd.safetensors"
    for content in (b"", b"x", (1 << 60).to_bytes(8, "little"), b"\x02" + bytes(7) + b"[]"):
        odd.write_bytes(content)
        check_weights(odd, "teacher")  # safetensors itself refuses it


def test_values_without_a_length_and_their_order(tmp_path: Path) -> None:
    weights = {"b": torch.zeros(0, 3), "a": torch.arange(5, dtype=torch.bfloat16), "c": torch.tensor(2.0)}
    save_file(weights, tmp_path / "w.safetensors", metadata={"format": "pt", "mine": "1"})
    seal(tmp_path)
    check_weights(tmp_path / "w.safetensors", "x")
    found = load_file(tmp_path / "w.safetensors")
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    with safe_open(tmp_path / "w.safetensors", "pt") as opened:
        assert opened.metadata()["mine"] == "1"


def test_a_sample_of_weights_tells_trainings_apart_and_nothing_else(copy: Path, tmp_path: Path) -> None:
    weights, before = copy / "model.safetensors", sample_of_weights(copy)
    assert before == sample_of_weights(shutil.copytree(copy, tmp_path / "elsewhere")) is not None
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    seal(copy)
    tensors = load_file(weights)
    save_file(tensors, weights)  # without the checksum in its metadata
    assert sample_of_weights(copy) == before
    for name in ("classifier.bias", next(iter(tensors))):  # a head alone, or any layer
        save_file(tensors | {name: tensors[name] + 1e-3}, weights)
        assert sample_of_weights(copy) != before


def test_a_sample_of_other_files_reads_many_places(tmp_path: Path) -> None:
    assert sample_of_weights(tmp_path) is None
    file = tmp_path / "model.gguf"
    file.write_bytes(bytes(3_000_000))
    before = sample_of_weights(file)
    assert before == sample_of_weights(tmp_path)
    file.write_bytes(bytes(1_000_000) + bytes([1]) * 1_000_000 + bytes(1_000_000))
    assert sample_of_weights(file) != before
