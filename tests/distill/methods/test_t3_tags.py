"""What a tagger says of rewritten texts: which tokens begin words, answers with gradients, and t3 as a whole."""

import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForTokenClassification

from distill.common.seeding import random_generator, seeded
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.embedded import raw_outputs
from distill.kinds.found import kind_in
from distill.methods.config import T3Config
from distill.methods.rewriter import RewrittenTokens
from distill.methods.soft_texts import embed_texts, of_beginnings, of_words, soft_choice, word_beginnings
from distill.methods.t3 import TextToText
from distill.student import load_student
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.kinds.test_words import tokenizer as pieces
from tests.distill.rewriters import save_rewriter_base
from tests.distill.tiny import make_tokenizer, random_texts

TAGS = ["O", "B-sea", "I-sea", "B-farm"]
CORPUS = random_texts(80, 77, 3, 8)


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> TransformersTeacher:
    """A tagger of random weights whose answers differ from word to word."""
    folder = tmp_path_factory.mktemp("tagger")
    with seeded(0, "tagger"):
        config = BertConfig(
            vocab_size=len(make_tokenizer()), num_hidden_layers=1, hidden_size=32, num_attention_heads=2,
            intermediate_size=64, max_position_embeddings=64, initializer_range=0.4,
            id2label=dict(enumerate(TAGS)), label2id={tag: number for number, tag in enumerate(TAGS)},
        )  # fmt: skip
        BertForTokenClassification(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return TransformersTeacher(folder, "cpu")


@pytest.fixture(scope="module")
def t3(tagger: TransformersTeacher, tmp_path_factory: pytest.TempPathFactory) -> TextToText:
    base = save_rewriter_base(tmp_path_factory.mktemp("base") / "t5")
    student = load_student("bert:layers=1,hidden=16,heads=2", teacher=tagger, seed=1, device="cpu")
    distiller = Distiller(student, DistillConfig(student_updates=10, student_batch_size=8), 400, 0)
    config = T3Config(
        rewriter=str(base), rewriter_batch_size=16, rewriter_updates=6, rewriter_max_length=10, rewriter_rank=4,
        rewriter_alpha=8, rewriter_learning_rate=1e-2, rewriter_hidden_share=0.3,
        rewriter_hardness=0.0, rewriter_diversity=0.0, rewriter_language=0.0,
    )  # fmt: skip
    return TextToText(config, CachedTeacher(tagger, None, print), distiller, CORPUS, seed=0, device="cpu")


def test_words_begin_where_tokens_say_so_and_at_marks() -> None:
    made = pieces("pieces")
    begins = word_beginnings(made, len(made))
    for token, index in made.get_vocab().items():
        if token.startswith("##"):
            assert begins[index] == (not token[2:3].isalnum())
        elif index not in made.all_special_ids:
            assert begins[index]
    assert not begins[made.all_special_ids].any()


def test_the_first_token_of_a_text_begins_a_word() -> None:
    mask = torch.tensor([[True, True, True], [True, False, False]])
    tokens = RewrittenTokens(torch.tensor([[5, 6, 1], [1, 0, 0]]), mask, mask)
    told = of_beginnings(torch.zeros(2, 5, 4), tokens, torch.zeros(9, dtype=torch.bool))  # two tokens before each text
    assert torch.isneginf(told).all(-1).tolist() == [[False, True, True], [True, True, True]]


def test_answers_with_gradients_are_those_to_the_texts(t3: TextToText, tagger: TransformersTeacher) -> None:
    inputs = t3.rewriter.encode(CORPUS[:32], random_generator(0, "hidden"))
    tokens = t3.rewriter.sample(inputs, 0, "sample")
    logits = t3.rewriter.logits(inputs, tokens)
    soft = soft_choice(logits, tokens.ids, 1.0, random_generator(0, "noise"))
    outputs = raw_outputs(tagger.model, *embed_texts(tokens, soft, t3.teacher_table, tagger.model, t3.to_teacher))
    answers = tagger.kind.answers(of_beginnings(outputs, tokens, t3.begins))
    texts = t3.rewriter.decode(tokens, CORPUS[:32])
    alike = t3._read_alike(CORPUS[:32], tokens, texts)
    assert alike.sum() > 8
    same = [text for text, one in zip(texts, alike.tolist(), strict=True) if one]
    known = tagger.kind.answers(of_words(outputs.detach()[alike], same, tagger.tokenizer, tagger.max_length))
    told = tagger(same)
    torch.testing.assert_close(known, told[:, : known.shape[1]], atol=1e-4, rtol=1e-4)
    assert not told[:, known.shape[1] :].any()
    for row, expected in zip(answers.detach()[alike], told, strict=True):  # the same words, in the same order
        torch.testing.assert_close(row[row.any(-1)], expected[expected.any(-1)], atol=1e-4, rtol=1e-4)
    (gradient,) = torch.autograd.grad(tagger.kind.outcomes(answers)[..., 1].exp().sum(), logits)
    assert gradient.isfinite().all() and gradient.abs().max() > 0
    assert of_words(outputs.detach()[:0], [], tagger.tokenizer, 64).shape == (0, 1, len(TAGS))


def test_rewritings_of_a_tagger_become_surer_and_carry_its_answers(t3: TextToText, tagger: TransformersTeacher) -> None:
    def unsure() -> float:
        decided = tagger.kind.outcomes(tagger(t3.write(CORPUS * 6, 99).texts))
        return float(-(decided.exp() * decided).sum(-1).mean())

    before = unsure()
    batch = t3.step(10_000).batch
    torch.testing.assert_close(batch.teacher_logits, tagger(batch.texts), atol=1e-4, rtol=1e-4)
    assert batch.kind == tagger.kind and len(batch) > 40
    for _ in range(2):
        t3.step(10_000)
    assert unsure() < before - 0.02


def test_a_saved_rewriter_of_a_tagger_says_its_kind(t3: TextToText, tmp_path: Path) -> None:
    t3.save_rewriter(tmp_path / "rewriter")
    manifest = json.loads((tmp_path / "rewriter" / "rewriter.json").read_text())
    assert manifest["labels"] == ["sea", "farm", "no entity"]  # what its rows are balanced by, as of a prompter
    assert kind_in(manifest) == t3.teacher.kind
