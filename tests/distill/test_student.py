import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoConfig, BertForSequenceClassification, BertModel, pipeline

from distill.common.errors import InputError
from distill.kinds.classes import SINGLE
from distill.student import Student, load_student
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.loading import load_teacher
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import LABELS, make_tokenizer, random_texts


def weights(student: Student) -> dict[str, torch.Tensor]:
    return student.model.state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def build(spec: str, **arguments: object) -> Student:
    return load_student(spec, device="cpu", **{"labels": LABELS, "tokenizer": make_tokenizer()} | arguments)  # type: ignore[arg-type]


def test_sizes_and_defaults_of_a_built_student() -> None:
    student = build("bert:layers=2,hidden=128")
    config = student.model.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (2, 128, 2)
    assert (config.intermediate_size, config.vocab_size, config.num_labels) == (512, len(make_tokenizer()), 3)
    assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0.0
    assert student.num_parameters() == sum(w.numel() for n, w in weights(student).items())
    assert build("bert:layers=1,hidden=48").model.config.num_attention_heads == 1
    named = build("bert: layers=1, hidden=24, heads=3, intermediate=10, dropout=0.1, hidden_act=relu").model.config
    assert (named.num_attention_heads, named.intermediate_size, named.hidden_act) == (3, 10, "relu")
    assert named.hidden_dropout_prob == 0.1


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "electra", "gpt2"])
def test_families_build_read_and_reload(family: str, tmp_path: Path) -> None:
    student = build(f"{family}:layers=1,hidden=16,heads=2")
    texts = ["", *random_texts(20, 0, 1, 80)]
    scores = student.answers(texts)
    assert torch.isfinite(scores).all()
    student.save(tmp_path / "s")
    again = load_student(str(tmp_path / "s"), device="cpu")
    assert again.labels == LABELS
    assert torch.equal(again.answers(texts), scores)


def test_the_seed_decides_the_weights_and_nothing_else_does() -> None:
    torch.manual_seed(1)
    first = build("bert:layers=1,hidden=16", seed=3)
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    assert same(weights(first), weights(build("bert:layers=1,hidden=16", seed=3)))
    assert torch.equal(before, torch.random.get_rng_state())
    assert not same(weights(first), weights(build("bert:layers=1,hidden=16", seed=4)))


def test_own_or_teachers_tokenizer(teacher: TransformersTeacher, distilbert_folder: Path) -> None:
    student = load_student("bert:layers=1,hidden=16", teacher=teacher, device="cpu")
    assert student.tokenizer.get_vocab() == teacher.tokenizer.get_vocab()
    assert student.tokenizer is not teacher.tokenizer
    assert student.labels == LABELS
    own = load_student("bert:layers=1,hidden=16", teacher=teacher, tokenizer=str(distilbert_folder), device="cpu")
    assert own.model.config.vocab_size == len(own.tokenizer)


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta"])
def test_teacher_layers_are_copied(family: str, request: pytest.FixtureRequest) -> None:
    teacher = load_teacher(str(request.getfixturevalue(f"{family}_folder")), "cpu")
    assert isinstance(teacher, TransformersTeacher)
    texts = random_texts(20, 0)
    layers = range(teacher.model.config.num_hidden_layers)
    whole = load_student("teacher-layers:" + ",".join(map(str, layers)), teacher=teacher, device="cpu")
    torch.testing.assert_close(whole.answers(texts), teacher(texts))
    picked = load_student("teacher-layers:1,0,1", teacher=teacher, device="cpu")
    found, source = weights(picked), teacher.model.state_dict()
    stack = "transformer.layer." if family == "distilbert" else "encoder.layer."
    for position, layer in enumerate([1, 0, 1]):
        names = [name for name in found if f"{stack}{position}." in name]
        assert names
        for name in names:
            assert torch.equal(found[name], source[name.replace(f"{stack}{position}.", f"{stack}{layer}.")])
    others = [name for name in found if stack not in name]
    assert any("classifier" in name for name in others) and any("embeddings" in name for name in others)
    assert all(torch.equal(found[name], source[name]) for name in others)
    assert found.keys() >= {name for name in source if stack not in name}


def test_training_a_copied_student_leaves_the_teacher_alone(teacher: TransformersTeacher) -> None:
    before = {name: w.clone() for name, w in teacher.model.state_dict().items()}
    student = load_student("teacher-layers:0", teacher=teacher, device="cpu")
    assert all(parameter.requires_grad for parameter in student.model.parameters())
    with torch.no_grad():
        for parameter in student.model.parameters():
            parameter.add_(1.0)
    assert same(before, teacher.model.state_dict())


def test_saved_folder_is_an_ordinary_pipeline(teacher: TransformersTeacher, tmp_path: Path) -> None:
    student = load_student("bert:layers=1,hidden=16", teacher=teacher, device="cpu")
    student.save(tmp_path / "s")
    assert os.listdir(tmp_path) == ["s"]
    assert not list(tmp_path.rglob("*.bin"))
    classify = pipeline("text-classification", model=str(tmp_path / "s"), top_k=None, device="cpu")
    (said,) = classify(["boat cow"])
    expected = dict(zip(LABELS, student.answers(["boat cow"])[0].exp().tolist(), strict=True))
    assert {item["label"]: item["score"] for item in said} == pytest.approx(expected, abs=1e-5)
    assert classify([" ".join(["cow"] * 900)], truncation=True)
    student.save(tmp_path / "s")  # an older student of that name is replaced


def test_paths_and_names_of_any_type(teacher: TransformersTeacher, tmp_path: Path) -> None:
    load_student("teacher-layers:0", teacher=teacher, device="cpu").save(tmp_path / "s")
    student = load_student(tmp_path / "s", tokenizer=tmp_path / "s", labels=np.array(["a", "b", "c"]), device="cpu")
    assert student.labels == ["a", "b", "c"] and student.spec == str(tmp_path / "s")
    with pytest.raises(InputError, match="labels: 'abc'; expected a list of names"):
        load_student(tmp_path / "s", labels="abc", device="cpu")


def test_save_does_not_replace_someone_elses_folder(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="is not empty"):
        build("bert:layers=1,hidden=16").save(tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_bare_encoder_gets_a_head_and_keeps_its_weights(bert_folder: Path, tmp_path: Path) -> None:
    encoder = BertForSequenceClassification.from_pretrained(bert_folder).bert
    assert isinstance(encoder, BertModel)
    encoder.save_pretrained(tmp_path / "encoder")
    make_tokenizer().save_pretrained(tmp_path / "encoder")
    spec = str(tmp_path / "encoder")
    students = [load_student(spec, labels=list("abcd"), device="cpu", seed=seed) for seed in (0, 0, 1)]
    first, again, other = (weights(student) for student in students)
    assert students[0].model.config.num_labels == 4
    assert same(first, again)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])
    saved = load_file(tmp_path / "encoder" / "model.safetensors")
    assert all(torch.equal(first[f"bert.{name}"], weight) for name, weight in saved.items())
    with pytest.raises(InputError, match="give the class names"):
        load_student(spec, device="cpu")


def test_student_of_another_number_of_classes(bert_folder: Path) -> None:
    message = r"has 3 classes \['sea', 'field', 'town'\], but the teacher has 2 \['a', 'b'\]"
    with pytest.raises(InputError, match=message):
        load_student(str(bert_folder), labels=["a", "b"], device="cpu")


def test_student_with_the_classes_in_another_order(bert_folder: Path) -> None:
    texts = random_texts(20, 0, 1, 30)
    own, moved = (load_student(str(bert_folder), labels=names, device="cpu") for names in (None, ["town", "sea", "field"]))
    assert own.labels == ["sea", "field", "town"] and moved.labels == ["town", "sea", "field"]
    torch.testing.assert_close(moved.answers(texts), own.answers(texts)[:, [2, 0, 1]])
    renamed = load_student(str(bert_folder), labels=["a", "b", "c"], device="cpu")
    assert torch.equal(renamed.answers(texts), own.answers(texts))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("bert:layers=2", "lacks hidden="),
        ("bert:hidden=16", "lacks layers="),
        ("bert:layers=2;hidden=16", "cannot be read"),
        ("bert:", "cannot be read"),
        ("brt:layers=2,hidden=16", "'brt' is not a model family.* Did you mean 'bert'"),
        ("bert:layers=0,hidden=16", "layers=0 .* at least 1"),
        ("bert:layers=two,hidden=16", "layers=two .* whole number"),
        ("bert:layers=1,hidden=16,heads=3", "hidden=16 is not a multiple of heads=3"),
        ("bert:layers=1,hidden=16,vocab_sise=9", "'vocab_sise' .* Did you mean 'vocab_size'"),
        ("bert:layers=1,hidden=16,hidden_act=nope", "no model can be built"),
        ("/no/such/folder", "folder /no/such/folder does not exist"),
    ],
)
def test_specs_that_cannot_be_built(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=f"student: .*{message}"):
        build(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("teacher-layers:0,3", "names layer 3; the teacher has layers 0 to 2"),
        ("teacher-layers:-1", "names layer -1; the teacher has layers 0 to 2"),
        ("teacher-layers:", "cannot be read"),
        ("teacher-layers:0-2", "cannot be read"),
    ],
)
def test_teacher_layers_that_do_not_exist(teacher: TransformersTeacher, spec: str, message: str) -> None:
    with pytest.raises(InputError, match=f"student: .*{message}"):
        load_student(spec, teacher=teacher, device="cpu")


def test_black_box_teacher_gives_neither_layers_nor_tokenizer() -> None:
    teacher = CallableTeacher("json:loads", LABELS)  # any function: it is not asked
    for spec, message in [("teacher-layers:0", "must be a model"), ("bert:layers=1,hidden=16", "needs one")]:
        with pytest.raises(InputError, match=message):
            load_student(spec, labels=LABELS, teacher=teacher, device="cpu")


def test_vocabulary_larger_than_the_embedding_table(bert_folder: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["extra"])
    with pytest.raises(InputError, match=f"its tokenizer has {len(tokenizer)} tokens"):
        load_student(str(bert_folder), tokenizer=tokenizer, device="cpu")


def test_folder_without_tokenizer(bert_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert_folder, tmp_path / "s"))
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(InputError, match="student: .*tokenizer"):
        load_student(str(folder), device="cpu")


def test_half_precision_checkpoint_is_trained_in_float32(bert_folder: Path, tmp_path: Path) -> None:
    BertForSequenceClassification.from_pretrained(bert_folder).to(torch.bfloat16).save_pretrained(tmp_path / "s")
    make_tokenizer().save_pretrained(tmp_path / "s")
    assert AutoConfig.from_pretrained(tmp_path / "s").dtype == torch.bfloat16
    student = load_student(str(tmp_path / "s"), device="cpu")
    assert {p.dtype for p in student.model.parameters()} == {torch.float32}
    student.save(tmp_path / "t")
    assert json.loads((tmp_path / "t" / "config.json").read_text())["dtype"] == "float32"


def test_the_folder_of_a_student_says_its_own_kind_and_not_that_of_its_encoder(bert_folder: Path, tmp_path: Path) -> None:
    encoder = BertModel.from_pretrained(bert_folder)
    encoder.config.problem_type = "multi_label_classification"  # of the classifier that it was taken from
    encoder.save_pretrained(tmp_path / "encoder")
    make_tokenizer().save_pretrained(tmp_path / "encoder")
    build(str(tmp_path / "encoder"), kind=SINGLE).save(tmp_path / "student")
    assert load_student(str(tmp_path / "student"), device="cpu").kind == SINGLE


def test_a_tokenizer_may_leave_numbers_out(tmp_path: Path) -> None:
    backend = json.loads(make_tokenizer().backend_tokenizer.to_str())
    number = len(make_tokenizer()) + 20
    backend["model"]["vocab"]["far"] = number
    tokenizer = make_tokenizer()
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(backend))
    assert len(tokenizer) < number
    student = build("bert:layers=1,hidden=16", tokenizer=tokenizer)
    assert student.model.config.vocab_size == number + 1 and student.answers(["far boat"]).isfinite().all()
    build("bert:layers=1,hidden=16").save(tmp_path / "small")
    with pytest.raises(InputError, match=rf"word embeddings, but its tokenizer has {number + 1} tokens"):
        build(str(tmp_path / "small"), tokenizer=tokenizer)
