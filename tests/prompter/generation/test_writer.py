"""The writer: which prompts it makes of topics, and which texts of tokens."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model

from distill.common.errors import InputError
from prompter.decoding.loop import Decoded, decode
from prompter.editing.edits import Edits
from prompter.generation import writer as writer_module
from prompter.generation.config import WriterConfig
from prompter.generation.prompts import Row
from prompter.generation.texts import trim_to_sentence
from prompter.generation.writer import Writer
from tests.prompter.tiny import WORDS, tiny_gpt2, word_tokenizer

EOS, PAD, STOP = WORDS.index("<eos>"), WORDS.index("<pad>"), WORDS.index(".")
TOPICS = ["w1 w2 w3 w4 w5", "", "w6", "  w7\n w8 ", "w9 w10 w11", ""]


def small(**changes) -> WriterConfig:
    settings = dict(writer_max_new_tokens=10, writer_min_new_tokens=3, writer_batch_size=4)
    return WriterConfig(**(settings | changes))


def new_writer(**changes) -> Writer:
    return Writer(tiny_gpt2(), word_tokenizer(), small(**changes))


def test_texts_open_with_their_topics_in_order() -> None:
    written = new_writer().write(TOPICS, 0, 0)
    assert len(written.texts) == len(TOPICS)
    for topic, text in zip(TOPICS, written.texts, strict=True):
        topic = " ".join(topic.split())
        assert text.startswith(topic) and len(text) > len(topic)
        assert text == " ".join(text.split())
        assert not {"<eos>", "<pad>"} & set(text.split())


def test_seed_counter_and_purpose_fix_the_texts() -> None:
    writer = new_writer()
    first = writer.write(TOPICS, 3, 7)
    again = new_writer().write(TOPICS, 3, 7)
    assert first.texts == again.texts and torch.equal(first.logprob_mean, again.logprob_mean)
    for other in (writer.write(TOPICS, 4, 7), writer.write(TOPICS, 3, 8), writer.write(TOPICS, 3, 7, "controls")):
        assert other.texts != first.texts
    assert len(set(writer.unprompted(40, 3, 7).texts)) > 30  # batches differ, too
    assert writer.unprompted(5, 3, 7).texts == writer.write([""] * 5, 3, 7).texts


def test_prompts_are_sorted_and_have_few_shapes() -> None:
    writer = new_writer(writer_batch_size=3)
    seen: list[tuple[torch.Tensor, torch.Tensor | None]] = []

    def note(_, args, inputs):
        if inputs["past_key_values"].get_seq_length() == 0:
            seen.append((inputs["input_ids"], inputs["attention_mask"]))

    writer.model.register_forward_pre_hook(note, with_kwargs=True)
    topics = ["w1 w2 w3 w4 w5", "", "w6", "w7 w8", "w9 w10 w11", ""]
    writer.write(topics, 0, 0)
    (short, short_mask), (long, long_mask) = seen
    assert short.shape == (3, 4) and long.shape == (3, 8)
    assert short_mask.sum(1).tolist() == [1, 1, 2] and long_mask.sum(1).tolist() == [3, 4, 6]
    assert (short[:2, -1] == EOS).all()  # no topic: the token that begins a document, alone
    assert long[2, -6:].tolist() == [EOS, *(WORDS.index(f"w{i}") for i in range(1, 6))]
    seen.clear()
    writer.write([""] * 3, 0, 0)
    assert seen[0][0].shape == (3, 1)  # prompts of one length are not padded


def test_logprob_mean_is_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    sampled: list[Decoded] = []
    monkeypatch.setattr(writer_module, "decode", lambda *a, **k: sampled.append(decode(*a, **k)) or sampled[-1])
    writer = new_writer(writer_temperature=1.3, writer_top_p=0.9)
    written = writer.write(["w1 w2", "w3 w4", "w5 w6", "w7 w8"], 0, 0)
    (decoded,) = sampled
    assert written.new_tokens == decoded.lengths.sum()
    for i, (row, length) in enumerate(zip(decoded.tokens, decoded.lengths, strict=True)):
        prompt = [EOS, *(WORDS.index(f"w{2 * i + j}") for j in (1, 2))]
        ids = torch.tensor([prompt + row[:length].tolist()])
        with torch.no_grad():
            logprobs = writer.model(input_ids=ids).logits[0, 2:-1].log_softmax(-1)
        expected = logprobs.gather(1, row[:length, None]).mean()
        assert abs(written.logprob_mean[i] - expected) < 1e-4


def scripted(monkeypatch: pytest.MonkeyPatch, *rows: str) -> None:
    """Make the writer's decoding loop answer with those words, `|` standing for EOS."""
    ids = [[EOS if word == "|" else WORDS.index(word) for word in row.split()] for row in rows]
    lengths = torch.tensor([len(row) for row in ids])
    tokens = torch.tensor([row + [PAD] * (int(lengths.max()) - len(row)) for row in ids])
    answer = Decoded(tokens, lengths, torch.zeros(tokens.shape))
    monkeypatch.setattr(writer_module, "decode", lambda *args, **settings: answer)


def test_trims_to_the_last_sentence_that_leaves_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(
        monkeypatch,
        "w1 w2 w3 . w4 w5",  # cut
        "w1 . w2 w3 w4 w5",  # too little would be left
        "w1 w2 . w3 . w4",  # the last of two
        "w1 w2 w3 . w4 |",  # ended by itself
        "w1 w2 w3 w4 w5 w6",  # no sentence end
    )
    assert new_writer(writer_batch_size=5).write(["good . bad"] * 5, 0, 0).texts == [
        "good . bad w1 w2 w3 .",
        "good . bad w1 . w2 w3 w4 w5",
        "good . bad w1 w2 . w3 .",
        "good . bad w1 w2 w3 . w4",
        "good . bad w1 w2 w3 w4 w5 w6",
    ]
    untrimmed = new_writer(writer_batch_size=5, writer_trim_sentence=False).write(["good . bad"] * 5, 0, 0)
    assert untrimmed.texts[0] == "good . bad w1 w2 w3 . w4 w5"


def test_a_topic_that_is_a_sentence_is_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, "w1 w2 w3", "w1 w2 w3")
    writer = new_writer(writer_min_new_tokens=0)
    assert writer.write(["good .", ""], 0, 0).texts == ["good . w1 w2 w3", "w1 w2 w3"]


@given(st.text(alphabet="ab .!?\"')3。", max_size=30), st.integers(0, 30))
def test_trimming_keeps_a_prefix_of_at_least_floor_characters(text: str, floor: int) -> None:
    trimmed = trim_to_sentence(text, floor)
    assert text.startswith(trimmed)
    assert trimmed == text or len(trimmed) >= floor
    assert bool(trimmed.strip()) == bool(text.strip())


def test_shares_weights_with_a_policy_and_switches_its_adapters_off() -> None:
    plain = new_writer().write(TOPICS, 0, 0)
    policy = get_peft_model(tiny_gpt2(), LoraConfig(target_modules="all-linear", init_lora_weights=False))
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        before = policy(input_ids=ids).logits
        base = tiny_gpt2()(input_ids=ids).logits
    policy.train()
    shared = Writer(policy, word_tokenizer(), small())
    assert shared.write(TOPICS, 0, 0).texts == plain.texts
    assert policy.training
    with torch.no_grad():
        after = policy.eval()(input_ids=ids).logits
    assert torch.equal(before, after) and not torch.allclose(after, base)
    assert any(parameter.requires_grad for parameter in policy.parameters())


def test_features_are_means_of_hidden_states_of_the_frozen_model() -> None:
    writer = new_writer(writer_batch_size=2)
    texts = ["w1 w2 w3 w4 w5", "w6", "w9 w10 w11"]
    found = writer.features(texts)
    for text, row in zip(texts, found, strict=True):
        ids = torch.tensor([[writer.start, *writer.tokenizer(text, add_special_tokens=False)["input_ids"]]])
        with torch.no_grad():
            hidden = writer.model(ids, output_hidden_states=True).hidden_states
        expected = torch.cat([hidden[len(hidden) // 2][0].mean(0), hidden[-1][0].mean(0)])
        assert torch.allclose(row, expected, atol=1e-5)
    tuned = get_peft_model(tiny_gpt2(), LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    assert torch.allclose(Writer(tuned, word_tokenizer(), small()).features(texts), found, atol=1e-5)
    for module in tuned.train().modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    assert torch.allclose(Writer(tuned, word_tokenizer(), small()).features(texts), found, atol=1e-5)
    assert tuned.training  # as a trainer of the policy has it


def test_a_text_may_be_written_in_two_parts() -> None:
    writer = new_writer()
    begins, ends = writer.in_two_parts(4)
    assert begins.model is writer.model is ends.model
    written = begins.write(TOPICS, 0, 0)
    assert written.new_tokens == 4 * len(TOPICS)  # none has ended
    assert any(not text.endswith(".") and "." in text for text in begins.unprompted(40, 0, 0).texts)  # none is trimmed
    texts = ends.write(written.texts, 0, 0).texts
    for half, text in zip(written.texts, texts, strict=True):
        assert text.startswith(half) and 0 < len(text.split()) - len(half.split()) <= 6
    assert texts != writer.write(TOPICS, 0, 0).texts
    with pytest.raises(InputError, match="candidate_tokens is 10, expected less than writer_max_new_tokens = 10"):
        writer.in_two_parts(10)


def test_a_long_topic_stays_whole_in_the_text() -> None:
    topic = " ".join(f"w{i % 25}" for i in range(80))  # the model's context is 64
    text = new_writer().write(["w1", topic], 0, 0).texts[1]
    assert text.startswith(topic) and len(text) > len(topic)


@pytest.mark.parametrize("length", [50, 80])
def test_a_long_topic_after_a_shared_class_prompt_is_cut_beside_a_short_one(length: int) -> None:
    writer, topic = new_writer(), " ".join(["w1"] * length)  # the model's context is 64

    class Prompts:
        def rows(self, openings: list[str], targets: torch.Tensor) -> list[Row]:
            ids = writer.tokenizer(openings, add_special_tokens=False)["input_ids"]
            return [([writer.start, *[5] * 6], row) for row in ids]

    writer.contexts = Prompts()
    texts = writer.write([topic, "w2"], 0, 0, targets=torch.zeros(2, dtype=torch.long)).texts
    assert texts[0].startswith(topic) and len(texts[0]) > len(topic) and texts[1].startswith("w2 ")


def test_no_topics_no_texts() -> None:
    written = new_writer().write([], 0, 0)
    assert (written.texts, written.new_tokens, len(written.logprob_mean)) == ([], 0, 0)


def test_loads_from_a_folder(lm_folder: Path) -> None:
    writer = Writer.load(str(lm_folder), small(), "cpu")
    assert writer.write(TOPICS, 0, 0).texts == new_writer().write(TOPICS, 0, 0).texts
    assert not any(parameter.requires_grad for parameter in writer.model.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            dict(writer_max_new_tokens=0, writer_min_new_tokens=0),
            "writer_max_new_tokens is 0, expected a whole number >= 1",
        ),
        (
            dict(writer_min_new_tokens=11),
            "writer_min_new_tokens is 11, expected .* from 0 to writer_max_new_tokens = 10",
        ),
        (dict(writer_min_new_tokens=-1), "writer_min_new_tokens is -1"),
        (dict(writer_temperature=-0.1), "writer_temperature is -0.1, expected a number >= 0"),
        (dict(writer_temperature=float("nan")), "writer_temperature is nan"),
        (dict(writer_top_p=0.0), "writer_top_p is 0.0, expected a number > 0"),
        (dict(writer_top_p=1.1), "writer_top_p is 1.1"),
        (dict(writer_top_k=-1), "writer_top_k is -1"),
        (dict(writer_batch_size=-1), "writer_batch_size is -1"),
    ],
)
def test_settings_out_of_range(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        small(**changes)


def test_what_a_generator_cannot_do() -> None:
    with pytest.raises(InputError, match="writer_max_new_tokens is 64, expected at most 63: .* context is 64 tokens"):
        new_writer(writer_max_new_tokens=64)
    nameless = word_tokenizer()
    nameless.bos_token = nameless.eos_token = None
    with pytest.raises(InputError, match="neither a BOS nor an EOS"):
        Writer(tiny_gpt2(), nameless, small())


@pytest.mark.slow
def test_a_batch_size_of_0_is_found_once_or_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert new_writer(writer_batch_size=7).settle_batch_size(3) == 7
    assert new_writer(writer_batch_size=0).settle_batch_size(3) == 3
    found = new_writer(writer_batch_size=0)
    assert found.write(TOPICS, 0, 0).texts == new_writer(writer_batch_size=256).write(TOPICS, 0, 0).texts  # on a CPU
    assert found.config.writer_batch_size == 256
    tried: list[int] = []

    def decode(self: Writer, rows: list, random: torch.Generator) -> None:
        tried.append(len(rows))
        if len(rows) > 800:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")

    monkeypatch.setattr(Writer, "_decode", decode)
    on_gpu = new_writer(writer_batch_size=0)
    on_gpu.device = torch.device("meta")  # no CPU; nothing is computed
    monkeypatch.setattr(writer_module, "random_generator", lambda *_, **__: None)
    assert on_gpu.settle_batch_size() == 745 == on_gpu.settle_batch_size()
    assert tried == [1024, 921, 828, 745]


@pytest.mark.gpu
def test_a_batch_size_is_found_on_a_gpu() -> None:
    writer = Writer(tiny_gpt2(), word_tokenizer(), small(writer_batch_size=0), "cuda")
    assert writer.settle_batch_size() == 1024  # a tiny model: all of it fits


def test_texts_of_some_classes_are_edited_after_they_are_written() -> None:
    plain, edited = new_writer(), new_writer(edit_labels=["bad"], edits=["swap"], edits_max=1)
    edited.edits = Edits(edited.config, ["good", "bad"])
    targets = torch.tensor([0, 1] * 3)
    before, after = plain.write(TOPICS, 0, 0, targets=targets), edited.write(TOPICS, 0, 0, targets=targets)
    assert after.texts[::2] == before.texts[::2] and torch.equal(after.logprob_mean, before.logprob_mean)
    for old, new in zip(before.texts[1::2], after.texts[1::2], strict=True):
        assert old != new and sorted(old.lower()) == sorted(new.lower())
    assert edited.write(TOPICS, 0, 0).texts == before.texts  # no class
    assert edited.sampling(edited.config).write(TOPICS, 0, 0, targets=targets).texts == after.texts
    begin, end = edited.in_two_parts(3)
    beginnings = begin.write(TOPICS, 0, 0, targets=targets).texts
    assert beginnings == plain.in_two_parts(3)[0].write(TOPICS, 0, 0, targets=targets).texts
    whole, edited_whole = (part.write(beginnings, 0, 0, targets=targets).texts for part in (plain.in_two_parts(3)[1], end))
    assert whole[::2] == edited_whole[::2] and all(a != b for a, b in zip(whole[1::2], edited_whole[1::2], strict=True))
