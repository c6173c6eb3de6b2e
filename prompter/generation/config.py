"""Settings of the policy and the writer.

The defaults of rollouts, learning rate, lengths and adapted layers were measured with a general language model (`docs/log.md`,
2026-11-26). Small writers of a narrow domain want others: see `configs/bench` and `configs/toy`.
"""

import json
import math
from dataclasses import dataclass

from distill.common.errors import InputError, did_you_mean
from distill.common.settings import check, setting
from distill.common.yaml_text import YamlFault, as_written, parse_yaml
from distill.teachers.names import split_address
from prompter.editing.config import EditSettings

POLICY, WRITER = "Prompter", "Writer"

TRANSFORMERS, VLLM = "transformers", "vllm"
"""What the frozen writer runs on, beside the address of a server."""

PAIR_REQUEST = "Here is a text: {text} Write one more sentence that {label}."
"""What a chat model is asked for after a first text."""

PAIR_CONTROL = "{text} A sentence that {label}:"
"""The same for a model without a chat template."""

CONTROL = "{label}:"
"""What a model without a chat template continues."""

NOTHING = "nothing"
"""Of the setting `writes`: no policy has a part, and the writer is asked with the class prompt alone."""

WRITTEN, REPLACED, NEIGHBOUR, RANDOM = "written", "replaced", "neighbour", "random"
"""Second texts of pairs, see `prompter.pairs.second_texts`."""

REQUEST = "Write the beginning of {task} about {label}."
"""What a chat model is asked for; `docs/log.md` says which wordings were measured."""


@dataclass
class PolicyConfig:
    """The policy, and how PPO (or TRL's GRPO or RLOO) tunes it.

    Raises:
        InputError: A value is out of its range.
    """

    policy: str | None = setting(
        None, "Causal LM that writes topics: folder, hub id or GGUF file; default: the generator.", POLICY, path=True
    )
    task_description: str | None = setting(
        None, "What a text is, in your words: a short news report. Class prompts name it.", POLICY
    )
    label_descriptions: str = setting(
        "{}", "Your words for classes in class prompts: a YAML map, {World: world events}. Default: the class names.", POLICY
    )
    request: str = setting(
        REQUEST, "Class prompt of a model with a chat template: {label} is the target class, {task} the description.", POLICY
    )
    control: str = setting(
        CONTROL, "Class prompt of any other model, which continues it: {label} and {task} as in the request.", POLICY
    )
    chat_template: bool = setting(True, "Ask through the model's chat template if it has one.", POLICY)
    writes: str = setting(
        "topic",
        "topic: the policy writes an opening and the frozen writer continues it; subject: it names a subject, and the writer "
        "is asked for a text about that; text: the policy writes the whole text; nothing: no prompter, and the class prompt "
        "alone asks the writer.",
        POLICY,
        choices=("topic", "subject", "text", NOTHING),
    )
    lora_rank: int = setting(16, "Rank of the LoRA adapters; 0 tunes all weights.", POLICY, low=0, high=1024)
    lora_alpha: int = setting(32, "LoRA's scale times its rank.", POLICY, low=1, high=2**16)
    lora_layers: float = setting(
        0.34,
        "Share of the layers, from the top, that get adapters; fewer train faster.",
        POLICY,
        above=0,
        high=1,
        before=1.0,
    )
    topic_min_tokens: int = setting(2, "Fewest tokens of a topic.", POLICY, low=1)
    topic_max_tokens: int = setting(8, "Most tokens of a topic.", POLICY, low=1)
    algorithm: str = setting(
        "ppo", "Algorithm that tunes the policy; none: it stays as it is.", POLICY, choices=("ppo", "grpo", "rloo", "none")
    )
    learning_rate: float = setting(1e-3, "Peak learning rate of the policy.", POLICY, above=0)
    lr_scheduler_type: str = setting("linear", "Learning-rate schedule, a name of transformers.", POLICY)
    rollout_size: int = setting(64, "Samples per rollout, rounded to a multiple of the classes.", POLICY, low=4)
    minibatch_size: int = setting(32, "Samples per optimizer step, at most (before rollout_size is rounded).", POLICY, low=2)
    num_iterations: int = setting(2, "Passes over each rollout.", POLICY, low=1)
    beta: float = setting(0.05, "Weight of the KL divergence from the untuned LM.", POLICY, low=0)
    entropy_coef: float = setting(0.0, "Weight of the entropy bonus.", POLICY, low=0)
    temperature: float = setting(1.0, "Sampling temperature of topics.", POLICY, above=0)
    trainer_args: str = setting("{}", "Further fields of PPOConfig, GRPOConfig or RLOOConfig: a mapping, as JSON.", POLICY)

    def __post_init__(self) -> None:
        """Check ranges, and that the class prompt names the class."""
        check(self)
        if self.topic_max_tokens < self.topic_min_tokens:
            raise InputError(
                f"topic_max_tokens is {self.topic_max_tokens}, expected at least topic_min_tokens = {self.topic_min_tokens}"
            )
        if self.policy and self.writes == NOTHING:
            raise InputError(f"policy is '{self.policy}', expected none with writes: {NOTHING}: the generator alone writes")
        try:
            mapping = isinstance(json.loads(self.trainer_args), dict)
        except ValueError:
            mapping = False
        if not mapping:
            raise InputError(f"trainer_args is '{self.trainer_args}', expected a mapping such as {{\"epsilon\": 0.1}}")
        for name in ("control", "request"):
            if "{label}" not in getattr(self, name):
                raise InputError(
                    f"{name} is '{getattr(self, name)}', expected a text with {{label}} where the class name goes"
                )
        self.descriptions()

    @property
    def learns(self) -> bool:
        """Whether the policy is trained."""
        return self.algorithm != "none" and self.writes != NOTHING

    @property
    def longest_opening(self) -> int:
        """Most tokens that the policy writes before the writer does."""
        return 0 if self.writes == NOTHING else self.topic_max_tokens

    def descriptions(self) -> dict[str, str]:
        """Return the user's words for each class that has some.

        Raises:
            InputError: `label_descriptions` is no map from class names to texts.
        """
        try:
            given = parse_yaml(self.label_descriptions)
        except YamlFault as error:
            raise InputError(f"label_descriptions is no YAML map ({error}): give one, as in {{World: world events}}") from None
        if not isinstance(given, dict):
            raise InputError(
                f"label_descriptions is '{self.label_descriptions}', expected a YAML map such as {{World: world events}}"
            )
        made = {}
        for name, words in given.items():
            text = as_written(words)
            if not isinstance(text, str) or not text.strip():
                shown = "nothing" if words is None else repr(words)
                raise InputError(
                    f"label_descriptions: '{as_written(name)}' stands for {shown}, expected your words for that class, as in "
                    "{World: world events} (YAML wants a space after the colon)"
                )
            made[str(as_written(name))] = " ".join(text.split())
        return made


@dataclass
class BackendSettings:
    """What the frozen writer runs on."""

    writer: str = setting(
        TRANSFORMERS,
        "What the frozen writer runs on: transformers, vllm (on this machine), or a server with a completions endpoint, "
        "http(s)://HOST/v1#MODEL; default MODEL: the generator's name.",
        WRITER,
        path=True,
    )


def split_writer(writer: str) -> tuple[str, str]:
    """Return the address of a server that writes and the model that it names; ("", "") where a library here writes.

    Raises:
        InputError: It is neither an address nor a library.

    Examples:
        >>> split_writer("https://host/v1#org/model"), split_writer("http://host/v1"), split_writer("vllm")
        (('https://host/v1', 'org/model'), ('http://host/v1', ''), ('', ''))
    """
    if writer in (TRANSFORMERS, VLLM):
        return "", ""
    service, address, model = split_address(writer)  # openai+http:// names the same format
    if service not in ("", "openai") or not address.startswith(("http://", "https://")):
        raise InputError(
            f"writer is '{writer.partition('?')[0]}', expected {TRANSFORMERS}, {VLLM}, or the address of a server with a "
            f"completions endpoint, such as http://host:8000/v1#MODEL.{did_you_mean(writer, [TRANSFORMERS, VLLM])}"
        )
    if address.partition("?")[0].rstrip("/").endswith("/chat/completions"):
        raise InputError("writer: the address is that of a chat, which cannot go on with a text; give http://HOST/v1")
    return address, model


@dataclass
class WriterConfig(EditSettings):
    """How the writer samples, and how its texts are edited.

    Raises:
        InputError: A value is out of its range.
    """

    in_context: bool = setting(
        True, "The writer reads the class prompt before the opening; false: the opening alone.", WRITER, before=False
    )
    writer_max_new_tokens: int = setting(32, "Most tokens that the writer adds to a topic.", WRITER, low=1)
    writer_min_new_tokens: int = setting(8, "Fewest tokens that it adds; trimming leaves as many.", WRITER, low=0)
    writer_temperature: float = setting(1.0, "Sampling temperature; 0: the likeliest token.", WRITER, low=0)
    writer_top_p: float = setting(0.95, "Nucleus sampling's share of the mass; 1: off.", WRITER, above=0, high=1)
    writer_top_k: int = setting(0, "Sample among the k likeliest tokens; 0: off.", WRITER, low=0)
    writer_trim_sentence: bool = setting(
        True, "Cut a text that reached the length limit after its last whole sentence.", WRITER
    )
    writer_batch_size: int = setting(
        256,
        "Texts written at once; 0: as many as fit into a GPU's memory, found once and kept for this folder.",
        WRITER,
        low=0,
    )
    pair_texts: list[str] = setting(
        [WRITTEN],
        "Second texts for a teacher of pairs, in equal shares: written (for the target class), or the controls replaced "
        "(three words), neighbour (the writer goes on), random.",
        WRITER,
        commas="always",
        choices=(WRITTEN, REPLACED, NEIGHBOUR, RANDOM),
    )
    pair_request: str = setting(
        PAIR_REQUEST,
        "Request for a second text to a model with a chat template: {text} is the first text, {label} the target class.",
        WRITER,
    )
    pair_control: str = setting(PAIR_CONTROL, "The same for any other model, which continues it.", WRITER)
    pair_max_new_tokens: int = setting(32, "Most tokens of a second text.", WRITER, low=1)
    pair_temperatures: str = setting(
        "{}",
        "Sampling temperature of second texts by class: a YAML map, {equivalent: 0.3}. Default: 0.5 where they say the same "
        "or follow, else writer_temperature.",
        WRITER,
    )

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)
        if self.writer_min_new_tokens > self.writer_max_new_tokens:
            raise InputError(
                f"writer_min_new_tokens is {self.writer_min_new_tokens}, expected a whole number from 0 to "
                f"writer_max_new_tokens = {self.writer_max_new_tokens}"
            )
        self.check_edits()
        for name in ("pair_request", "pair_control"):
            if "{text}" not in getattr(self, name):
                raise InputError(
                    f"{name} is '{getattr(self, name)}', expected a text with {{text}} where the first text goes, and "
                    "{label} where the class goes"
                )
        self.class_temperatures()
        if not self.pair_texts:
            raise InputError("pair_texts is empty, expected some of: written, replaced, neighbour, random")

    def class_temperatures(self) -> dict[str, float]:
        """Return the user's temperatures by class.

        Raises:
            InputError: `pair_temperatures` is no map from class names to numbers of at least 0.
        """
        try:
            given = parse_yaml(self.pair_temperatures)
        except YamlFault:
            given = None
        if not isinstance(given, dict) or not all(isinstance(v, int | float) and 0 <= v < math.inf for v in given.values()):
            raise InputError(
                f"pair_temperatures is '{self.pair_temperatures}', expected a YAML map from classes to numbers >= 0, such as "
                "{equivalent: 0.3}"
            )
        return {str(as_written(name)): float(value) for name, value in given.items()}
