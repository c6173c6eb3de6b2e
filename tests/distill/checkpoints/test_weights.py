"""Weights as people save them, and as strangers might: pickle files, parts, prefixes, and files that hold something else."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from distill.common.errors import InputError
from distill.common.hub import load_model
from distill.teachers.transformers_teacher import TransformersTeacher

CPU = torch.device("cpu")
TEXTS = ["boat and cow", "cow", "a boat"]


@pytest.fixture
def copy(bert_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert_folder, tmp_path / "copy"))


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same_answers(folder: Path, other: Path) -> None:
    torch.testing.assert_close(TransformersTeacher(folder, "cpu")(TEXTS), TransformersTeacher(other, "cpu")(TEXTS))


def as_pickle(folder: Path, **kwargs: bool) -> None:
    torch.save(weights_of(folder), folder / "pytorch_model.bin", **kwargs)
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize("kwargs", [{}, {"_use_new_zipfile_serialization": False}])
def test_pickle_file_is_read_without_running_anything(
    copy: Path, bert_folder: Path, kwargs: dict[str, bool], caplog: pytest.LogCaptureFixture
) -> None:
    as_pickle(copy, **kwargs)
    same_answers(copy, bert_folder)
    assert "pytorch_model.bin is a pickle file; only its tensors are read" in caplog.text


class Evil:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.file}",)


def test_code_in_a_pickle_file_is_refused(copy: Path) -> None:
    torch.save({"weight": torch.ones(1), "x": Evil(copy / "ran")}, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(InputError, match="holds more than weights, which could run code"):
        TransformersTeacher(copy, "cpu")
    assert not (copy / "ran").exists()


@pytest.mark.parametrize("kept", [0, 10, 3000, -50])
def test_cut_pickle_file(copy: Path, kept: int) -> None:
    as_pickle(copy)
    file = copy / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InputError, match="damaged or cut off"):
        TransformersTeacher(copy, "cpu")


def test_pickle_files_that_unpack_to_more(copy: Path) -> None:
    as_pickle(copy)
    file = copy / "pytorch_model.bin"
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/99", bytes(20_000_000))
    with pytest.raises(InputError, match="unpacks from"):
        TransformersTeacher(copy, "cpu")
    torch.save({"weight": torch.ones(1).expand(100_000_000)}, file)
    with pytest.raises(InputError, match="describes more weights than it holds"):
        TransformersTeacher(copy, "cpu")


@pytest.mark.parametrize("pickled", [False, True])
def test_weights_in_parts(copy: Path, bert_folder: Path, pickled: bool) -> None:
    weights, kind = weights_of(copy), "pytorch_model.bin" if pickled else "model.safetensors"
    stem, _, ending = kind.partition(".")
    names, parts = sorted(weights), {}
    for number in (1, 2):
        file = f"{stem}-0000{number}-of-00002.{ending}"
        part = {name: weights[name] for name in names[number - 1 :: 2]}
        if pickled:
            torch.save(part, copy / file)
        else:
            save_file(part, copy / file, metadata={"format": "pt"})
        parts |= dict.fromkeys(part, file)
    (copy / "model.safetensors").unlink()
    index = copy / f"{kind}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": parts}))
    same_answers(copy, bert_folder)
    (copy / parts[names[0]]).unlink()
    with pytest.raises(InputError, match=r"-00001-of-00002.* is missing \(1 of 2 parts are\)"):
        TransformersTeacher(copy, "cpu")
    index.write_text(json.dumps({"weight_map": dict.fromkeys(names, "../../other.bin")}))
    with pytest.raises(InputError, match="does not name the files of the weights"):
        TransformersTeacher(copy, "cpu")


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize(
    "prefix", ["_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module.", "_fsdp_wrapped_module."]
)
def test_prefixes_of_compiled_and_distributed_models(copy: Path, bert_folder: Path, prefix: str, pickled: bool) -> None:
    weights = {prefix + name: weight for name, weight in weights_of(copy).items()}
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    if pickled:
        as_pickle(copy)
    same_answers(copy, bert_folder)


def test_compiled_part_of_a_model(copy: Path, bert_folder: Path) -> None:
    weights = {name.replace("encoder.", "encoder._orig_mod."): weight for name, weight in weights_of(copy).items()}
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    same_answers(copy, bert_folder)


def test_weights_inside_a_training_checkpoint(copy: Path, bert_folder: Path) -> None:
    torch.save({"epoch": 3, "state_dict": weights_of(copy)}, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    same_answers(copy, bert_folder)


def test_a_head_of_another_size_names_both_numbers(copy: Path) -> None:
    file = copy / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"id2label": {"0": "a", "1": "b"}, "label2id": None}))
    with pytest.raises(InputError, match="config.json says 2 classes, but its head .* has 3 outputs"):
        TransformersTeacher(copy, "cpu")


def test_more_described_than_stored(copy: Path) -> None:
    file = copy / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_hidden_layers": 900, "intermediate_size": 200_000}))
    with pytest.raises(InputError, match="describes .* weights, but the files hold"):
        load_model(AutoModelForSequenceClassification, copy, "teacher", CPU, torch.float32)


def test_gguf(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    for name in (tmp_path, tmp_path / "model.gguf"):
        with pytest.raises(InputError, match="GGUF"):
            TransformersTeacher(str(name), "cpu")


def save(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    save_file({name: weight.contiguous() for name, weight in weights.items()}, folder / "model.safetensors", {"format": "pt"})


def test_fewer_layers_than_the_file_holds_are_said(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = json.loads((copy / "config.json").read_text()) | {"num_hidden_layers": 1}
    (copy / "config.json").write_text(json.dumps(settings))
    TransformersTeacher(copy, "cpu")
    assert "no place for 32 weights of its files (bert.encoder.layer.1." in caplog.text


def test_heads_of_another_task_are_not_worth_a_line(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    unused = {"cls.predictions.bias": torch.ones(2), "bert.embeddings.position_ids": torch.ones(2, dtype=torch.int64),
              "vocab_transform.weight": torch.ones(2), "decoder.bias": torch.ones(2), "lm_loss.bias": torch.ones(2),
              "pred_layer.proj.bias": torch.ones(2), "final_logits_bias": torch.ones(2)}  # fmt: skip
    save(copy, weights_of(copy) | unused)
    TransformersTeacher(copy, "cpu")
    assert "no place" not in caplog.text


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.float8_e4m3fn])
@pytest.mark.parametrize("pickled", [False, True])
def test_codes_of_a_quantiser_that_nothing_names_are_refused(copy: Path, kind: torch.dtype, pickled: bool) -> None:
    name = "bert.encoder.layer.0.output.dense.weight"
    weights = weights_of(copy)
    save(copy, weights | {name: weights[name].to(kind), f"{name}_scale": torch.ones(1)})
    if pickled:
        as_pickle(copy)
    with pytest.raises(InputError, match=rf"its weights are quantised \({name} is .*no quantization_config"):
        TransformersTeacher(copy, "cpu")


@pytest.mark.parametrize("prefix", ["model.", "net.module."])
def test_a_prefix_of_a_training_program_is_removed(copy: Path, bert_folder: Path, prefix: str) -> None:
    weights = weights_of(copy)
    save(copy, {prefix + name: weight for name, weight in weights.items()} | {"loss.weight": torch.ones(2)})
    same_answers(copy, bert_folder)


def test_one_foreign_prefix_of_two_is_named(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = weights_of(copy)
    save(copy, {("a." if "layer.0" in name else "b.") + name: weight for name, weight in weights.items()})
    with pytest.raises(InputError, match="lacks trained weights"):
        TransformersTeacher(copy, "cpu")
    assert "no place for" in caplog.text and "a.bert.encoder.layer.0" in caplog.text


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "tokenizer.json", "config.json"])
def test_a_pointer_of_git_lfs_is_named(copy: Path, name: str) -> None:
    if name == "pytorch_model.bin":
        (copy / "model.safetensors").unlink()
    (copy / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n")
    with pytest.raises(InputError, match=f"{name} stands for a file that Git LFS has not brought; run git lfs pull"):
        TransformersTeacher(copy, "cpu")


def test_a_text_in_the_place_of_a_pickle_file_holds_no_code(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_text("<html>404</html>")
    with pytest.raises(InputError, match="pytorch_model.bin is damaged or cut off"):
        TransformersTeacher(copy, "cpu")
