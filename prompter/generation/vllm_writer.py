"""The frozen writer on vLLM, for exports on a GPU: the same topics in, the same kind of texts out.

Each text has a sampling seed of its own, but vLLM's scheduler decides which texts are computed together, and rounding depends
on that. Equal arguments therefore usually give equal texts, but not always. Use the default writer,
`prompter.generation.writer.Writer`, for an export that must be reproducible.
"""

from collections.abc import Sequence
from typing import Any

import torch

from distill.checkpoints.gguf import is_gguf
from distill.common.errors import InputError
from distill.common.hub import load_tokenizer
from distill.common.precision import dtype_name
from distill.common.seeding import derive_seed
from eval.toy import located
from prompter.generation.config import WriterConfig
from prompter.generation.prompts import Contexts
from prompter.generation.writer import Written, to_texts

MEMORY_SHARE = 0.7
"""Share of the GPU's memory that vLLM takes; policy and teacher need the rest."""


class VLLMWriter:
    """A frozen causal LM that continues topics, on vLLM.

    Args:
        name_or_path: Model folder, hub id, or `toy`.
        config: Sampling settings. `writer_batch_size` has no effect, since vLLM makes its own batches.
        revision: Commit of a hub repository.

    Raises:
        InputError: vLLM is not installed or cannot load the model, the tokenizer has neither BOS nor EOS, or
            `writer_max_new_tokens` does not fit the model's context.
    """

    contexts: Contexts | None = None

    def __init__(self, name_or_path: str, config: WriterConfig, revision: str | None = None) -> None:
        try:
            from vllm import LLM, SamplingParams
        except ImportError as error:
            raise InputError(
                f"writer is 'vllm', which is not installed here ({error}): pip install 'topic-prompter[vllm]'"
            ) from None
        name_or_path = located(name_or_path, "writer")
        if is_gguf(name_or_path):
            raise InputError(
                f"generator: {name_or_path} is a GGUF file, which --writer vllm does not read; leave --writer out."
            )
        self.tokenizer = load_tokenizer(name_or_path, "generator", revision)
        self.config, self._sampling = config, SamplingParams
        start = self.tokenizer.eos_token_id if self.tokenizer.bos_token_id is None else self.tokenizer.bos_token_id
        if start is None:
            raise InputError("generator: its tokenizer has neither a BOS nor an EOS token; set its bos_token.")
        self.start: int = start
        try:
            self.engine: Any = LLM(
                model=str(name_or_path),
                revision=revision,
                dtype=dtype_name(),
                trust_remote_code=False,
                gpu_memory_utilization=MEMORY_SHARE,
            )
        except (ValueError, RuntimeError, OSError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise InputError(f"generator: vLLM cannot load {name_or_path} ({reason}); try --writer transformers") from error
        context = self.engine.model_config.max_model_len
        if config.writer_max_new_tokens >= context:
            raise InputError(
                f"writer_max_new_tokens is {config.writer_max_new_tokens}, expected at most {context - 1}: "
                f"the generator's context is {context} tokens"
            )
        self.context_length: int = context
        self._longest_prompt = context - config.writer_max_new_tokens

    def write(
        self, topics: Sequence[str], seed: int, counter: int, purpose: str = "writer", *, targets: torch.Tensor | None = None
    ) -> Written:
        """Continue N topics; see `prompter.generation.writer.Writer.write`."""
        topics = [" ".join(topic.split()) for topic in topics]
        if not topics:
            return Written([], torch.zeros(0), 0)
        if self.contexts is not None and targets is not None:
            rows = self.contexts.rows(topics, targets)
        else:
            rows = [([self.start], list(row)) for row in self.tokenizer(topics, add_special_tokens=False)["input_ids"]]
        begins = [begin for _, begin in rows]
        config = self.config
        sampling = [
            self._sampling(
                temperature=config.writer_temperature,
                top_p=config.writer_top_p,
                top_k=config.writer_top_k,
                max_tokens=config.writer_max_new_tokens,
                min_tokens=max(1, config.writer_min_new_tokens),
                seed=derive_seed(seed, purpose, counter, number),
                logprobs=0,  # of the sampled token alone
            )
            for number in range(len(rows))
        ]
        prompts = [{"prompt_token_ids": [*read, *begin][-self._longest_prompt :]} for read, begin in rows]
        outputs = [request.outputs[0] for request in self.engine.generate(prompts, sampling, use_tqdm=False)]
        # Some outputs lack the token that ended the text; `finish_reason` says what ended it.
        new = [list(output.token_ids) for output in outputs]
        ended = [output.finish_reason == "stop" for output in outputs]
        eos = self.tokenizer.eos_token_id
        whole = [row if not stop or row[-1:] == [eos] else [*row, eos] for row, stop in zip(new, ended, strict=True)]
        texts = to_texts(self.tokenizer, config, [eos], begins, whole)
        logprob = [output.cumulative_logprob / max(1, len(row)) for output, row in zip(outputs, new, strict=True)]
        return Written(texts, torch.tensor(logprob), sum(map(len, new)))
