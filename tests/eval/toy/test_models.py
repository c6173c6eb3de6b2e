"""The toy teacher, writer and rewriter, trained with miniature settings; `prompter demo` measures those of full size."""

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    pipeline,
)

from distill.common.errors import InputError
from eval.toy import models
from eval.toy.masked_lm import MaskedLMSettings
from eval.toy.models import toy_masked_lm, toy_rewriter, toy_teacher, toy_writer
from eval.toy.rewriter import END, END_ID, HIDDEN_ID, PADDING_ID, RewriterSettings, damage, rewriter_tokenizer
from eval.toy.teacher import PAD_ID, SPECIAL_TOKENS, UNKNOWN_ID, TeacherSettings, hide_words
from eval.toy.world import shared_world
from eval.toy.writer import END_OF_TEXT, WriterSettings, word_vectors

SMALL_TEACHER = TeacherSettings(layers=1, hidden=48, heads=2, train_texts=3000, epochs=2, batch_size=16, learning_rate=3e-3)
SMALL_WRITER = WriterSettings(layers=1, hidden=48, heads=2, corpus_texts=3000)
SMALL_REWRITER = RewriterSettings(layers=1, hidden=48, corpus_texts=6000, batch_size=12)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def teacher(cache: Path) -> Path:
    return toy_teacher("topic", cache, settings=SMALL_TEACHER, quiet=True)


@pytest.fixture(scope="module")
def writer(cache: Path) -> Path:
    return toy_writer(cache, settings=SMALL_WRITER, quiet=True)


@pytest.fixture(scope="module")
def rewriter(cache: Path) -> Path:
    return toy_rewriter(cache, settings=SMALL_REWRITER, quiet=True)


def forbid_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*arguments: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(models, "train_teacher", train)
    monkeypatch.setattr(models, "train_writer", train)
    monkeypatch.setattr(models, "train_rewriter", train)


def test_teacher_is_an_ordinary_classifier_that_has_learnt(teacher):
    task = shared_world(0).task("topic")
    classify = pipeline("text-classification", str(teacher))
    predictions = classify(task.test_texts[:200])
    right = [answer["label"] == task.labels[label] for answer, label in zip(predictions, task.test_labels, strict=False)]
    assert sum(right) / len(right) > 0.8
    assert not list(teacher.glob("*.bin"))


def test_teacher_is_less_sure_of_foreign_text(teacher):
    world = shared_world(0)
    tokenizer = AutoTokenizer.from_pretrained(teacher)
    model = AutoModelForSequenceClassification.from_pretrained(teacher, dtype=torch.float32)

    def confidence(texts: list[str]) -> float:
        with torch.inference_mode():
            logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
        return float(logits.softmax(-1).amax(-1).mean())

    foreign = [text for domain, text in world.labelled_corpus(300, seed=3) if domain in ("sea", "kitchen", "school")]
    assert confidence(world.task("topic").test_texts[:100]) > confidence(foreign) + 0.1


def test_teacher_does_not_know_words_of_other_domains(teacher):
    tokenizer = AutoTokenizer.from_pretrained(teacher)
    ids = tokenizer("The lawyer, a goalkeeper")["input_ids"]
    cls, sep = (SPECIAL_TOKENS.index(token) for token in ("[CLS]", "[SEP]"))
    assert (ids[0], ids[-1], tokenizer.pad_token_id) == (cls, sep, PAD_ID)
    assert [token == UNKNOWN_ID for token in ids] == [False, False, False, False, False, True, False]


def test_writer_writes_text_and_spells_the_unknown(writer):
    tokenizer = AutoTokenizer.from_pretrained(writer)
    model = AutoModelForCausalLM.from_pretrained(writer, dtype=torch.float32)
    assert tokenizer.bos_token == tokenizer.eos_token == tokenizer.pad_token == END_OF_TEXT
    for text in ("the lawyer sold a boat.", "Zürich, 1924: naïve ∂x!"):
        ids = tokenizer(text)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.decode(ids, skip_special_tokens=True).strip() == text
    assert tokenizer("lawyer", add_special_tokens=False)["input_ids"][0] in tokenizer("a lawyer")["input_ids"]
    start = torch.full((16, 1), tokenizer.bos_token_id)
    torch.manual_seed(0)
    written = model.generate(start, attention_mask=torch.ones_like(start), max_new_tokens=30, do_sample=True)
    texts = tokenizer.batch_decode(written, skip_special_tokens=True)
    words = [word.strip(".,?:") for text in texts for word in text.split()]
    known = {word.strip(".,?:") for text in shared_world(0).general_corpus(3000) for word in text.split()}
    assert sum(word in known for word in words) / len(words) > 0.9


def test_writer_has_learnt_more_than_word_frequencies(writer):
    texts = shared_world(0).general_corpus(200, seed=4)
    tokenizer = AutoTokenizer.from_pretrained(writer)
    model = AutoModelForCausalLM.from_pretrained(writer, dtype=torch.float32)

    def loss(text: str) -> float:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            return float(model(input_ids=ids, labels=ids).loss)

    shuffled = [" ".join(reversed(text.split())) for text in texts]
    assert sum(map(loss, texts)) < 0.8 * sum(map(loss, shuffled))


def test_rewriter_reads_what_it_rewrites(rewriter):
    """It writes a sentence more easily beside that sentence than beside another, and more easily the less is hidden."""
    texts = shared_world(0).general_corpus(200, seed=4)
    tokenizer = AutoTokenizer.from_pretrained(rewriter)
    model = AutoModelForSeq2SeqLM.from_pretrained(rewriter, dtype=torch.float32)
    read = tokenizer(texts, padding=True, return_tensors="pt")
    ids, mask = read["input_ids"], read["attention_mask"]
    labels = ids.masked_fill(mask == 0, -100)

    def loss(source: torch.Tensor, attended: torch.Tensor) -> float:
        with torch.inference_mode():
            return float(model(input_ids=source, attention_mask=attended, labels=labels).loss)

    hidden = ids.masked_fill(ids > HIDDEN_ID, HIDDEN_ID)
    shown, other = loss(ids, mask), loss(ids.roll(1, 0), mask.roll(1, 0))
    assert shown < 0.9 * loss(hidden, mask) < 0.9 * other, (shown, loss(hidden, mask), other)


def test_rewriter_spells_the_known_by_words_and_the_unknown_by_letters(rewriter):
    tokenizer = AutoTokenizer.from_pretrained(rewriter)
    for text, tokens in (("the lawyer, a boat.", 7), ("note: mind the gap?", None)):
        ids = tokenizer(text)["input_ids"]
        assert ids[-1] == END_ID == tokenizer.eos_token_id and tokens in (None, len(ids))
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
        assert tokenizer.unk_token_id not in ids
    assert tokenizer.convert_ids_to_tokens(HIDDEN_ID) == tokenizer.mask_token


def test_damage_changes_words_and_nothing_else():
    tokenizer = rewriter_tokenizer(["a b c d e f g h"], 64)
    whole = tokenizer(["a b c d e f g h", "b c"] * 500, padding=True, return_tensors="pt")["input_ids"]
    random = torch.Generator().manual_seed(0)
    nothing = RewriterSettings(replaced=0.0, dropped=0.0, moved=0.0)
    hidden = damage(whole, len(tokenizer), nothing, random)
    assert ((hidden == whole) | (hidden == HIDDEN_ID)).all()
    words = whole > HIDDEN_ID
    shares = ((hidden == HIDDEN_ID) & words).sum(1) / words.sum(1)
    assert shares.mean() == pytest.approx(0.5, abs=0.03) and shares[::2].std() > 0.25
    moved = damage(whole, len(tokenizer), dataclasses.replace(nothing, moved=2.0), random)
    shown = moved[::2] != HIDDEN_ID
    order = (moved[::2][:, :8] - moved[::2][:, :8].roll(1, 1))[:, 1:]
    assert (order[shown[:, 1:8] & shown[:, :7]] < 0).any()
    dropped = damage(whole, len(tokenizer), dataclasses.replace(nothing, dropped=0.5), random)
    lengths = (dropped != PADDING_ID).sum(1)
    assert lengths[::2].float().mean() == pytest.approx(5.0, abs=0.3)
    for rows in (hidden, moved, dropped):
        ends = rows == END_ID
        assert (ends.sum(1) == 1).all()
        assert torch.equal(ends.long().argmax(1), (rows != PADDING_ID).sum(1) - 1)  # the end is last, then padding
    assert tokenizer.convert_ids_to_tokens(END_ID) == END


def test_cache_hit_does_not_train(teacher, writer, rewriter, cache, monkeypatch):
    forbid_training(monkeypatch)
    assert toy_teacher("topic", cache, settings=SMALL_TEACHER, quiet=True) == teacher
    assert toy_writer(cache, settings=SMALL_WRITER, quiet=True) == writer
    assert toy_rewriter(cache, settings=SMALL_REWRITER, quiet=True) == rewriter


@pytest.mark.parametrize(
    ("seed", "change"), [(1, {}), (0, {"epochs": 3}), (0, {"learning_rate": 4e-3}), (0, {"label_smoothing": 0.1})]
)
def test_whatever_the_teacher_depends_on_makes_it_train_again(teacher, cache, monkeypatch, seed, change):
    forbid_training(monkeypatch)
    with pytest.raises(AssertionError, match="trained again"):
        toy_teacher("topic", cache, seed=seed, settings=dataclasses.replace(SMALL_TEACHER, **change), quiet=True)


def test_other_library_versions_train_again(writer, cache, monkeypatch):
    forbid_training(monkeypatch)
    monkeypatch.setattr(models.transformers, "__version__", "0.0")
    with pytest.raises(AssertionError, match="trained again"):
        toy_writer(cache, settings=SMALL_WRITER, quiet=True)


def test_corrupt_model_is_trained_again_to_the_same_weights(tmp_path):
    settings = dataclasses.replace(SMALL_TEACHER, train_texts=128, layers=1)
    folder = toy_teacher("topic", tmp_path, settings=settings, quiet=True)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])
    assert toy_teacher("topic", tmp_path, settings=settings, quiet=True) == folder
    assert (folder / "model.safetensors").read_bytes() == weights


def test_unknown_task_writes_nothing(tmp_path):
    with pytest.raises(InputError, match="'spam' is unknown"):
        toy_teacher("spam", tmp_path / "cache", quiet=True)
    assert not (tmp_path / "cache").exists()


def test_quiet_is_silent_and_otherwise_a_bar_is_shown(tmp_path, capfd):
    settings = dataclasses.replace(SMALL_TEACHER, train_texts=64)
    toy_teacher("topic", tmp_path / "a", settings=settings, quiet=True)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    toy_teacher("topic", tmp_path / "b", settings=settings)
    captured = capfd.readouterr()
    assert captured.out == "" and "training the teacher (topic)" in captured.err


def test_hidden_words_are_words_only_and_in_a_share_of_texts():
    ids = torch.arange(20).expand(4000, 20)
    hidden = hide_words(ids, 0.5, torch.Generator().manual_seed(0))
    changed = hidden != ids
    assert (hidden[changed] == UNKNOWN_ID).all()
    assert not changed[:, : len(SPECIAL_TOKENS)].any()
    assert changed.any(1).float().mean() == pytest.approx(0.47, abs=0.03)  # a low rate may hide nothing
    assert changed[:, len(SPECIAL_TOKENS) :].float().mean() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(hide_words(ids, 0.0, torch.Generator().manual_seed(0)), ids)


def test_word_vectors_tell_company_and_part_of_speech():
    """Two worlds of sentences "noun verb": words of one world, and words of one place, are more alike."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(2000):
        world, noun, verb = (int(torch.randint(n, (), generator=generator)) for n in (2, 4, 4))
        rows.append([1 + 8 * world + noun, 5 + 8 * world + verb])
    torch.manual_seed(0)
    vectors = word_vectors(rows, 17, 8)
    assert vectors.shape == (17, 8)
    cosine = torch.nn.functional.cosine_similarity
    same, other_place, other_world = vectors[[2, 6, 10]]  # noun and verb of the first world, noun of the second
    noun = vectors[1]
    assert cosine(noun, same, dim=0) > cosine(noun, other_place, dim=0)
    assert cosine(noun, same, dim=0) > cosine(noun, other_world, dim=0) > cosine(noun, vectors[14], dim=0) - 1e-6


def test_masked_lm_fills_gaps_with_words_that_fit(cache: Path) -> None:
    settings = MaskedLMSettings(layers=1, hidden=64, heads=2, corpus_texts=4000)
    folder = toy_masked_lm(cache, settings=settings, quiet=True)
    assert toy_masked_lm(cache, settings=settings, quiet=True) == folder and not list(folder.glob("*.bin"))
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(shared_world(0).general_corpus(4300)[-300:], padding=True, return_tensors="pt")
    ids = inputs["input_ids"]
    labels = ids.clone()
    inputs["input_ids"] = ids.clone()
    inputs["input_ids"][:, 3], labels[:, :3], labels[:, 4:] = tokenizer.mask_token_id, -100, -100
    with torch.inference_mode():
        loss = model(**inputs, labels=labels).loss.item()
    counts = torch.bincount(ids[:, 3], minlength=len(tokenizer)).float() + 1
    by_frequency = -(counts / counts.sum()).log()[ids[:, 3]].mean().item()  # an oracle that knows these words' counts
    assert loss < by_frequency
