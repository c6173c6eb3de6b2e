"""Static students: the same numbers in numpy as in torch, the same vectors in model2vec, and what is refused."""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast, T5Config, T5ForSequenceClassification

from distill.common.errors import InputError
from distill.common.precision import using_dtype
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.kinds.classes import SINGLE
from distill.kinds.kind import Kind
from distill.kinds.labels import MULTI_LABEL
from distill.kinds.scores import Score
from distill.student import Student, load_student
from distill.students.static import MOST_BYTES, reduced, vectors_of
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.loading import load_teacher
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import LABELS, WORDS, judged, make_tokenizer, random_texts

NUMPY = runpy.run_path(str(Path(__file__).parents[3] / "examples" / "run_static.py"))["Classifier"]

TEXTS = ["", "unheard of", "boat", "cow " * 200, "the [SEP] boat", *random_texts(30, 0)]


def write_model2vec(folder: Path, width: int = 8, drop: str = "", add: int = 0, **config: Any) -> Path:
    """Write a folder as model2vec does: three files, no transformers, no special tokens around a text."""
    folder.mkdir()
    made = json.loads(make_tokenizer().backend_tokenizer.to_str())
    made["post_processor"] = None
    Tokenizer.from_str(json.dumps(made)).save(str(folder / "tokenizer.json"))
    size = len(make_tokenizer()) + add
    vectors = torch.randn(size, width, generator=torch.Generator().manual_seed(0))
    save_file({"embeddings": vectors}, folder / "model.safetensors")
    written = {"model_type": "model2vec", "architectures": ["StaticModel"], "hidden_dim": width, "normalize": True} | config
    (folder / "config.json").write_text(json.dumps(written))
    if drop:
        (folder / drop).unlink()
    return folder


def from_teacher(teacher: TransformersTeacher) -> Student:
    return load_student("static:from-teacher", teacher=teacher, device="cpu")


def model2vec_means(folder: Path, texts: list[str]) -> np.ndarray:
    """What `StaticModel.encode` of model2vec 0.10 computes, from the three files alone."""
    vectors = load_file(folder / "model.safetensors")["embeddings"].numpy()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    assert len(vectors) == tokenizer.get_vocab_size()
    unknown = tokenizer.token_to_id(json.loads(tokenizer.to_str())["model"]["unk_token"])
    rows = [[i for i in row.ids if i != unknown] for row in tokenizer.encode_batch(texts, add_special_tokens=False)]
    means = np.stack([vectors[row].mean(axis=0) if row else np.zeros(vectors.shape[1], np.float32) for row in rows])
    if json.loads((folder / "config.json").read_text())["normalize"]:
        means = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return means


@pytest.fixture(params=["teacher", "folder"])
def student(request: pytest.FixtureRequest, tmp_path: Path, teacher: TransformersTeacher) -> Student:
    if request.param == "teacher":
        return from_teacher(teacher)
    spec = f"static:{write_model2vec(tmp_path / 'm2v')}"
    return load_student(spec, labels=LABELS, device="cpu")


def test_torch_numpy_and_the_reloaded_student_agree(student: Student, tmp_path: Path) -> None:
    with using_dtype("float32"):
        scores = student.answers(TEXTS)
        student.save(tmp_path / "s")
        again = load_student(str(tmp_path / "s"), device="cpu")
        assert torch.equal(again.answers(TEXTS), scores)
        assert again.labels == LABELS
        as_teacher = load_teacher(str(tmp_path / "s"), "cpu")
        torch.testing.assert_close(as_teacher(TEXTS), scores, atol=1e-6, rtol=0)
    numpy = torch.tensor(NUMPY(tmp_path / "s").logits(TEXTS)).log_softmax(dim=1)
    torch.testing.assert_close(numpy, scores, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [SINGLE, MULTI_LABEL, Score(0, 5)])
def test_without_torch_answers_are_of_the_students_kind(kind: Kind, tmp_path: Path) -> None:
    labels = LABELS if kind != Score(0, 5) else ["stars"]
    student = load_student(f"static:{write_model2vec(tmp_path / 'm2v')}", labels=labels, device="cpu", kind=kind)
    student.save(tmp_path / "s")
    with using_dtype("float32"):
        wanted = student.answers(TEXTS)
    wanted = {"single": wanted.exp(), "multi_label": wanted.sigmoid(), "score": wanted}[kind.name]
    given = torch.tensor([list(row.values()) for row in NUMPY(tmp_path / "s")(TEXTS)])
    torch.testing.assert_close(given, wanted, atol=1e-5, rtol=0)


def test_model2vec_reads_the_same_means(student: Student, tmp_path: Path) -> None:
    student.save(tmp_path / "s")
    seen: list[torch.Tensor] = []
    student.model.dense.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    plain = ["", "unheard of", "boat cow", "the boat near a tram"]
    for text in plain:
        student.answers([text])
    found = torch.cat(seen).numpy()
    np.testing.assert_allclose(found, model2vec_means(tmp_path / "s", plain), atol=1e-6)


def test_the_library_itself_opens_the_folder(student: Student, tmp_path: Path) -> None:
    model2vec = pytest.importorskip("model2vec")
    student.save(tmp_path / "s")
    opened = model2vec.StaticModel.from_pretrained(tmp_path / "s")
    np.testing.assert_allclose(opened.encode(["boat cow"]), model2vec_means(tmp_path / "s", ["boat cow"]), atol=1e-6)


def test_vectors_are_those_of_the_folder(tmp_path: Path) -> None:
    folder = write_model2vec(tmp_path / "m2v", width=5)
    model = load_student(f"static:{folder}", labels=LABELS, device="cpu").model
    assert torch.equal(model.embeddings, load_file(folder / "model.safetensors")["embeddings"])
    assert (model.config.hidden_dim, model.config.num_labels, model.config.normalize) == (5, 3, True)


def test_a_quantised_vocabulary_is_unpacked(tmp_path: Path) -> None:
    folder = write_model2vec(tmp_path / "m2v", width=4)
    size = len(make_tokenizer())
    kept, mapping = torch.randn(6, 4).half(), torch.arange(size) % 6
    weights = torch.rand(size)
    save_file({"embeddings": kept, "mapping": mapping, "weights": weights}, folder / "model.safetensors")
    model = load_student(f"static:{folder}", labels=LABELS, device="cpu").model
    torch.testing.assert_close(model.embeddings.detach(), kept.float()[mapping] * weights[:, None])


@pytest.mark.parametrize("number, said", [(None, "lacks trained weights \\(embeddings\\)"), (torch.int8, "embeddings is I8")])
def test_a_saved_student_without_its_vectors_or_with_codes_of_them_is_refused(
    number: torch.dtype | None, said: str, teacher: TransformersTeacher, tmp_path: Path
) -> None:
    from_teacher(teacher).save(tmp_path / "s")
    tensors = load_file(tmp_path / "s" / "model.safetensors")
    vectors = tensors.pop("embeddings")
    save_file(tensors | ({} if number is None else {"embeddings": vectors.to(number)}), tmp_path / "s" / "model.safetensors")
    (tmp_path / "s" / "checksums.json").unlink()
    with pytest.raises(InputError, match=said):
        load_student(str(tmp_path / "s"), device="cpu")
    with pytest.raises(InputError, match=said):
        load_teacher(str(tmp_path / "s"), "cpu")


def test_vectors_of_the_teacher_are_its_principal_components(teacher: TransformersTeacher) -> None:
    vectors = from_teacher(teacher).model.embeddings.detach()
    words = [teacher.tokenizer.convert_ids_to_tokens(i) for i in range(len(vectors))]
    ids = torch.tensor([[2, teacher.tokenizer.convert_tokens_to_ids(word), 3] for word in words])
    with torch.no_grad():
        states = teacher.model.base_model(input_ids=ids).last_hidden_state.mean(dim=1)
    # A rotation keeps the distances; all but the scale is fixed by that.
    exact = "donot_use_mm_for_euclid_dist"
    expected, found = (torch.cdist(a, a, compute_mode=exact) for a in (states.double(), vectors.double()))
    ratio = (expected.sum() / found.sum()).item()
    torch.testing.assert_close(found * ratio, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(vectors.norm(dim=1).mean(), torch.tensor(1.0))
    spread = vectors.var(dim=0)
    assert (spread.diff() <= 1e-6).all()


def test_the_vectors_stay_small() -> None:
    wide = reduced(torch.randn(30_522, 96))
    assert wide.shape[1] == MOST_BYTES // (4 * 30_522)
    assert wide.numel() * 4 <= MOST_BYTES
    assert reduced(torch.randn(50, 8)).shape == (50, 8)


def test_it_learns_the_teacher(teacher: TransformersTeacher) -> None:
    config = DistillConfig(student_updates=150, student_batch_size=32, student_learning_rate=1e-2)
    student, held_out = from_teacher(teacher), random_texts(300, 999)
    predictions = teacher(held_out).argmax(dim=1)
    before = (student.answers(held_out).argmax(dim=1) == predictions).float().mean()
    distiller = Distiller(student, config, planned_queries=1500, seed=0)
    distiller.run((judged(teacher, random_texts(150, i)) for i in range(10)), online=True)
    after = (student.answers(held_out).argmax(dim=1) == predictions).float().mean()
    assert before < 0.7
    assert after > 0.85


def test_the_seed_decides_the_head_alone(teacher: TransformersTeacher) -> None:
    first, second = (load_student("static:from-teacher", teacher=teacher, seed=seed, device="cpu").model for seed in (0, 1))
    assert torch.equal(first.embeddings, second.embeddings)
    assert not torch.equal(first.dense.weight, second.dense.weight)


class Damaged:
    """Ways to spoil a model2vec folder, by what the line says."""

    @staticmethod
    def no_embeddings(folder: Path) -> None:
        save_file({"vectors": torch.zeros(3, 4)}, folder / "model.safetensors")

    @staticmethod
    def not_finite(folder: Path) -> None:
        save_file({"embeddings": torch.full((len(WORDS) + 4, 4), torch.nan)}, folder / "model.safetensors")

    @staticmethod
    def flat(folder: Path) -> None:
        save_file({"embeddings": torch.zeros(50)}, folder / "model.safetensors")

    @staticmethod
    def cut(folder: Path) -> None:
        file = folder / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-50])

    @staticmethod
    def bad_tokenizer(folder: Path) -> None:
        (folder / "tokenizer.json").write_text("{}")

    @staticmethod
    def bad_config(folder: Path) -> None:
        (folder / "config.json").write_text("[")


ROWS = len(make_tokenizer())


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"embeddings": torch.zeros(ROWS, 0)}, "width of 0"),
        ({"embeddings": torch.zeros(ROWS, 4, dtype=torch.bool)}, "embeddings hold bool"),
        ({"embeddings": torch.zeros(ROWS, 4, dtype=torch.complex64)}, "embeddings hold complex64"),
        ({"mapping": torch.zeros(ROWS, 2, dtype=torch.int64)}, "mapping is no list of whole numbers"),
        ({"mapping": torch.zeros(ROWS)}, "mapping is no list of whole numbers"),
        ({"mapping": torch.full((ROWS,), -1)}, f"mapping points beyond the {ROWS} embeddings"),
        ({"mapping": torch.full((ROWS,), ROWS)}, f"mapping points beyond the {ROWS} embeddings"),
        ({"embeddings": torch.zeros(1, 2**16), "mapping": torch.zeros(2**16, dtype=torch.int8)}, "mapping unpacks to 65,536"),
        ({"weights": torch.ones(ROWS, 1)}, "weights have the shape"),
        ({"weights": torch.ones(1)}, "weights have the shape"),
    ],
)
def test_tensors_of_another_form_are_refused_in_a_line(
    tensors: dict[str, torch.Tensor], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model2vec(tmp_path / "m2v")
    save_file({"embeddings": torch.zeros(ROWS, 4)} | tensors, folder / "model.safetensors")
    monkeypatch.setattr("distill.checkpoints.static_model.MOST_VALUES", 2**20)
    with pytest.raises(InputError, match=message) as error:
        load_student(f"static:{folder}", labels=LABELS, device="cpu")
    assert "\n" not in str(error.value)


def test_a_file_that_git_lfs_has_not_brought_is_named(tmp_path: Path) -> None:
    folder = write_model2vec(tmp_path / "m2v")
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputError, match="Git LFS has not brought"):
        load_student(f"static:{folder}", labels=LABELS, device="cpu")


def test_a_saved_student_with_foreign_values_is_refused_in_a_line(teacher: TransformersTeacher, tmp_path: Path) -> None:
    from_teacher(teacher).save(tmp_path / "student")
    (tmp_path / "student/checksums.json").unlink(missing_ok=True)
    file = tmp_path / "student/config.json"
    config = json.loads(file.read_text())
    for skipped, message in ((3, "something else"), (["a"], "something else"), ([0] * 10_001, "names 10,001 tokens")):
        file.write_text(json.dumps(config | {"skipped_ids": skipped}))
        with pytest.raises(InputError, match=f"skipped_ids .*{message}"):
            load_student(str(tmp_path / "student"), device="cpu")
    file.write_text(json.dumps(config))
    weights = load_file(tmp_path / "student/model.safetensors")
    weights["dense.bias"][0] = torch.nan
    save_file(weights, tmp_path / "student/model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"weights that are not finite \(dense.bias\)"):
        load_student(str(tmp_path / "student"), device="cpu")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Damaged.no_embeddings, "holds no 'embeddings'"),
        (Damaged.not_finite, "not finite"),
        (Damaged.flat, "1 dimensions instead of 2"),
        (Damaged.cut, "cannot be read"),
        (Damaged.bad_tokenizer, "cannot be read"),
        (Damaged.bad_config, "config.json is not JSON"),
    ],
)
def test_a_damaged_folder_is_refused_in_a_line(spoil: Any, message: str, tmp_path: Path) -> None:
    folder = write_model2vec(tmp_path / "m2v")
    spoil(folder)
    with pytest.raises(InputError, match=message) as error:
        load_student(f"static:{folder}", labels=LABELS, device="cpu")
    assert str(error.value).startswith(f"student: static:{folder}")
    assert "\n" not in str(error.value)


def test_what_does_not_fit_is_refused_in_a_line(tmp_path: Path, teacher: TransformersTeacher) -> None:
    def line(spec: str, **arguments: Any) -> str:
        with pytest.raises(InputError) as error:
            load_student(spec, device="cpu", **({"labels": LABELS} | arguments))
        assert "\n" not in str(error.value)
        return str(error.value)

    few = write_model2vec(tmp_path / "few", add=-3)
    assert "embeddings, but its tokenizer has" in line(f"static:{few}")
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        folder = write_model2vec(tmp_path / f"no-{name}", drop=name)
        assert f"has no {name}" in line(f"static:{folder}")
    good = write_model2vec(tmp_path / "good")
    assert "does not exist" in line(f"static:{tmp_path}/nowhere")
    assert "needs class names" in line(f"static:{good}", labels=None)
    assert "its own tokenizer" in line(f"static:{good}", tokenizer=make_tokenizer())
    assert f"write static:{good}" in line(str(good))
    black_box = CallableTeacher(lambda texts: [[1.0, 0.0, 0.0]] * len(texts), LABELS)
    assert "must be a model folder or id" in line("static:from-teacher", teacher=black_box)
    assert "must be a model folder or id" in line("static:from-teacher")
    config = DistillConfig(student_updates=5, student_hidden_weight=1.0)
    with pytest.raises(InputError, match="student_hidden_weight: static:from-teacher has no layers"):
        Distiller(from_teacher(teacher), config, 10, 0, teacher)


def test_a_teacher_whose_layers_cannot_be_asked_is_refused(teacher: TransformersTeacher) -> None:
    model = load_student("bert:layers=1,hidden=8", labels=LABELS, tokenizer=make_tokenizer(), device="cpu").model
    model.base_model.embeddings = None
    with pytest.raises(InputError, match=r"static:from-teacher cannot ask the layers of a bert teacher \("):
        vectors_of(model, teacher.tokenizer, "static:from-teacher")


def test_of_an_encoder_decoder_the_encoder_is_asked() -> None:
    tokenizer: PreTrainedTokenizerFast = make_tokenizer()
    config = T5Config(vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, eos_token_id=3)
    model = T5ForSequenceClassification(config).eval()
    assert vectors_of(model, tokenizer, "static:from-teacher").shape == (len(tokenizer), 16)
