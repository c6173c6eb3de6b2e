"""Class prompts: what policy and writer are asked for, in the user's words.

A class prompt names the task and one class. A chat model gets it as a user's request through its chat template, and the text
is the beginning of its answer. Any other model gets it as text that it continues. The writer reads it, too: a general language
model that continues a bare opening goes on about anything, and with the request before it, it stays with the task. All of this
is ours; in PromptDFD (arXiv 2205.07523) the model continues the bare opening.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from distill.common.errors import InputError, did_you_mean
from distill.common.terminal import one_line
from distill.kinds.scores import STEPS
from prompter.generation.config import CONTROL, PolicyConfig

if TYPE_CHECKING:
    from prompter.generation.opening import AnyWriter
    from prompter.generation.outside.vllm_policy import VLLMPolicy
    from prompter.generation.policy import TopicPolicy

CHAT_OPTIONS = {"enable_thinking": False}
"""Options of chat templates. Models that think aloud would put that into the text; other templates ignore the option."""

NO_TASK = "a short text"
"""What a text is called where the user does not say."""

SUBJECT_REQUEST = "Name one subject of {task} about {label}. Answer with the subject alone."
"""What the policy is asked for if it writes subjects."""

SUBJECT_CONTROL = "{task}. A subject of {label}:"
"""The same for a model without a chat template."""

TOLD = "Here is {task} about {label}:"
"""What a model without a chat template continues if the user describes the task and gives no `control`."""

ABOUT = " about {label}"
"""How the requests name a class. A text is not about a score: it has one."""

PLACEHOLDER = re.compile(r"\{(task|label)\}")

Row = tuple[list[int], list[int]]
"""Token ids that the writer reads, and those among them at the end that begin the text. The second list may be empty."""


def class_names(labels: Sequence[str]) -> list[str]:
    """Return the names that class prompts use: the labels, or `class 0`, `class 1`, ... if the labels are placeholders.

    Examples:
        >>> class_names(["World", "Sci/Tech"])
        ['World', 'Sci/Tech']
        >>> class_names(["LABEL_0", "LABEL_1"])
        ['class 0', 'class 1']
    """
    if all(re.fullmatch(r"(LABEL_)?\d+", label) for label in labels):
        return [f"class {index}" for index in range(len(labels))]
    return list(labels)


def described(labels: Sequence[str], descriptions: Mapping[str, str]) -> list[str]:
    """Return each class in the user's words, or its name where the user gives none.

    Raises:
        InputError: A description is for a class that does not exist, or two classes have the same words.

    Examples:
        >>> described(["World", "Sports"], {"World": "world events"})
        ['world events', 'Sports']
    """
    for name in descriptions:
        if name not in labels:
            raise InputError(
                f"label_descriptions: there is no class '{name}', expected some of: {', '.join(labels)}."
                f"{did_you_mean(name, list(labels))}"
            )
    words = [descriptions.get(label, name) for label, name in zip(labels, class_names(labels), strict=True)]
    if len(set(words)) < len(words):
        fault = f"label_descriptions give two classes the same words ({', '.join(words)}): give each its own"
        raise InputError(
            fault if descriptions else f"labels {list(labels)} are not distinct: give distinct names with --teacher_labels"
        )
    return words


def filled(template: str, task: str, label: str) -> str:
    """Put task and class into a template. Braces in what is put in stay as they are.

    Examples:
        >>> filled("Write {task} about {label}.", "texts with {label}", "sports")
        'Write texts with {label} about sports.'
    """
    values = {"task": task, "label": label}
    return PLACEHOLDER.sub(lambda match: values[match[1]], template)


@dataclass(frozen=True)
class ClassPrompts:
    """The prompts of all classes for one model.

    Attributes:
        texts: K requests or beginnings, as people read them.
        ids: K lists of token ids, which the model continues.
        chat: Whether they go through a chat template.
    """

    texts: list[str]
    ids: list[list[int]]
    chat: bool

    def for_trainer(self) -> list[str] | list[list[dict[str, str]]]:
        """Return the prompts in TRL's form: conversations for a chat model, else texts."""
        return [conversation(text) for text in self.texts] if self.chat else self.texts


def conversation(request: str) -> list[dict[str, str]]:
    """Return a conversation that holds one request."""
    return [{"role": "user", "content": request}]


def is_chat(tokenizer: PreTrainedTokenizerBase, config: PolicyConfig) -> bool:
    """Return whether prompts go through a chat template: the tokenizer has one, and the settings do not forbid it."""
    return config.chat_template and bool(tokenizer.chat_template)


def class_prompts(
    tokenizer: PreTrainedTokenizerBase, labels: Sequence[str], config: PolicyConfig, subjects: bool = False
) -> ClassPrompts:
    """Make the class prompts for a model.

    Args:
        tokenizer: The model's tokenizer.
        labels: Class names of the teacher, in its order.
        config: The user's words.
        subjects: Ask for a subject of a text and not for the text.

    Raises:
        InputError: A description is for no class; two classes have the same prompt; or as `prompt_ids`.
    """
    chat = is_chat(tokenizer, config)
    template = template_of(config, chat, subjects)
    task = config.task_description or NO_TASK
    descriptions = config.descriptions()
    words = zip(labels, described(labels, descriptions), strict=True)
    common = of_steps(template, labels)
    texts = [filled(template if label in descriptions else common, task, word) for label, word in words]
    return ClassPrompts(texts, [prompt_ids(tokenizer, text, chat) for text in texts], chat)


def of_steps(template: str, labels: Sequence[str]) -> str:
    """Return a template that asks for a step of the range of a score, where the labels are those, and else the template.

    Examples:
        >>> of_steps("Write {task} about {label}.", STEPS), of_steps("Write {task} about {label}.", ["low", "high"])
        ('Write {task} with a {label} score.', 'Write {task} about {label}.')
    """
    return template.replace(ABOUT, " with a {label} score") if tuple(labels) == STEPS else template


def template_of(config: PolicyConfig, chat: bool, subjects: bool) -> str:
    """Return the template of the prompts, with `{label}` and maybe `{task}` in it."""
    if subjects:
        return SUBJECT_REQUEST if chat else SUBJECT_CONTROL
    if chat:
        return config.request
    # A user who describes the task wants the model to read it.
    return TOLD if config.task_description and config.control == CONTROL else config.control


def prompt_ids(tokenizer: PreTrainedTokenizerBase, text: str, chat: bool, checked: bool = True) -> list[int]:
    """Return the tokens of one prompt.

    Args:
        tokenizer: The model's tokenizer.
        text: The request, or the text that is continued.
        chat: Whether it goes through the chat template.
        checked: Refuse special tokens in the text. A subject that a policy wrote has none: they were left out there.

    Raises:
        InputError: The text holds a special token of the tokenizer, or half a character; or the chat template refuses it.
    """
    if text != text.encode("utf-8", "replace").decode("utf-8"):  # JSON can hold half a character
        raise InputError(
            f"task_description, label_descriptions or labels: {one_line(text)!r} holds half a character, which no tokenizer "
            "reads: correct it"
        )
    special = [token for token in tokenizer.all_special_tokens if token.strip() and token in text]
    if special and checked:
        raise InputError(
            f"task_description, label_descriptions or labels: {one_line(text)!r} holds '{special[0]}', a special token of the "
            "generator's tokenizer, which would end or begin something there: leave it out"
        )
    if not chat:
        return list(tokenizer(text)["input_ids"])
    try:
        ids = tokenizer.apply_chat_template(
            conversation(text), add_generation_prompt=True, tokenize=True, return_dict=True, **CHAT_OPTIONS
        )["input_ids"]
    except Exception as error:  # a template is a program of the model's author: it may fail in any way
        reason = one_line(str(error))[:200] or type(error).__name__
        raise InputError(
            f"generator: its chat template refuses a request of the user ({reason}): give "
            "--chat_template false, and the model continues --control instead"
        ) from error
    return list(ids)


class Reading(Protocol):
    """What a writer reads before it writes."""

    def rows(self, openings: Sequence[str], targets: Tensor) -> list[Row]:
        """Return what it reads for each of N openings and (N,) target classes."""
        ...


class Contexts:
    """The class prompts as the writer reads them.

    Args:
        tokenizer: The writer's tokenizer.
        labels: Class names of the teacher, in its order.
        config: The user's words, and what the policy writes.

    Raises:
        InputError: See `prompter.generation.prompts.class_prompts`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, labels: Sequence[str], config: PolicyConfig) -> None:
        self.tokenizer, self.config = tokenizer, config
        self.prompts = class_prompts(tokenizer, labels, config)

    @property
    def name_subjects(self) -> bool:
        """Whether an opening is a subject that the prompt names, and no part of the text."""
        return self.config.writes == "subject"

    def rows(self, openings: Sequence[str], targets: Tensor) -> list[Row]:
        """Return what the writer reads for each of N openings.

        Args:
            openings: Openings, or subjects, on one line each.
            targets: (N,) target class of each.
        """
        rows = zip(openings, targets.tolist(), strict=True)
        return [self._about(subject) if self.name_subjects else self._continued(subject, target) for subject, target in rows]

    def _continued(self, opening: str, target: int) -> Row:
        """Return a class prompt with the beginning of its answer."""
        prompt, text = self.prompts.ids[target], self.prompts.texts[target]
        if not opening:
            return prompt, []
        if self.prompts.chat:
            return prompt, _ids(self.tokenizer, opening)
        # The opening is tokenised behind the prompt, where a word begins with a space.
        whole = list(self.tokenizer(text + ("" if text[-1:].isspace() else " ") + opening)["input_ids"])
        if whole[: len(prompt)] == prompt:
            return prompt, whole[len(prompt) :]
        return prompt, _ids(self.tokenizer, " " + opening)  # prompt and opening share a token

    def _about(self, subject: str) -> Row:
        """Return a request for a text about a subject."""
        task = self.config.task_description or NO_TASK
        text = filled(template_of(self.config, self.prompts.chat, subjects=False), task, subject)
        return prompt_ids(self.tokenizer, text, self.prompts.chat, checked=False), []


def contexts_of(writer: "AnyWriter", policy: "TopicPolicy | VLLMPolicy") -> Contexts | None:
    """Return what a writer reads before the texts of a policy; None if its settings say: nothing.

    Raises:
        InputError: The prompts leave no room for a text in the writer's context; or as `Contexts`.
    """
    if not writer.config.in_context:
        return None
    made = Contexts(writer.tokenizer, policy.labels, policy.config)
    prompt, opening, new = max(map(len, made.prompts.ids)), policy.config.longest_opening, writer.config.writer_max_new_tokens
    if writer.context_length is not None and prompt + opening + new > writer.context_length:
        raise InputError(
            f"generator: its context of {writer.context_length} tokens is too short for a class prompt of {prompt} tokens, an "
            f"opening of {opening} and writer_max_new_tokens = {new}: shorten task_description or label_descriptions, or give "
            "--in_context false"
        )
    return made


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
