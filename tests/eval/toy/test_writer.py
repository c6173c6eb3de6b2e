"""The toy writer: it writes known words in a learnt order, and spells unknown ones."""

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
)

from eval.toy.models import toy_writer
from eval.toy.world import shared_world
from eval.toy.writer import END_OF_TEXT, WriterSettings, word_vectors

SMALL_WRITER = WriterSettings(layers=1, hidden=48, heads=2, corpus_texts=3000)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_writer(tmp_path_factory.mktemp("cache"), settings=SMALL_WRITER, quiet=True)


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
