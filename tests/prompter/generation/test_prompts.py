"""Class prompts in the user's words, and what the writer reads before a text."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from distill.common.errors import InputError
from prompter.generation.config import PolicyConfig, WriterConfig
from prompter.generation.policy import TopicPolicy
from prompter.generation.prompts import Contexts, class_prompts, contexts_of, described, filled
from prompter.generation.writer import Writer
from tests.prompter.tiny import WORDS, tiny_gpt2, word_tokenizer

LABELS = ["good", "bad"]
CHAT = "{% for m in messages %}{{ 'w1 ' + m['content'] + ' w2 ' }}{% endfor %}{% if add_generation_prompt %}w3 :{% endif %}"
NO_USER = "{{ raise_exception('only tools may speak') }}"


def reader(template: str | None = CHAT) -> PreTrainedTokenizerFast:
    tokenizer = word_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def settings(**changes: object) -> PolicyConfig:
    return PolicyConfig(**({"request": "w4 {task} w5 {label}", "control": "{label} :"} | changes))  # type: ignore[arg-type]


def writer(config: PolicyConfig, template: str | None = CHAT, **changes: object) -> Writer:
    policy = TopicPolicy(tiny_gpt2(), reader(template), LABELS, config, 4)
    values = {"writer_max_new_tokens": 6, "writer_min_new_tokens": 6, "writer_temperature": 0, "writer_trim_sentence": False}
    made = Writer(policy.model, policy.tokenizer, WriterConfig(**(values | changes)))  # type: ignore[arg-type]
    made.contexts = contexts_of(made, policy)
    return made


def words(ids: list[int]) -> str:
    return " ".join(WORDS[index] for index in ids)


def test_a_chat_model_is_asked_and_any_other_model_continues() -> None:
    config = settings(task_description="w7 w8", label_descriptions="{bad: w9}")
    asked = class_prompts(reader(), LABELS, config)
    assert asked.chat and asked.texts == ["w4 w7 w8 w5 good", "w4 w7 w8 w5 w9"]
    assert words(asked.ids[1]) == "w1 w4 w7 w8 w5 w9 w2 w3 :"
    assert asked.for_trainer()[0] == [{"role": "user", "content": "w4 w7 w8 w5 good"}]
    continued = class_prompts(reader(None), LABELS, config)
    assert not continued.chat and continued.texts == ["good :", "w9 :"] == continued.for_trainer()
    assert class_prompts(reader(), LABELS, settings(chat_template=False)).texts == ["good :", "bad :"]
    told = class_prompts(reader(None), LABELS, PolicyConfig(task_description="w7"))
    assert told.texts == ["Here is w7 about good:", "Here is w7 about bad:"]  # the description is not lost


def test_a_policy_of_trl_s_conversations_knows_their_classes() -> None:
    policy = TopicPolicy(tiny_gpt2(), reader(), LABELS, settings(), 4)
    prompts = policy.prompts.for_trainer()
    assert policy.targets([prompts[1], prompts[0]]).tolist() == [1, 0]
    assert all(policy.topics(torch.tensor([0, 1]), 0, 0))


@given(task=st.text(st.characters(codec="utf-8"), max_size=20), label=st.text(max_size=20))
def test_what_a_user_writes_is_put_in_as_it_is(task: str, label: str) -> None:
    assert filled("<{task}|{label}|{other}>", task, label) == f"<{task}|{label}|{{other}}>"


def test_braces_and_markup_in_a_description_are_words() -> None:
    config = settings(task_description="[bold]{label}[/bold] {x}", label_descriptions='{good: "{task}"}')
    assert class_prompts(reader(), LABELS, config).texts[0] == "w4 [bold]{label}[/bold] {x} w5 {task}"


def test_descriptions_that_fit_no_class_or_two() -> None:
    with pytest.raises(InputError, match="label_descriptions: there is no class 'god', .* Did you mean 'good'"):
        described(LABELS, {"god": "w1"})
    with pytest.raises(InputError, match="label_descriptions give two classes the same words"):
        described(LABELS, {"good": "w1", "bad": "w1"})
    for wrong, fault in {
        "[good]": "expected a YAML map",
        "{good:w1}": "expected your words",
        "{good: [": "is no YAML map",
    }.items():
        with pytest.raises(InputError, match=f"label_descriptions.*{fault}"):
            settings(label_descriptions=wrong)
    with pytest.raises(InputError, match="request is 'write', expected a text with {label}"):
        settings(request="write")


def test_special_tokens_in_the_words_are_refused() -> None:
    for changes in ({"task_description": "w1 <eos> w2"}, {"label_descriptions": "{good: <pad>}"}):
        with pytest.raises(InputError, match="a special token of the generator's tokenizer"):
            class_prompts(reader(), LABELS, settings(**changes))


def test_a_template_that_refuses_a_user_s_turn() -> None:
    with pytest.raises(InputError, match="chat template refuses .*only tools may speak.* --chat_template false"):
        class_prompts(reader(NO_USER), LABELS, settings())
    assert class_prompts(reader(NO_USER), LABELS, settings(chat_template=False))


@pytest.mark.parametrize("template", [CHAT, None])
def test_the_writer_answers_the_class_prompt_from_the_opening_on(template: str | None) -> None:
    made = writer(settings(), template)
    openings, targets = ["w10 w11", "w12", "", "w13 w14 w15"], torch.tensor([1, 0, 1, 0])
    texts = made.write(openings, 0, 0, targets=targets).texts
    prompts = class_prompts(made.tokenizer, LABELS, settings()).ids
    for opening, target, text in zip(openings, targets.tolist(), texts, strict=True):
        ids = prompts[target] + made.tokenizer(opening, add_special_tokens=False)["input_ids"]
        wanted = made.model.generate(torch.tensor([ids]), max_new_tokens=6, min_new_tokens=6, do_sample=False)[0]
        assert text == made.tokenizer.decode(wanted[len(prompts[target]) :], skip_special_tokens=True)
    assert made.write(openings, 0, 0).texts != texts  # without classes it continues the bare openings
    assert writer(settings(), template, in_context=False).write(openings, 0, 0, targets=targets).texts != texts


def test_a_subject_is_named_and_is_no_part_of_the_text() -> None:
    config = settings(writes="subject")
    made, subjects = writer(config), ["w10 w11", "w12", "w10 w13"]
    texts = made.write(subjects, 0, 0, targets=torch.tensor([0, 1, 1])).texts
    for subject, text in zip(subjects, texts, strict=True):
        ids = made.tokenizer(f"w1 w4 a short text w5 {subject} w2 w3 :")["input_ids"]
        wanted = made.model.generate(torch.tensor([ids]), max_new_tokens=6, min_new_tokens=6, do_sample=False)[0]
        assert text == made.tokenizer.decode(wanted[len(ids) :], skip_special_tokens=True)
    assert "subject" in TopicPolicy(tiny_gpt2(), reader(), LABELS, config, 4).prompts.texts[0]


def test_a_first_word_is_read_as_the_model_would_write_it() -> None:
    """Behind a prompt, a word begins with a space, which is a part of its token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    inner = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, ":": 2, "Ġ": 3, "Ġb": 4}, merges=[("Ġ", "b")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    rows = Contexts(tokenizer, ["a", "b"], PolicyConfig()).rows(["b", ""], torch.tensor([0, 0]))
    assert rows == [([0, 2], [4]), ([0, 2], [])]


def test_a_context_that_is_too_short() -> None:
    with pytest.raises(InputError, match="context of 64 tokens is too short for a class prompt of 45 tokens"):
        writer(settings(task_description="w1 " * 38), writer_max_new_tokens=14)


@pytest.mark.parametrize("template, setting", [(CHAT, "request"), (None, "control")])
def test_a_prompt_that_is_too_long_for_the_policy_names_its_own_setting(template: str | None, setting: str) -> None:
    long = settings(task_description="w1 " * 70, control="w4 {task} w5 {label}")
    with pytest.raises(InputError, match=f"^{setting}: 'w4 .* context is 64 tokens; .* --task_description or --{setting}"):
        TopicPolicy(tiny_gpt2(), reader(template), LABELS, long, 4).check_lengths()


@pytest.mark.parametrize(
    "program",
    ["{{ 1 / 0 }}", "{{ 10.0 ** 1000 }}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{{ 'a' * 10 ** 18 }}"],
)
def test_a_template_may_fail_in_any_way(program: str) -> None:
    with pytest.raises(InputError, match="chat template refuses .* --chat_template false"):
        class_prompts(reader(program), LABELS, settings())


@pytest.mark.parametrize("template", [None, CHAT])
def test_half_a_character_is_refused(template: str | None) -> None:
    with pytest.raises(InputError, match="holds half a character"):
        class_prompts(reader(template), ["good", "b\ud800d"], settings())
