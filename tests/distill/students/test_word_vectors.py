"""Word vectors of a language model: which token gets which, that nothing else changes, and what is refused."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from distill.common.errors import InputError
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.student import Student, load_student
from distill.students.word_vectors import SIZE, principal, spelled
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import CLASS_WORDS, LABELS, WORDS, judged, make_tokenizer, random_texts

SPEC = "bert:layers=1,hidden=16,heads=2"


def byte_level(words: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer as GPT-2 has: each letter, and each word with the space before it."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<end>", *letters, *("Ġ" + word for word in words)])}
    merges = []
    for word in words:  # letters are joined from the left
        for end in range(len(word)):
            left, right = ("Ġ" + word)[: end + 1], word[end]
            vocabulary.setdefault(left + right, len(vocabulary))
            merges.append((left, right))
    tokenizer = Tokenizer(models.BPE(vocabulary, list(dict.fromkeys(merges))))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model that knows every word of the tiny language but the last; words of a class have like vectors."""
    folder, tokenizer = tmp_path_factory.mktemp("lm"), byte_level(WORDS[:-1])
    torch.manual_seed(0)
    sizes = {"n_positions": 32, "n_embd": 24, "n_layer": 1, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0, **sizes))
    with torch.no_grad():
        for group in CLASS_WORDS:
            rows = tokenizer.convert_tokens_to_ids(["Ġ" + word for word in group])
            model.transformer.wte.weight[rows] = torch.randn(24) + 0.1 * torch.randn(len(group), 24)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def student(words: Path | None, spec: str = SPEC) -> Student:
    return load_student(
        spec, labels=LABELS, tokenizer=make_tokenizer(), words=None if words is None else str(words), device="cpu"
    )


def table(made: Student) -> torch.Tensor:
    return made.model.get_input_embeddings().weight.detach()


def test_words_have_the_principal_components_of_the_language_models(language_model: Path) -> None:
    made, lm = student(language_model), GPT2LMHeadModel.from_pretrained(language_model)
    own, tokenizer = made.tokenizer, byte_level(WORDS[:-1])
    vectors = lm.transformer.wte.weight.detach()
    known = torch.stack([vectors[tokenizer.encode(" " + word)].mean(dim=0) for word in WORDS])
    expected = torch.tensor(PCA(16, svd_solver="full").fit_transform(known.double().numpy()))
    got = table(made)[own.convert_tokens_to_ids(WORDS)].double()
    scale = SIZE / expected.square().mean().sqrt()
    torch.testing.assert_close(got.abs(), (expected * scale).abs(), atol=1e-5, rtol=1e-4)  # a direction has no sign
    torch.testing.assert_close(torch.cdist(got, got), scale * torch.cdist(expected, expected), atol=1e-5, rtol=1e-4)


def test_everything_else_stays_as_the_seed_made_it(language_model: Path) -> None:
    made, plain = student(language_model), student(None)
    changed = [name for name, weight in made.model.state_dict().items() if not weight.equal(plain.model.state_dict()[name])]
    assert changed == ["bert.embeddings.word_embeddings.weight"]
    special = made.tokenizer.all_special_ids
    assert table(made)[special].equal(table(plain)[special])
    assert table(made).equal(table(student(language_model)))


def test_a_wider_student_keeps_the_rest_of_its_vectors(language_model: Path) -> None:
    spec = "bert:layers=1,hidden=32,heads=2"
    assert table(student(language_model, spec))[:, 24:].equal(table(student(None, spec))[:, 24:])


def test_a_student_that_knows_words_learns_faster(language_model: Path, teacher: TransformersTeacher) -> None:
    def agreement(words: Path | None) -> float:
        made = student(words)
        config = DistillConfig(student_updates=200, student_batch_size=32, student_learning_rate=3e-3)
        distiller = Distiller(made, config, planned_queries=64, seed=0)
        distiller.run([judged(teacher, random_texts(64, 0))], online=False)
        texts = random_texts(400, 1)
        return float((made.answers(texts).argmax(1) == teacher(texts).argmax(1)).float().mean())

    assert agreement(language_model) > agreement(None) + 0.04


def test_spellings_of_each_kind_of_tokenizer() -> None:
    pieces = {"[UNK]": 0, "play": 1, "##ing": 2, "##": 3}
    wordpiece = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    assert spelled(PreTrainedTokenizerFast(tokenizer_object=wordpiece, unk_token="[UNK]")) == {1: " play", 2: "ing", 3: " ##"}
    byte = byte_level(["tide"])
    found = {byte.convert_ids_to_tokens(number): text for number, text in spelled(byte).items()}
    assert found["Ġtide"] == " tide" and found["t"] == "t" and "<end>" not in found
    unigram = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁sea", -1.0), ("s", -2.0)], unk_id=0))
    unigram.decoder = decoders.Metaspace()
    assert spelled(PreTrainedTokenizerFast(tokenizer_object=unigram, unk_token="<unk>")) == {1: " sea", 2: "s"}


@given(st.integers(2, 12), st.integers(1, 8), st.integers(1, 8), st.integers(0, 99))
def test_components_are_scaled_and_keep_the_largest_spread(rows: int, wide: int, width: int, seed: int) -> None:
    vectors = torch.randn(rows, wide, generator=torch.Generator().manual_seed(seed))
    found = principal(vectors, width)
    assert found.shape == (rows, min(wide, width)) and torch.isfinite(found).all()
    assert float(found.square().mean().sqrt()) == pytest.approx(SIZE, rel=1e-3)
    spreads = found.var(dim=0)
    assert (spreads[:-1] >= spreads[1:] - 1e-6).all()


def test_other_students_have_words_of_their_own(language_model: Path, teacher: TransformersTeacher, bert_folder: Path) -> None:
    for spec in ("teacher-layers:0", "static:from-teacher", str(bert_folder)):
        with pytest.raises(InputError, match=r"student_words: .* has word vectors of its own; leave it out"):
            load_student(spec, teacher=teacher, words=str(language_model), device="cpu")


def test_a_model_that_is_no_language_model(bert_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="student_words: .*BertForSequenceClassification"):
        student(bert_folder)
    with pytest.raises(InputError, match="student_words: .*does not exist"):
        student(tmp_path / "nowhere" / "x")
