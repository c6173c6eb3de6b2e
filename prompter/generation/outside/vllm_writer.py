"""The frozen writer on vLLM: the same topics in, the same kind of texts out. Made for GPUs; it runs on a CPU, too."""

import os
from collections.abc import Callable
from typing import Any

import torch

from distill.checkpoints.gguf import is_gguf
from distill.common.errors import InputError
from distill.common.precision import dtype_name
from distill.common.terminal import one_line
from eval.toy import located
from prompter.generation.config import WriterConfig
from prompter.generation.outside.outside_writer import Asked, OutsideWriter
from prompter.generation.texts import Written, to_texts

MEMORY_SHARE = 0.7
"""Share of the GPU's memory that vLLM takes at most; policy and teacher need the rest."""

ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "WARNING",  # else a hundred lines
    "VLLM_NO_USAGE_STATS": "1",  # else its makers are told what runs where
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # else Ctrl-C ends the engine's own process, and vLLM 0.31 waits for it forever
}
"""What vLLM is told, unless the user has said otherwise."""


class VLLMWriter(OutsideWriter):
    """A frozen causal LM that continues topics, on vLLM.

    Args:
        name_or_path: Model folder, hub id, or `toy`.
        config: Sampling settings. `writer_batch_size` has no effect, since vLLM makes its own batches.
        revision: Commit of a hub repository.
        lora_rank: Largest rank of adapters that the engine takes for other requests; 0 for none.

    Raises:
        InputError: vLLM is not installed or cannot load the model, the tokenizer has neither BOS nor EOS, or
            `writer_max_new_tokens` does not fit the model's context.
    """

    def __init__(self, name_or_path: str, config: WriterConfig, revision: str | None = None, lora_rank: int = 0) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            from vllm import LLM, SamplingParams
            from vllm.platforms import current_platform
        except ImportError as error:
            raise InputError(
                f"writer is 'vllm', which is not installed here ({error}): pip install 'topic-prompter[vllm]'"
            ) from None
        name_or_path = located(name_or_path, "writer")
        if is_gguf(name_or_path):
            raise InputError(
                f"generator: {name_or_path} is a GGUF file, which --writer vllm does not read; leave --writer out."
            )
        super().__init__(name_or_path, config, revision)
        self._sampling = SamplingParams
        options: dict[str, Any] = {}
        if lora_rank:
            options |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": lora_rank}
        if current_platform.is_cpu():  # where a request with a seed ends vLLM 0.31 if its prompt is read in parts
            options["enable_chunked_prefill"] = False
        try:
            self.engine: Any = LLM(
                model=str(name_or_path),
                revision=revision,
                dtype=dtype_name(),
                trust_remote_code=False,
                gpu_memory_utilization=_memory_share(),
                use_tqdm_on_load=False,  # its bars come whether someone wants to see them or not
                **options,
            )
        except (ValueError, RuntimeError, OSError) as error:
            raise InputError(
                f"generator: vLLM cannot load {name_or_path} ({_reason(error)}); try --writer transformers"
            ) from error
        self.context_length = self.engine.model_config.max_model_len
        self.check_lengths()

    def complete(self, prompts: list[list[int]], sampling: list[dict[str, Any]], **options: Any) -> list[Any]:
        """Return vLLM's completions of prompts, with the log-probability of the sampled tokens.

        Args:
            prompts: Token ids of each.
            sampling: Settings of each, as `SamplingParams` takes them.
            **options: Further arguments of `LLM.generate`.

        Raises:
            InputError: vLLM fails, for instance because its process has ended.
        """
        rows = [{"prompt_token_ids": prompt} for prompt in prompts]
        settings = [self._sampling(**each, stop_token_ids=self.eos_token_ids, logprobs=0) for each in sampling]
        try:
            answers = self.engine.generate(rows, settings, use_tqdm=False, **options)
        except Exception as error:  # vLLM has errors of its own for an engine that has stopped
            raise InputError(
                f"generator: vLLM failed while it wrote ({_reason(error)}); its own messages are above. What was finished "
                "before is kept: call again, or begin in another folder with --writer transformers"
            ) from error
        return [request.outputs[0] for request in answers]

    def _written(self, asked: list[Asked], progress: Callable[[int], None] | None) -> Written:
        config, ends = self.config, self.eos_token_ids
        sampling = [
            {
                "temperature": config.writer_temperature,
                "top_p": config.writer_top_p,
                "top_k": config.writer_top_k,
                "max_tokens": config.writer_max_new_tokens,
                "min_tokens": max(1, config.writer_min_new_tokens),
                "seed": text.seed,
            }
            for text in asked
        ]
        outputs = self.complete([text.prompt for text in asked], sampling)
        # Some outputs lack the token that ended the text; `finish_reason` says what ended it.
        new = [list(output.token_ids) for output in outputs]
        ended = [output.finish_reason == "stop" for output in outputs]
        whole = [
            [*row, *ends[:1]] if stop and not set(row[-1:]) & set(ends) else row for row, stop in zip(new, ended, strict=True)
        ]
        texts = to_texts(self.tokenizer, config, ends, [text.begin for text in asked], whole)
        logprob = [output.cumulative_logprob / max(1, len(row)) for output, row in zip(outputs, new, strict=True)]
        if progress is not None:
            progress(len(texts))
        return Written(texts, torch.tensor(logprob), sum(map(len, new)))


def _memory_share() -> float:
    """Return the share of the GPU's memory that vLLM may take: less beside other programs, where it would refuse to start."""
    if not torch.cuda.is_available():
        return MEMORY_SHARE
    free, total = torch.cuda.mem_get_info()
    return min(MEMORY_SHARE, round(0.85 * free / total, 2))


def _reason(error: Exception) -> str:
    return one_line((str(error).strip().splitlines() or [type(error).__name__])[0])[:200]
