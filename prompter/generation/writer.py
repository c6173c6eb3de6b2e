"""The writer: a frozen causal language model that continues topics into texts.

A text is topic plus continuation (PromptDFD, arXiv 2205.07523). Where a target class is given, the model reads the class
prompt before the topic (`prompter.generation.prompts`). Otherwise the topic is the opening of a document: it follows the
token that begins one. An empty topic leaves that token alone, which is what "unprompted" means here. The sampling settings
decide much of what a student can learn: a higher temperature gives more varied text, but less natural language.

If policy and writer are the same model, the base weights are in memory once. Given a `PeftModel`, the writer switches the
adapters off while it writes.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import find_executable_batch_size
from peft import PeftModel
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from distill.common.errors import InputError
from distill.common.hub import check_vocabulary, load_model, load_tokenizer
from distill.common.precision import autocast, resolve_device, weight_dtype
from distill.common.seeding import random_generator
from distill.language_models.special_tokens import end_tokens, start_token
from eval.toy import located
from prompter.decoding.contexts import evaluating, unwrapped
from prompter.decoding.graphs import forget
from prompter.decoding.loop import Decoded, context_length, decode
from prompter.decoding.prefix import Prefix, left_padded
from prompter.decoding.probe import check_writing
from prompter.editing.edits import UNEDITED, Edits
from prompter.generation.config import WriterConfig
from prompter.generation.prompts import Contexts, Reading, Row, contexts_of
from prompter.generation.texts import Written, to_texts

if TYPE_CHECKING:
    from prompter.generation.policy import TopicPolicy

MOST_AT_ONCE, AT_ONCE_ON_CPU = 1024, 256
"""Where the search for `writer_batch_size: 0` begins on a GPU, and what a CPU takes, which more would not make faster."""

LONGEST_OPENING = 32
"""Tokens of an opening for which that search finds room."""

PROMPT_MULTIPLE = 4
"""Prompts of unequal length are padded to a multiple of this, so that there are few different shapes."""


class Writer:
    """A frozen causal LM that continues topics.

    Args:
        model: The language model. Adapters of a `PeftModel` are switched off while it writes.
        tokenizer: Its tokenizer.
        config: Sampling settings.
        device: Device to compute on; by default the device of the model.

    Attributes:
        contexts: What it reads before a text that has a target class; None to read the topic alone.
        edits: Edits its texts of some classes.

    Raises:
        InputError: `writer_max_new_tokens` does not fit the model's context, or the tokenizer has neither BOS nor EOS.
    """

    contexts: Reading | None = None
    edits: Edits = UNEDITED

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        config: WriterConfig,
        device: str | torch.device | None = None,
    ) -> None:
        self.device = model.device if device is None else resolve_device(device)
        self.model, self.tokenizer, self.config = model.to(self.device), tokenizer, config
        settings: Any = self.model.generation_config
        start = start_token(settings, tokenizer)
        if start is None:
            raise InputError("generator: its tokenizer has neither a BOS nor an EOS token; set its bos_token.")
        self.start: int = start
        self.eos_token_ids = end_tokens(settings, tokenizer, self.model.get_input_embeddings().weight.shape[0])
        self.pad_token_id: int = start if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        context = context_length(model)
        if context is not None and config.writer_max_new_tokens >= context:
            raise InputError(
                f"writer_max_new_tokens is {config.writer_max_new_tokens}, expected at most {context - 1}: "
                f"the generator's context is {context} tokens"
            )
        self.context_length = context
        self._longest_prompt = None if context is None else context - config.writer_max_new_tokens

    @classmethod
    def load(
        cls,
        name_or_path: str,
        config: WriterConfig,
        device: str | torch.device = "auto",
        revision: str | None = None,
        quiet: bool = True,
    ) -> "Writer":
        """Load a frozen model, in bf16 on GPUs that have it.

        Args:
            name_or_path: Model folder, hub id, or `toy`.
            config: Sampling settings.
            device: Device of the model.
            revision: Commit of a hub repository.
            quiet: Show no progress bar while a toy model is trained.

        Raises:
            InputError: See `distill.common.hub.load_model`; as the constructor; or the model cannot write.
        """
        place, name = resolve_device(device), located(name_or_path, "writer", quiet)
        model = load_model(AutoModelForCausalLM, name, "generator", place, weight_dtype(place), revision=revision)
        tokenizer = load_tokenizer(name, "generator", revision)
        check_vocabulary(model, tokenizer, f"generator: {name_or_path}")
        made = cls(model.requires_grad_(False), tokenizer, config, place)
        check_writing(made.model, made.start, made.pad_token_id, name_or_path)
        return made

    @classmethod
    def beside(
        cls,
        policy: "TopicPolicy",
        base: str,
        generator: str,
        config: WriterConfig,
        device: str | torch.device,
        revision: str | None = None,
        quiet: bool = True,
    ) -> "Writer":
        """Return the frozen writer of a policy. It shares the policy's base weights if both are one model tuned by LoRA.

        Args:
            policy: The policy, with its adapters.
            base: Name of the policy's model.
            generator: Name of the writer's model.
            config: Sampling settings.
            device: Device of a separate model.
            revision: Commit of a separate model on the hub.
            quiet: Show no progress bar while a toy model is trained.
        """
        if policy.has_adapters and base == generator:
            made = cls(policy.model, policy.tokenizer, config, policy.model.device)
        else:
            made = cls.load(generator, config, device, revision, quiet)
        made.contexts = contexts_of(made, policy)
        return made

    def unprompted(self, n: int, seed: int, counter: int) -> Written:
        """Write `n` texts without topics."""
        return self.write([""] * n, seed, counter)

    def write(
        self,
        topics: Sequence[str],
        seed: int,
        counter: int,
        purpose: str = "writer",
        progress: Callable[[int], None] | None = None,
        targets: Tensor | None = None,
    ) -> Written:
        """Continue N topics.

        If a topic is too long for the model's context, the model does not see its beginning; the text keeps all of it. A
        text that the model ended with EOS is never trimmed.

        Args:
            topics: Openings; "" gives unprompted text.
            seed: Seed of the run.
            counter: Number of this call. Seed, counter, purpose and topics together decide the texts.
            purpose: Keeps the random numbers of different callers apart.
            progress: Called after each batch with the number of texts written so far.
            targets: (N,) target class of each topic, whose class prompt the model reads first; None for no class. It has
                no effect on a writer without `contexts` and `edits`.

        Returns:
            The texts, in the order of the topics.
        """
        topics = [" ".join(topic.split()) for topic in topics]
        if self.contexts is not None and targets is not None:
            rows = self.contexts.rows(topics, targets)
        else:
            ids = [list(row) for row in self.tokenizer(topics, add_special_tokens=False)["input_ids"]] if topics else []
            rows = [([self.start], row) for row in ids]
        begins = [row for _, row in rows]  # what each text begins with
        texts = [""] * len(topics)
        logprob_mean = torch.zeros(len(topics))
        new_tokens = done = 0
        for number, batch in enumerate(self._batches([context + begin for context, begin in rows])):
            random = random_generator(seed, purpose, counter, number, device=self.device)
            decoded = self._decode([rows[index] for index in batch], random)
            lengths = decoded.lengths.cpu()
            new = [row[:length] for row, length in zip(decoded.tokens.tolist(), lengths.tolist(), strict=True)]
            written = to_texts(self.tokenizer, self.config, self.eos_token_ids, [begins[index] for index in batch], new)
            for index, text in zip(batch, written, strict=True):
                texts[index] = text
            assert decoded.logprobs is not None
            logprob_mean[batch] = decoded.logprobs.sum(-1).cpu() / lengths
            new_tokens += int(lengths.sum())
            done += len(batch)
            if progress is not None:
                progress(done)
        return Written(self.edits(texts, targets, seed, counter, purpose), logprob_mean, new_tokens)

    def settle_batch_size(self, remembered: int | None = None) -> int:
        """Return how many texts are written at once; where the setting is 0, find what fits, and keep to it.

        What is written depends on it, so a caller that may go on later remembers the answer.

        Args:
            remembered: What an earlier call found, for a setting of 0.

        Raises:
            InputError: The memory does not hold one text.
        """
        if not self.config.writer_batch_size:
            self.config = replace(self.config, writer_batch_size=remembered or self._largest_batch())
        return self.config.writer_batch_size

    def _largest_batch(self) -> int:
        """Return how many of the longest texts can be written at once, from `MOST_AT_ONCE` down in steps of a tenth."""
        if self.device.type == "cpu":
            return AT_ONCE_ON_CPU
        contexts = self.contexts.prompts.ids if isinstance(self.contexts, Contexts) else [[self.start]]
        row: Row = (max(contexts, key=len), [self.start] * LONGEST_OPENING)

        def attempt(size: int) -> int:
            forget(unwrapped(self.model))  # passes that a failed attempt recorded
            self._decode([row] * size, random_generator(0, "batch size", device=self.device))
            return size

        try:
            return int(find_executable_batch_size(attempt, starting_batch_size=MOST_AT_ONCE)())
        except RuntimeError as error:
            if "No executable batch size" not in str(error):
                raise
            raise InputError("generator: the memory does not hold one text of this model; use a smaller one.") from error

    def sampling(self, config: WriterConfig) -> "Writer":
        """Return a writer on the same model that samples with other settings."""
        made = Writer(self.model, self.tokenizer, config, self.device)
        made.contexts, made.edits = self.contexts, self.edits
        return made

    def in_two_parts(self, tokens: int) -> tuple["Writer", "Writer"]:
        """Split the writing of a text over two writers on the same model.

        The first one writes `tokens` tokens, neither trimmed nor ended by EOS. The second one continues them to the end.
        Texts that pass through both are as long as texts of this writer.

        Raises:
            InputError: No token would be left for the end.
        """
        left = self.config.writer_max_new_tokens - tokens
        if left < 1:
            raise InputError(
                f"candidate_tokens is {tokens}, expected less than writer_max_new_tokens = {self.config.writer_max_new_tokens}"
            )
        begin = replace(self.config, writer_max_new_tokens=tokens, writer_min_new_tokens=tokens, writer_trim_sentence=False)
        end = replace(
            self.config,
            writer_max_new_tokens=left,
            writer_min_new_tokens=max(0, self.config.writer_min_new_tokens - tokens),
        )
        first, second = self.sampling(begin), self.sampling(end)
        first.edits = UNEDITED  # the second one edits the whole text
        return first, second

    def features(self, texts: Sequence[str]) -> Tensor:
        """Compute features of N texts, N >= 1: means over tokens of the frozen model's middle and last hidden states.

        Returns:
            (N, 2 H) float32 on the CPU, for hidden states of size H.
        """
        ids = [[self.start, *row] for row in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]
        body = unwrapped(self.model).base_model
        order: list[int] = []
        parts: list[Tensor] = []
        for batch in self._batches(ids):
            rows = [torch.tensor(ids[index][: self.context_length]) for index in batch]
            # Padded on the right: a causal model's states do not depend on it.
            input_ids = pad_sequence(rows, batch_first=True, padding_value=self.pad_token_id).to(self.device)
            mask = pad_sequence([torch.ones(len(row)) for row in rows], batch_first=True).to(self.device)
            with torch.inference_mode(), evaluating(self.model), self._frozen(), autocast(self.device):
                hidden = body(input_ids, attention_mask=mask, use_cache=False, output_hidden_states=True).hidden_states
            shares = (mask / mask.sum(dim=1, keepdim=True))[..., None]
            parts.append(torch.cat([(hidden[i].float() * shares).sum(dim=1) for i in (len(hidden) // 2, -1)], dim=1).cpu())
            order += batch
        return torch.cat(parts)[torch.tensor(order).argsort()]

    def _batches(self, ids: list[list[int]]) -> Iterator[list[int]]:
        """Yield batches of indices of topics, sorted by length."""
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        size = self.settle_batch_size()
        for begin in range(0, len(order), size):
            yield order[begin : begin + size]

    def _frozen(self) -> AbstractContextManager[None]:
        """Switch the adapters off within a block."""
        return self.model.disable_adapter() if isinstance(self.model, PeftModel) else nullcontext()

    def _decode(self, rows: list[Row], random: torch.Generator) -> Decoded:
        """Decode one batch: what is read, and the beginning of each text after it."""
        config = self.config
        prefix, prompts = self._shared(rows)
        width = longest = max(map(len, prompts))
        if width > min(map(len, prompts)):
            width += -width % PROMPT_MULTIPLE
            width = width if self._longest_prompt is None else max(longest, min(width, self._longest_prompt))
        input_ids, attention_mask = left_padded(prompts, self.pad_token_id, width)
        with self._frozen(), autocast(self.device):
            return decode(
                self.model,
                input_ids.to(self.device),
                attention_mask.to(self.device),
                max_new_tokens=config.writer_max_new_tokens,
                min_new_tokens=max(1, config.writer_min_new_tokens),  # EOS at once would leave an empty text
                eos_token_ids=self.eos_token_ids,
                pad_token_id=self.pad_token_id,
                temperature=config.writer_temperature,
                top_k=config.writer_top_k,
                top_p=config.writer_top_p,
                random=random,
                prefix=prefix,
            )

    def _shared(self, rows: list[Row]) -> tuple[Prefix | None, list[list[int]]]:
        """Return the first tokens that rows share, and what follows them in each row, at least one token."""
        heads = [context[:-1] for context, _ in rows]
        if len(set(map(tuple, heads))) > len(rows) / 2:  # each row has a request of its own: they share its first words
            shared = len(os.path.commonprefix(heads))
            heads = [head[:shared] for head in heads]
        if not all(heads):
            prompts = [[*context, *begin] for context, begin in rows]
            return None, [row if self._longest_prompt is None else row[-self._longest_prompt :] for row in prompts]
        rests = [(context + begin)[len(head) :] for head, (context, begin) in zip(heads, rows, strict=True)]
        return Prefix.of(heads, self.pad_token_id, self.device), rests
