"""`Prompter`: a saved prompter that writes topics and texts.

    from prompter import Prompter

    prompter = Prompter.load("runs/ag_news")
    prompter.texts("Sports", 3)

The seed and the number of the batch decide every text, so a stream can continue at any batch. Several threads may call it;
they write one after the other.
"""

import dataclasses
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from distill.checkpoints.gguf import is_gguf
from distill.checkpoints.weights import find_checkpoint
from distill.common.errors import InputError, check_whole, did_you_mean
from distill.common.hub import HUB_ID, check_vocabulary
from distill.common.settings import convert
from distill.common.terminal import one_line
from distill.kinds.names import OF_PAIRS
from distill.methods.rewriter import REWRITER_MANIFEST
from distill.teachers.found import made_here
from prompter.generation.config import VLLM, PolicyConfig, WriterConfig, split_writer
from prompter.generation.opening import edits_of, open_writer
from prompter.generation.outside.outside_writer import OutsideWriter
from prompter.generation.policy import TopicPolicy
from prompter.generation.texts import Written
from prompter.generation.writer import Writer
from prompter.pairs.relations import pair_policy
from prompter.pairs.second_texts import SecondTexts
from prompter.runtime.console import LOGGER
from prompter.runtime.run_folder import default_values
from prompter.saved.hub import fetch_prompter, is_hub_id
from prompter.saved.manifest import (
    PROMPTER_MANIFEST,
    check_models,
    find_prompter,
    fingerprint,
    read_prompter_manifest,
    say_other_writer,
)
from prompter.saved.tuned_model import load_policy, load_saved_tokenizer, remedy_for_moved_model

if TYPE_CHECKING:
    from prompter.generation.outside.vllm_policy import VLLMPolicy

CHUNK = 256
"""Topics or texts that `Prompter.topics` and `Prompter.texts` write at once."""


class TextWriter(Protocol):
    """Continues topics: `prompter.generation.writer.Writer`, or its counterpart on another backend."""

    def write(
        self, topics: Sequence[str], seed: int, counter: int, purpose: str = "writer", *, targets: Tensor | None = None
    ) -> Written:
        """Continue N topics for their target classes. The same arguments give the same texts."""
        ...


@dataclass(frozen=True)
class PromptedTexts:
    """A batch of texts.

    Attributes:
        texts: N texts, each on one line.
        topics: The opening of each text. It is the whole text if the policy writes texts itself.
        targets: (N,) int64: the class that each text was asked for.
        lm_logprob: (N,) float32 on the CPU: mean log-probability of the sampled tokens at temperature 1, under the frozen
            writer, or under the policy if it writes the texts. NaN where a server that writes gives none. Of a pair, that of
            the first text.
        text_pairs: N second texts, where the teacher classifies pairs; else None.
    """

    texts: list[str]
    topics: list[str]
    targets: Tensor
    lm_logprob: Tensor
    text_pairs: list[str] | None = None

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.texts)


class Prompter:
    """A trained prompter with its writer.

    Args:
        policy: The tuned policy.
        writer: Continues the topics. None if the policy writes whole texts.
        manifest: Content of `prompter.json`.
        sha256: Fingerprint of the folder.

    Attributes:
        second_texts: Makes the second texts, where the teacher classifies pairs; else None.
    """

    def __init__(
        self, policy: "TopicPolicy | VLLMPolicy", writer: TextWriter | None, manifest: dict[str, Any], sha256: str
    ) -> None:
        self.policy, self.writer, self.manifest, self.sha256 = policy, writer, manifest, sha256
        self.second_texts: SecondTexts | None = None
        self._one_at_a_time = threading.RLock()
        if manifest.get("kind") in OF_PAIRS:
            assert isinstance(writer, Writer | OutsideWriter)
            self.second_texts = SecondTexts(writer, policy.labels, policy.config)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy in another process needs: all but the lock."""
        return {name: value for name, value in vars(self).items() if name != "_one_at_a_time"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what `__getstate__` gave, with a lock of its own."""
        vars(self).update(state, _one_at_a_time=threading.RLock())

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        base: str | Path | None = None,
        writer: str | Path | None = None,
        device: str = "auto",
        backend: str = "transformers",
        **writer_settings: Any,
    ) -> "Prompter":
        """Load a prompter.

        Args:
            path: Folder of a run, the folder `prompter` in it, or an id of the hub.
            base: Folder or hub id of the model that was tuned. Needed if the model has moved.
            writer: The same for the frozen writer. If policy and writer are one model, `base` is enough.
            device: auto, cpu, cuda or cuda:N.
            backend: What runs the frozen writer: `transformers`, `vllm`, or the address of a server, `http://HOST/v1#MODEL`.
                An address that the folder names is never asked.
            **writer_settings: Fields of `WriterConfig` that replace those of the training.

        Raises:
            InputError: The folder or a model is missing or damaged, they do not fit each other, or a setting is wrong.
        """
        split_writer(backend)
        if not isinstance(path, str | Path):
            raise InputError(f"path is of type {type(path).__name__}, expected the folder of a run or an id of the hub")
        base, writer = str(base) if base else None, str(writer) if writer else None
        folder = find_prompter(path)
        manifest = read_prompter_manifest(folder)
        policy_config, writer_config = _settings(folder, manifest, writer_settings)
        if manifest.get("kind") in OF_PAIRS:
            policy_config = pair_policy(policy_config, manifest["labels"])
        one_model = manifest["base"] == manifest["writer"]
        base_name = base or manifest["base"]
        writer_name = writer or (base if base and one_model else manifest["writer"])
        own = {"base": base} if manifest["adapter"] else {}  # of the models that are needed
        own |= {"writer": writer or (base if one_model else None)} if policy_config.writes != "text" else {}
        announce_models(folder, manifest, own)
        if split_writer(backend)[0]:
            own.pop("writer", None)  # of it only the tokenizer is read here
        check_models(folder, manifest, own)
        length = policy_config.topic_max_tokens
        if policy_config.writes == "text":
            length = writer_config.writer_max_new_tokens
        revision, tokenizer = None if base else manifest.get("base_revision"), load_saved_tokenizer(folder)
        if backend == VLLM and manifest["adapter"] and base_name == writer_name and policy_config.writes != "text":
            from prompter.saved.on_vllm import load_on_vllm

            both = load_on_vllm(folder, manifest, tokenizer, base_name, (policy_config, writer_config), revision)
            if both is not None:
                return cls(*both, manifest, fingerprint(folder))
        model = load_policy(folder, manifest, base_name, revision, device)
        check_vocabulary(model, tokenizer, f"prompter: {folder}")
        policy = TopicPolicy(model, tokenizer, manifest["labels"], policy_config, length)
        revision = None if writer or (base and one_model) else manifest.get("writer_revision")
        loaded: TextWriter | None = None
        if policy_config.writes != "text":
            say_other_writer(manifest, backend)
            with remedy_for_moved_model("writer= (--generator on the command line)"):
                loaded = open_writer(backend, policy, base_name, writer_name, writer_config, device, revision)
        else:
            edits_of(writer_config, policy)  # refuses edits, which nobody would make
        return cls(policy, loaded, manifest, fingerprint(folder))

    @classmethod
    def from_pretrained(cls, name: str, revision: str | None = None, **settings: Any) -> "Prompter":
        """Load a prompter from the hub; the models that it needs are loaded as its `prompter.json` names them.

        Args:
            name: Id on the hub, `owner/name`; a folder of that name wins.
            revision: Branch, tag or commit; the newest if None.
            **settings: Keyword arguments of `load`.

        Raises:
            InputError: There is no such prompter, the hub cannot be reached, or see `load`.
        """
        return cls.load(fetch_prompter(name, revision) if is_hub_id(name) else name, **settings)

    @property
    def labels(self) -> list[str]:
        """Class names of the teacher, in its order; of scores the fifths of the range, of tags the types of entities."""
        return self.policy.labels

    def topics(self, label: str | int, n: int, seed: int = 0) -> list[str]:
        """Write `n` topics for a class, given by name or index. `texts` continues the same topics.

        Raises:
            InputError: The class is unknown, or `n` is below 1.
        """
        chunks = enumerate(self._chunks(label, n))
        return [topic for number, targets in chunks for topic in self._openings(targets, seed, number)[0]]

    def texts(self, label: str | int, n: int, seed: int = 0) -> list[str]:
        """Write `n` texts for a class, given by name or index.

        Raises:
            InputError: The class is unknown, `n` is below 1, or the teacher classifies pairs.
        """
        if self.second_texts is not None:
            raise InputError("texts: this prompter writes pairs of texts: call pairs, with the same arguments")
        chunks = enumerate(self._chunks(label, n))
        return [text for number, targets in chunks for text in self.write(targets, seed, number).texts]

    def pairs(self, label: str | int, n: int, seed: int = 0) -> list[tuple[str, str]]:
        """Write `n` pairs of texts for a class, given by name or index, with a prompter for a teacher of pairs.

        Raises:
            InputError: The class is unknown, `n` is below 1, or the teacher classifies single texts.
        """
        if self.second_texts is None:
            raise InputError("pairs: this prompter writes single texts: call texts, with the same arguments")
        chunks = enumerate(self._chunks(label, n))
        written = [self.write(targets, seed, number) for number, targets in chunks]
        return [pair for batch in written for pair in zip(batch.texts, batch.text_pairs or [], strict=True)]

    def stream(
        self, labels: Sequence[str | int] | None = None, *, seed: int = 0, batch_size: int = CHUNK, start: int = 0
    ) -> Iterator[PromptedTexts]:
        """Write batches of texts without end, equally many for each class.

        Args:
            labels: Classes to ask for, by name or index. None means all classes.
            seed: Seed of all random numbers.
            batch_size: Texts per batch.
            start: Number of the first batch. Batch k depends only on the seed and on k, so `start=k` continues a stream
                after k batches.

        Raises:
            InputError: A class is unknown, or a number is out of range.
        """
        if isinstance(labels, str | Integral):
            raise InputError(f"labels is {labels!r}, expected a list of classes: [{labels!r}]")
        classes = [self.index(label) for label in labels] if labels is not None else list(range(len(self.labels)))
        if not classes:
            raise InputError(f"labels is empty: name some of {', '.join(self.labels)}")
        check_whole("batch_size", batch_size, 1)
        check_whole("start", start, 0)

        def targets(number: int) -> Tensor:
            first = number * batch_size  # the rotation spans batches, so that classes stay balanced
            return torch.tensor([classes[row % len(classes)] for row in range(first, first + batch_size)])

        return (self.write(targets(number), seed, number) for number in itertools.count(start))

    def write(self, targets: Tensor | Sequence[int], seed: int, counter: int) -> PromptedTexts:
        """Write one text for each target class.

        Args:
            targets: (N,) class indices, N > 0.
            seed: Seed of all random numbers.
            counter: Number of the batch. The same arguments give the same texts.

        Raises:
            InputError: `targets` are no class indices.
        """
        targets = self._checked(targets)
        with self._one_at_a_time:
            topics, logprob = self._openings(targets, seed, counter)
            if self.writer is None:
                return PromptedTexts(topics, topics, targets, logprob)
            written = self.writer.write(topics, seed, counter, "saved texts", targets=targets)
            made = PromptedTexts(written.texts, topics, targets, written.logprob_mean)
            if self.second_texts is None:
                return made
            pairs = self.second_texts.write(written.texts, targets, seed, counter, "saved second texts")
            return dataclasses.replace(made, text_pairs=pairs)

    def _openings(self, targets: Tensor, seed: int, counter: int) -> tuple[list[str], Tensor]:
        """Return what the policy writes, see `TopicPolicy.sample`."""
        check_whole("seed", seed)
        check_whole("counter", counter)
        with self._one_at_a_time:  # adapters are switched on and off for the whole model
            return self.policy.sample(targets, seed, counter, "saved topics")

    def _checked(self, targets: Tensor | Sequence[int]) -> Tensor:
        """Return (N,) class indices as a tensor.

        Raises:
            InputError: They are no such list, or an index is out of range.
        """
        try:
            indices = torch.as_tensor(targets)
        except (TypeError, ValueError, RuntimeError):
            indices = torch.empty(0)
        if indices.ndim != 1 or not len(indices) or indices.is_floating_point() or indices.dtype == torch.bool:
            raise InputError(f"targets is {targets!r}, expected one or more class indices, as a list or a tensor (N,)")
        for index in set(indices.tolist()):
            self.index(index)
        return indices.long()

    def index(self, label: str | int) -> int:
        """Return the index of a class, given by name or index.

        Raises:
            InputError: The class is unknown.
        """
        names = self.labels
        if isinstance(label, str):
            if label not in names:
                raise InputError(
                    f"label '{label}' is unknown, expected one of: {', '.join(names)}.{did_you_mean(label, names)}"
                )
            return names.index(label)
        number: object = label
        if isinstance(number, bool) or not isinstance(number, Integral):
            raise InputError(f"label is {label!r}, expected the name or the index of one class: {', '.join(names)}")
        index = int(number)
        if not 0 <= index < len(names):
            raise InputError(f"label {index} is out of range, expected 0 to {len(names) - 1} ({', '.join(names)})")
        return index

    def _chunks(self, label: str | int, n: int) -> list[Tensor]:
        """Return `n` copies of one target class, in tensors of at most `CHUNK`."""
        index = self.index(label)
        check_whole("n", n, 1)
        return [torch.full((min(CHUNK, int(n) - begin),), index) for begin in range(0, n, CHUNK)]


def announce_models(folder: Path, manifest: dict[str, Any], given: Mapping[str, str | None]) -> None:
    """Log which models a folder names, before they are loaded; those that the user named, and toy models, are left out.

    Raises:
        InputError: The weights of one are a pickle file, and only a file of others names it.
    """
    found = {
        key: (manifest[key], manifest.get(f"{key}_revision"))
        for key, own in given.items()
        if not own and manifest[key].partition(":")[0] != "toy"
    }
    if not found:
        return
    said = ", ".join(f"{key} {name}" + (f" (commit {commit})" if commit else "") for key, (name, commit) in found.items())
    LOGGER.info("%s", one_line(f"Loading the models that {folder} names: {said}."))
    file = next(folder / name for name in (PROMPTER_MANIFEST, REWRITER_MANIFEST) if (folder / name).is_file())
    for key, (name, commit) in found.items():
        source = Path(name).expanduser()
        if made_here(file) or is_gguf(name) or not (source.is_dir() or HUB_ID.fullmatch(name)):
            continue
        checkpoint = find_checkpoint(str(source if source.is_dir() else name), commit, f"{key}: {name}")
        if checkpoint is not None and checkpoint.pickled:
            flag = "--base" if key == "base" else "--generator"
            raise InputError(
                f"{key}: {folder} names the model {name}, whose weights are a pickle file, and you did not: give {flag} "
                f"{name} yourself if you trust it"
            )


def _settings(folder: Path, manifest: dict[str, Any], writer_settings: dict[str, Any]) -> tuple[PolicyConfig, WriterConfig]:
    """Return the settings of policy and writer: those of the manifest, with changes for the writer."""
    known = [field.name for field in dataclasses.fields(WriterConfig)]
    for name in writer_settings:
        if name not in known:
            raise InputError(f"unknown setting '{name}' of the writer.{did_you_mean(name, known)}")
    try:
        stored = default_values(WriterConfig) | manifest["writer_settings"]
        policy, _ = _typed(PolicyConfig, manifest["policy"]), _typed(WriterConfig, stored)
    except InputError as error:
        raise InputError(f"{folder / PROMPTER_MANIFEST}: {error}") from None
    except TypeError as error:
        raise InputError(
            f"{folder / PROMPTER_MANIFEST}: this version does not know one of the settings ({error}): "
            "install the version that wrote the file (see 'versions' in it)"
        ) from None
    return policy, _typed(WriterConfig, stored | writer_settings)  # what is wrong only now is the caller's


def _typed(kind: type, values: Mapping[str, Any]) -> Any:
    """Make settings of values that a file holds, whatever their types there."""
    known = {field.name: field for field in dataclasses.fields(kind)}
    return kind(**{
        name: value if value is None or name not in known else convert(known[name], value) for name, value in values.items()
    })  # fmt: skip
