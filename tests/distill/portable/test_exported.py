"""Programs that were made by hand: how texts are read, padded and cut, and what is wrong with a folder."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.common.errors import InputError
from distill.portable.exported import _OPENERS, ExportedClassifier
from distill.teachers.loading import identity, load_teacher
from distill.teachers.prediction_cache import CachedTeacher
from tests.distill.portable.programs import write_program
from tests.distill.tiny import LABELS, WORDS, make_tokenizer, random_texts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_program(tmp_path, make_tokenizer(), LABELS)


def by_hand(folder: Path, texts: list[str], longest: int) -> torch.Tensor:
    table, tokenizer = np.load(folder / "table.npy"), make_tokenizer()
    rows = [table[tokenizer(text, truncation=True, max_length=longest)["input_ids"]].sum(axis=0) for text in texts]
    return torch.tensor(np.stack(rows)).log_softmax(dim=1)


def test_the_answers_are_those_of_the_program_in_the_order_of_the_texts(folder: Path) -> None:
    texts = [" ".join(WORDS[: 1 + (7 * i) % 30]) for i in range(150)] + ["", "strange words"]
    teacher = load_teacher(str(folder), "cpu")
    assert isinstance(teacher, ExportedClassifier) and teacher.labels == LABELS
    torch.testing.assert_close(teacher(texts), by_hand(folder, texts, 512))
    assert teacher.queries == len(texts) and teacher.invalid == 0
    assert teacher.bytes == (folder / "model.onnx").stat().st_size


def test_texts_are_cut_where_the_tokenizer_or_the_caller_says(folder: Path) -> None:
    long = " ".join(WORDS)
    teacher = ExportedClassifier(folder, max_length=10)
    torch.testing.assert_close(teacher([long]), by_hand(folder, [long], 10))
    assert teacher.cut_share([long, "boat"]) == 0.5 and teacher.reads == 10
    tokenizer = make_tokenizer().backend_tokenizer
    tokenizer.enable_truncation(6)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert ExportedClassifier(folder).reads == 6


def test_a_pair_is_read_as_one_text_of_two_parts(folder: Path) -> None:
    table, tokenizer = np.load(folder / "table.npy"), make_tokenizer()
    expected = table[tokenizer("boat", "cow hay")["input_ids"]].sum(axis=0)
    np.testing.assert_allclose(ExportedClassifier(folder).logits(["boat"], ["cow hay"])[0], expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data"])
def test_a_pointer_of_git_lfs_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n")
    with pytest.raises(InputError, match=f"{name} stands for a file that Git LFS has not brought; run git lfs pull"):
        ExportedClassifier(folder)


def test_answers_are_kept_under_a_name_that_follows_the_files(folder: Path) -> None:
    before = identity(ExportedClassifier(folder))
    assert identity(ExportedClassifier(folder)) == before != identity(ExportedClassifier(folder, max_length=9))
    assert CachedTeacher(ExportedClassifier(folder), folder / "answers.sqlite", print).local is not None
    (folder / "model.onnx.data").write_bytes(b"other weights")
    assert identity(ExportedClassifier(folder)) != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "tokenizer.json is damaged"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"not a program"), "model.onnx cannot be opened"),
        (lambda folder: (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:300]), "cannot be opened"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "model.onnx").unlink(), "holds no program"),
        (
            lambda folder: (folder / "config.json").write_text(
                (folder / "config.json").read_text().replace('"2": "town"', '"2": "town", "3": "moon"')
            ),
            "gives 3 outputs, but its config.json names 4 classes",
        ),
        (  # a tokenizer of another student: OpenVINO would read beyond the table of words without a word
            lambda folder: (folder / "config.json").write_text(
                json.dumps(json.loads((folder / "config.json").read_text()) | {"vocab_size": 5})
            ),
            r"knows 5 words, but its tokenizer.json has \d+; copy that of the student",
        ),
        (  # the same of one that leaves numbers out
            lambda folder: (
                (folder / "tokenizer.json").write_text(
                    (folder / "tokenizer.json").read_text().replace('"boat": 4', '"boat": 4000')
                )
                and (folder / "config.json").write_text(
                    json.dumps(json.loads((folder / "config.json").read_text()) | {"vocab_size": 50})
                )
            ),
            r"knows 50 words, but its tokenizer.json has 4001; copy that of the student",
        ),
    ],
)
def test_a_damaged_folder_is_one_line(folder: Path, change: object, message: str) -> None:
    change(folder)  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as caught:
        ExportedClassifier(folder)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("teacher: ")


@pytest.mark.parametrize(
    "output",
    [
        np.float32(1),
        np.zeros((1, 3), np.float32),
        np.zeros((2, 3), np.int64),
        np.zeros((2, 4, 3), np.float32),
        np.array([["a", "b", "c"]] * 2),
        np.zeros(2, np.float32),
    ],
)
def test_a_program_whose_outputs_are_no_logits_is_one_line(folder: Path, output: np.ndarray) -> None:
    teacher = ExportedClassifier(folder)
    teacher._run = lambda inputs: np.asarray(output)
    with pytest.raises(InputError, match=r"expected logits \(texts, classes\): export the student again"):
        teacher(WORDS[:2])


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_word_has_the_output_of_its_own_token_on_whichever_side_texts_are_padded(folder: Path, side: str) -> None:
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"architectures": ["BertForTokenClassification"], "id2label": {"0": "O", "1": "B-sea", "2": "I-sea"}}
    (folder / "config.json").write_text(json.dumps(settings))
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.enable_padding(direction=side, pad_id=tokenizer.pad_token_id)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    table = np.load(folder / "table.npy")
    opened = (["input_ids", "attention_mask"], lambda inputs: table[inputs["input_ids"]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_OPENERS, ".onnx", lambda *_: opened)
        teacher = ExportedClassifier(folder)
    texts = [" ".join(WORDS[:7]), WORDS[8], "", " ".join(WORDS[9:12])]
    for row, text in zip(teacher.logits(texts), texts, strict=True):
        own = tokenizer(text, add_special_tokens=False)["input_ids"]
        np.testing.assert_array_equal(row[: len(own)], table[own])
        assert np.isneginf(row[len(own) :]).all()


def test_threads_that_share_an_openvino_program_get_their_own_answers(folder: Path) -> None:
    openvino = pytest.importorskip("openvino")
    openvino.save_model(openvino.convert_model(folder / "model.onnx"), folder / "openvino_model.xml", compress_to_fp16=False)
    (folder / "model.onnx").unlink()
    teacher = ExportedClassifier(folder)
    groups = [random_texts(60, number) for number in range(4)]
    wanted = [by_hand(folder, texts, 512) for texts in groups]
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(lambda number: teacher.kind.answers(torch.from_numpy(teacher.logits(groups[number % 4]))), range(80))
        )
    for number, answers in enumerate(found):
        torch.testing.assert_close(answers, wanted[number % 4], rtol=1e-4, atol=1e-4)
