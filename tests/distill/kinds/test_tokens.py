"""Tags of words: the loss against a plain loop, terms against SciPy, and learning from a teacher with another tokenizer."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast, pipeline

from distill.batch import SyntheticBatch, joined
from distill.common.errors import InputError
from distill.common.seeding import seeded
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.held_out import HeldOut, decided
from distill.kinds.found import written
from distill.kinds.names import GivenKind, fault_of_tags, given_by
from distill.kinds.tokens import Tokens
from distill.kinds.words import words_of
from distill.processes.group import Processes
from distill.student import load_student
from distill.teachers.config import Asking
from distill.teachers.loading import load_teacher
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.kinds.test_words import tokenizer
from tests.distill.processes.two import in_two
from tests.distill.tiny import CLASS_WORDS, make_tokenizer, random_texts

TAGS = ["O", "B-sea", "I-sea", "B-farm"]
KIND = Tokens(tuple(TAGS))


def random_answers(seed: int, rows: int = 5, words: int = 6, scale: float = 3.0) -> torch.Tensor:
    """Answers of texts with 0 to `words` words."""
    source = torch.Generator().manual_seed(seed)
    answers = (torch.randn(rows, words, len(TAGS), generator=source) * scale).log_softmax(-1)
    lengths = torch.randint(0, words + 1, (rows,), generator=source)
    answers[torch.arange(words) >= lengths[:, None]] = 0.0
    return answers


def words_in(answers: torch.Tensor) -> list[list[np.ndarray]]:
    return [[word.exp().double().numpy() for word in text if word.any()] for text in answers]


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.1, 30))
def test_terms_stay_between_zero_and_one(seed: int, scale: float) -> None:
    one, other = random_answers(seed, scale=scale), random_answers(seed + 1, scale=scale)
    targets = torch.arange(5) % 4 - 1
    for term in (KIND.confidence(one, targets), KIND.certainty(one), KIND.disagreement(one, other), KIND.probabilities(one)):
        assert ((term >= 0) & (term <= 1)).all()


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_terms_are_those_of_a_loop_over_words(seed: int) -> None:
    teacher, student = random_answers(seed), random_answers(seed + 1, words=6)
    student = torch.where(teacher.any(-1, keepdim=True), student + 1e-9, 0.0)
    student = torch.where(teacher.any(-1, keepdim=True), student.log_softmax(-1), 0.0)
    for row, (p, q) in enumerate(zip(words_in(teacher), words_in(student), strict=True)):
        if not p:
            assert not KIND.certainty(teacher)[row] and not KIND.disagreement(teacher, student)[row]
            continue
        weights = np.array([1 - word[0] + 1 / len(p) for word in p])
        expected = max(w[1] + w[2] for w in p) + max(w[3] for w in p)
        np.testing.assert_allclose(KIND.certainty(teacher)[row], 1 - 0.5**expected, atol=1e-4)
        weights = np.maximum(weights, [1 - word[0] + 1 / len(q) for word in q])
        apart = [jensenshannon(a, b, base=2) ** 2 for a, b in zip(p, q, strict=True)]
        np.testing.assert_allclose(KIND.disagreement(teacher, student)[row], np.average(apart, weights=weights), atol=1e-4)
        divergence = np.mean([rel_entr(a, b).sum() for a, b in zip(p, q, strict=True)])
        np.testing.assert_allclose(KIND.divergence(teacher, student)[row], divergence, rtol=1e-3, atol=1e-5)
        by_type = [max(w[1] + w[2] for w in p), max(w[3] for w in p), min(w[0] for w in p)]
        np.testing.assert_allclose(KIND.probabilities(teacher)[row], by_type, atol=1e-5)
        tagged = [w for w in p if w.argmax()]
        group = 2 if not tagged else int(np.argmax([max(w[1] + w[2] for w in tagged), max(w[3] for w in tagged)]))
        assert int(KIND.group(teacher)[row]) == group


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.5, 5), st.sampled_from([0.0, 0.3, 1.0]))
def test_the_loss_is_that_of_a_loop_over_words_that_both_read(seed: int, temperature: float, hard_weight: float) -> None:
    teacher = random_answers(seed)
    outputs = torch.randn(5, 4, len(TAGS), generator=torch.Generator().manual_seed(seed))
    outputs[1, 2:] = -math.inf
    outputs.requires_grad_()
    losses = []
    for row in range(5):
        for word in range(4):
            if teacher[row, word].any() and outputs[row, word].isfinite().all():
                p = (teacher[row, word] / temperature).softmax(-1)
                q = (outputs[row, word] / temperature).log_softmax(-1)
                soft = temperature**2 * (p * (p.log() - q)).sum()
                hard = -outputs[row, word].log_softmax(-1)[teacher[row, word].argmax()]
                losses.append((1 - hard_weight) * soft + hard_weight * hard)
    loss = KIND.loss(outputs, teacher, temperature, hard_weight)
    expected = torch.stack(losses).mean() if losses else torch.tensor(0.0)
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-3)
    loss.backward()
    assert outputs.grad is not None and outputs.grad.isfinite().all()


def test_columns_of_a_dataset_hold_the_answer() -> None:
    text = "Ann saw the sea, a cow."
    answers = torch.tensor([[0, 0, 0, 1, 2, 0, 3]])
    answers = (torch.nn.functional.one_hot(answers, 4) * 5.0).log_softmax(-1)
    answers = torch.cat([answers, torch.zeros(1, 2, 4)], dim=1)
    cells = KIND.cells(KIND.shown(answers)[0].tolist(), text)
    assert cells["tokens"] == ["Ann", "saw", "the", "sea", ",", "a", "cow"] and cells["tags"] == [0, 0, 0, 1, 2, 0, 3]
    assert [text[a:b] for a, b in zip(cells["starts"], cells["ends"], strict=True)] == cells["tokens"]
    assert KIND.given(cells) == [0, 1] and KIND.said(cells, []) == "sea ,: sea, cow: farm"
    torch.testing.assert_close(KIND.restored([cells["tag_probs"], []])[0], answers[0, :7], atol=1e-4, rtol=1e-4)
    nothing = KIND.cells(KIND.shown(torch.zeros(1, 1, 4))[0].tolist(), "")
    assert nothing["tags"] == [] and KIND.given(nothing) == [2] and KIND.said(nothing, []) == "no entity"
    assert set(KIND.cells(None).values()) == {None} and KIND.given(KIND.cells(None)) == []
    assert given_by(written(KIND)) == GivenKind("tokens", tags=tuple(TAGS))


def test_what_is_said_of_a_text_is_whether_each_type_occurs() -> None:
    words = torch.tensor([[[0.1, 0.6, 0.2, 0.1], [0.9, 0.0, 0.0, 0.1], [0.5, 0.0, 0.1, 0.4]]]).clamp(min=1e-9).log()
    said = KIND.outcomes(words)
    torch.testing.assert_close(said.exp(), torch.tensor([[[0.2, 0.8], [0.6, 0.4]]]), atol=1e-5, rtol=0)
    assert KIND.outcomes(torch.zeros(3, 1, 4)).isfinite().all()  # texts without a word


def test_padding_is_no_decision() -> None:
    teacher = random_answers(3)
    teacher[0, 0], teacher[0, 1] = torch.tensor([0.1, 0.2, 0.3, 0.4]).log(), torch.tensor([0.7, 0.1, 0.1, 0.1]).log()
    student = teacher[:, :2].clone()
    assert KIND.decisions(teacher)[0, :2].tolist() == [3, 0]
    same, wanted, chosen = decided(KIND, teacher, student)
    assert same == sum(wanted) == sum(chosen) == int(student.any(-1).sum())


def test_an_unusable_text_is_unusable_in_every_term() -> None:
    answers = random_answers(1)
    answers[2] = math.nan
    assert KIND.certainty(answers).isnan().tolist() == [False, False, True, False, False]
    assert KIND.confidence(answers, torch.zeros(5, dtype=torch.int64)).isnan()[2]
    assert KIND.disagreement(answers, random_answers(2)).isnan()[2]
    texts = ["a b", "c", "d", "e", "f"]
    batch = SyntheticBatch(texts, answers, torch.full((5,), -1), [""] * 5, "x", kind=KIND)
    assert batch.usable.tolist() == [True, True, False, True, True]


def test_batches_of_different_width_are_joined() -> None:
    narrow, wide = (random_answers(seed, words=words) for seed, words in ((1, 3), (2, 7)))
    nothing = torch.full((5,), -1)
    parts = [SyntheticBatch(list("abcde"), answers, nothing, [""] * 5, "x", kind=KIND) for answers in (narrow, wide)]
    whole = joined(parts)
    assert whole.teacher_logits.shape == (10, 7, 4)
    torch.testing.assert_close(whole.teacher_logits[:5, :3], narrow)
    assert not whole.teacher_logits[:5, 3:].any()


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        (["B-a"], "there is no O"),
        (["O", "B-b", "a"], "a is neither"),
        (["O", "I-a"], ""),
        (["O", "B-a"], ""),
        (["O"], "no type of entity"),
        (["O", "B-a", "B-a"], "B-a is there twice"),
    ],
)
def test_tags_must_nest(labels: list[str], fault: str) -> None:
    assert fault in fault_of_tags(labels) and bool(fault) == bool(fault_of_tags(labels))


def sizes(vocabulary: int) -> dict[str, int]:
    return {
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "vocab_size": vocabulary,
    }


def save_tagger(folder: Path, labels: list[str]) -> Path:
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    model = BertForTokenClassification(BertConfig(**sizes(len(make_tokenizer())), **names))
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> TransformersTeacher:
    """A tagger of the tiny language: of sea words, which begin an entity or continue one, and of farm words."""
    with seeded(0, "tagger"):
        folder = save_tagger(tmp_path_factory.mktemp("taggers") / "bert", TAGS)
        teacher = load_teacher(str(folder), "cpu")
        assert isinstance(teacher, TransformersTeacher)
        optimizer = torch.optim.AdamW(teacher.model.requires_grad_(True).parameters(), lr=3e-3)
        for step in range(60):
            texts = random_texts(32, 1000 + step)
            inputs = teacher.tokenizer(texts, padding=True, return_tensors="pt")
            tags = torch.full(inputs["input_ids"].shape, -100)
            for row, text in enumerate(texts):
                tags[row, 1 : 1 + len(text.split())] = torch.tensor(tags_of(text))
            logits = teacher.model(**inputs).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tags.flatten(), ignore_index=-100)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        teacher.model.requires_grad_(False)
        teacher.model.save_pretrained(folder)
    return teacher


def tags_of(text: str) -> list[int]:
    tags, before = [], 0
    for word in text.split():
        sea = word in CLASS_WORDS[0]
        before = (2 if before in (1, 2) else 1) if sea else 3 if word in CLASS_WORDS[1] else 0
        tags.append(before)
    return tags


def judged(teacher: TransformersTeacher, texts: list[str]) -> SyntheticBatch:
    return SyntheticBatch(texts, teacher(texts), torch.full((len(texts),), -1), [""] * len(texts), "x", kind=teacher.kind)


def test_a_token_classifier_is_known_as_one_and_tags_words(tagger: TransformersTeacher) -> None:
    assert tagger.kind == KIND and tagger.kind.targets(tagger.labels) == ["sea", "farm", "no entity"]
    texts = ["the boat, near a wave cow!", "", "a " * 500]
    answers = tagger(texts)
    assert answers.any(-1).sum(1).tolist() == [len(words_of(texts[0])), 0, 62]  # as many as the model reads
    encoded = tagger.tokenizer(texts[0], return_tensors="pt")
    with torch.no_grad():
        alone = tagger.model(**encoded).logits[0, 1:-1].log_softmax(-1)
    torch.testing.assert_close(answers[0, : len(alone)], alone, atol=1e-5, rtol=1e-4)
    assert tagger.cut_share(texts) == pytest.approx(1 / 3)


def test_stored_answers_are_the_same_bits_whatever_batch_asks(tagger: TransformersTeacher, tmp_path: Path) -> None:
    notices: list[str] = []
    before = tagger.queries
    teacher = CachedTeacher(tagger, tmp_path / "answers.sqlite", notices.append)
    texts = [*random_texts(20, 1), "", "boat"]
    first = teacher(texts[:3])
    whole = teacher(texts)
    asked = teacher.asked - before
    again = CachedTeacher(tagger, tmp_path / "answers.sqlite", notices.append)
    assert torch.equal(again(texts), whole) and torch.equal(whole[:3, : first.shape[1]], first)
    assert again(["boat", "boat"]).shape == (2, 1, 4) and again([]).shape == (0, 1, 4)
    assert asked == len(texts) and again.asked == tagger.queries - len(texts) - 2 and not notices


@pytest.mark.parametrize("spec", ["teacher-layers:0", "bert:layers=1,hidden=32"])
def test_a_student_learns_from_words_whatever_its_tokenizer(spec: str, tagger: TransformersTeacher, tmp_path: Path) -> None:
    other = tokenizer("bytes") if spec.startswith("bert") else None
    student = load_student(spec, teacher=tagger, tokenizer=other, device="cpu")
    texts = random_texts(300, 5, longest=10)
    held = HeldOut(0.2)
    batch = held.take(judged(tagger, texts))
    config = DistillConfig(student_updates=120, student_batch_size=32, student_learning_rate=1e-2)
    before = held.measure(student)
    Distiller(student, config, len(texts), 0).run([batch], online=False)
    after = held.measure(student)
    assert after["kappa"] > 0.35 and after["kappa"] >= before["kappa"] and after["kl"] < before["kl"] + 1e-3
    student.save(tmp_path / "student")
    found = pipeline("token-classification", str(tmp_path / "student"), device="cpu")("the boat and the cow")
    reloaded = load_student(str(tmp_path / "student"), device="cpu")
    assert reloaded.kind == KIND and torch.equal(reloaded.answers(texts), student.answers(texts))
    assert {item["entity"] for item in found} <= set(TAGS)


def test_two_processes_make_the_updates_of_one(tagger: TransformersTeacher) -> None:
    """The loss is a mean over words, so a process with longer texts has the larger part in it."""
    texts = [" ".join(random_texts(1, i)[0].split()[:1]) if i % 2 else random_texts(1, i)[0] for i in range(16)]
    batch = judged(tagger, texts)

    def losses(processes: Processes) -> list[float]:
        student = load_student("bert:layers=1,hidden=32", labels=tagger.labels, teacher=tagger, device="cpu")
        config = DistillConfig(student_updates=3, student_batch_size=8, student_online_share=0)
        distiller, found = Distiller(student, config, len(batch), 0, tagger, processes=processes), []
        distiller.add(batch)
        for _ in range(3):
            distiller.update(1, lambda _, loss: found.append(loss))
        return found

    assert in_two(losses) == [pytest.approx(losses(Processes()), rel=1e-5)] * 2


def test_a_stopped_loop_continues_bit_for_bit(tagger: TransformersTeacher, tmp_path: Path) -> None:
    config = DistillConfig(student_updates=12, student_batch_size=8, student_online_share=1.0, replay_capacity=30)
    batches = [judged(tagger, random_texts(15, step, longest=4 + 5 * step)) for step in range(4)]

    def loop() -> Distiller:
        return Distiller(load_student("teacher-layers:0", teacher=tagger, device="cpu"), config, 60, 1)

    whole, part, resumed = loop(), loop(), loop()
    for batch in batches:
        whole.consume(batch)
    for batch in batches[:2]:
        part.consume(batch)
    part.save(tmp_path / "state")
    resumed.load(tmp_path / "state")
    for batch in batches[2:]:
        resumed.consume(batch)
    assert torch.equal(whole.replay.logprobs[:30], resumed.replay.logprobs[:30])
    expected = whole.student.model.state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in resumed.student.model.state_dict().items())


def test_held_out_words_are_saved_exactly(tagger: TransformersTeacher, tmp_path: Path) -> None:
    held, restored = HeldOut(0.5), HeldOut(0.5)
    for step in range(2):
        held.take(judged(tagger, random_texts(20, step, longest=5 + 10 * step)))
    held.save(tmp_path / "held")
    restored.load(tmp_path / "held")
    assert torch.equal(restored.logprobs, held.logprobs) and restored.texts == held.texts


def rows(texts: list[str]) -> list:
    return [[[0.7, 0.1, 0.1, 0.1] for _ in words_of(text)] for text in texts]


def entities(texts: list[str]) -> list:
    return [
        [{"entity_group": "sea", "score": 0.8, "start": 4, "end": 13}] if text.startswith("the ") else [] for text in texts
    ]


def test_functions_answer_with_rows_or_with_entities() -> None:
    texts = ["the red boat.", "a"]
    teacher = load_teacher(rows, labels=TAGS, asking=asking())
    torch.testing.assert_close(teacher(texts)[1, 0].exp(), torch.tensor([0.7, 0.1, 0.1, 0.1]))
    assert teacher(texts).any(-1).sum(1).tolist() == [4, 1]
    teacher = load_teacher(entities, labels=TAGS, asking=asking())
    answers = teacher(texts)
    assert teacher.kind.decisions(answers).tolist() == [[0, 1, 2, 2], [0, -1, -1, -1]]
    torch.testing.assert_close(answers[0, 2].exp(), torch.tensor([0.2 / 3, 0.2 / 3, 0.8, 0.2 / 3]))


def test_an_inner_tag_that_continues_nothing_begins_an_entity(tmp_path: Path) -> None:
    tags = ["O", "I-sea", "I-farm"]
    kind = load_teacher(str(save_tagger(tmp_path / "inner", tags)), "cpu").kind
    assert kind == Tokens(tuple(tags)) and kind.targets(tags) == ["sea", "farm", "no entity"]
    shown = torch.eye(3)[[1, 1, 2, 0, 1]].tolist()
    cells = kind.cells(shown, "Ann Lee cow saw boats")
    assert kind.said(cells, []) == "Ann Lee: sea, cow: farm, boats: sea" and kind.given(cells) == [0, 1]
    teacher = load_teacher(entities, labels=tags, asking=asking())
    assert teacher.kind.decisions(teacher(["the red boat."])).tolist() == [[0, 1, 1, 1]]


def asking(kind: str = "tokens") -> Asking:
    return Asking(kind=GivenKind(kind))


def test_bad_answers_are_counted_and_named() -> None:
    def short(texts: list[str]) -> list:
        return [row[:-1] if len(row) > 1 else row for row in rows(texts)]

    teacher = load_teacher(short, labels=TAGS, asking=asking())
    answers = teacher(["the red boat", "a"])
    assert answers.isnan().flatten(1).all(1).tolist() == [True, False] and teacher.invalid == 1


def test_what_cannot_tag_words_is_refused(tmp_path: Path, tagger: TransformersTeacher) -> None:
    bad = str(save_tagger(tmp_path / "bad", ["O", "B-sea", "farm"]))
    with pytest.raises(InputError, match="farm is neither O nor .*: name all 3 so, in this order, with --teacher_labels"):
        load_teacher(bad, "cpu")
    with pytest.raises(InputError, match="its tags are O, B-sea, I-, but I- is neither"):
        load_teacher(bad, "cpu", labels=["O", "B-sea", "I-"])
    renamed = load_teacher(bad, "cpu", labels=["O", "B-sea", "B-farm"])
    assert renamed.labels == ["O", "B-sea", "B-farm"] and renamed.kind == Tokens(("O", "B-sea", "B-farm"))
    with pytest.raises(InputError, match="neither O nor B-TYPE"):
        load_teacher(rows, labels=["O", "B-sea", "farm"], asking=asking())
    with pytest.raises(InputError, match="answers about whole texts"):
        load_teacher("http://localhost:1/", labels=TAGS, asking=asking())
    with pytest.raises(InputError, match="reads a text as a whole"):
        load_student("static:from-teacher", teacher=tagger, device="cpu")
    with pytest.raises(InputError, match="kind is single"):
        load_teacher(tagger.path, "cpu", asking=asking("single"))


def test_a_teacher_whose_tokenizer_has_no_offsets_is_refused(
    tagger: TransformersTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PreTrainedTokenizerFast, "is_fast", False)
    with pytest.raises(InputError, match="^tokenizer: .* does not say where its tokens lie in a text"):
        load_teacher(tagger.path, "cpu")
