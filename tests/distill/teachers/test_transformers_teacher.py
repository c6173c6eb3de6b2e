"""A Hugging Face classifier as teacher: its answers, its counts, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import pipeline

from distill.common import encode
from distill.common.errors import InputError
from distill.kinds.labels import MULTI_LABEL
from distill.kinds.names import GivenKind
from distill.teachers.base import Teacher
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import LABELS, random_texts


def test_folder_answers_as_the_transformers_pipeline_does(bert_folder: Path) -> None:
    texts = random_texts(30, 0)
    teacher: Teacher = TransformersTeacher(bert_folder, "cpu")
    predictions = teacher(texts)
    classify = pipeline("text-classification", model=str(bert_folder), top_k=None, device="cpu")
    for row, said in zip(predictions, classify(texts), strict=True):
        assert dict(zip(LABELS, row.exp().tolist(), strict=True)) == pytest.approx(
            {item["label"]: item["score"] for item in said}, abs=1e-4
        )


def test_every_text_asked_is_one_query(teacher: TransformersTeacher) -> None:
    teacher(["boat", "boat"])
    teacher([])
    teacher(["cow"], ["hay"])
    assert (teacher.queries, teacher.invalid) == (3, 0)


def test_tokenizer_without_pad_token_is_handled(bert_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert_folder, tmp_path / "nopad"))
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).exists():
            settings = json.loads((folder / name).read_text())
            settings.pop("pad_token", None)
            (folder / name).write_text(json.dumps(settings))
    texts = random_texts(20, 1)
    expected = TransformersTeacher(bert_folder, "cpu")(texts)
    torch.testing.assert_close(TransformersTeacher(folder, "cpu")(texts), expected)


def test_teacher_with_nan_weights_is_stopped(bert_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert_folder, tmp_path / "nan"))
    weights = load_file(folder / "model.safetensors")
    weights["classifier.weight"].fill_(float("nan"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    teacher = TransformersTeacher(folder, "cpu")
    assert teacher(["boat"]).isnan().all()
    with pytest.raises(InputError, match="101 of 101 answers .* were unusable"):
        teacher(random_texts(100, 0))


def test_a_classifier_of_several_labels_answers_with_their_log_odds(bert_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert_folder, tmp_path / "changed"))
    settings = json.loads((folder / "config.json").read_text()) | {"problem_type": "multi_label_classification"}
    (folder / "config.json").write_text(json.dumps(settings))
    teacher, texts = TransformersTeacher(folder, "cpu"), random_texts(5, 0)
    assert teacher.kind == MULTI_LABEL
    torch.testing.assert_close(teacher(texts).log_softmax(dim=1), TransformersTeacher(bert_folder, "cpu")(texts))
    with pytest.raises(InputError, match="kind is single, but teacher: .* is of the kind multi_label"):
        TransformersTeacher(folder, "cpu", given=GivenKind("single"))


def test_hidden_states_cost_no_query(teacher: TransformersTeacher) -> None:
    inputs = teacher.tokenizer(["boat"], return_tensors="pt")
    states = teacher.hidden_states(dict(inputs))
    assert [state.shape for state in states] == [(1, 3, 32)] * 4
    assert teacher.queries == 0


def test_batches_that_do_not_fit_are_lowered_for_good_and_kept_in_checkpoints(
    bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = random_texts(30, 0)
    usual = TransformersTeacher(bert_folder, "cpu")(texts)
    tried: list[int | None] = []
    whole = encode.outputs

    def limited(*arguments, batch_tokens: int | None, **options) -> torch.Tensor:
        tried.append(batch_tokens)
        if (batch_tokens or 4096) > 3000:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")
        return whole(*arguments, batch_tokens=batch_tokens, **options)

    teacher = CachedTeacher(TransformersTeacher(bert_folder, "cpu"), None, print)
    assert "teacher_batch_tokens" not in teacher.state()
    monkeypatch.setattr(encode, "outputs", limited)
    torch.testing.assert_close(teacher(texts), usual)
    teacher(texts)
    assert tried == [None, 3686, 3317, 2985, 2985]
    resumed = CachedTeacher(TransformersTeacher(bert_folder, "cpu", batch_tokens=1000), None, print)
    resumed.restore(teacher.state())
    assert resumed.white_box is not None and resumed.white_box.batch_tokens == 2985
