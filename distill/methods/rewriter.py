"""A rewriter: an encoder-decoder with an adapter that turns sentences of any text into sentences for one task.

Rewriting has two passes. `sample` writes token by token, without gradients. Then `logits` reads what was written in one
parallel pass, which gives the distribution of each token again, now with gradients. The two agree because the model has no
dropout here and both forbid the same tokens.

The base is frozen, and the adapter (LoRA, arXiv 2106.09685) is small. With the adapter switched off, the same weights are the
untuned model. A saved rewriter is the adapter, the tokenizer and `rewriter.json`; it writes texts without trainer or teacher.
"""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from distill.checkpoints.checksums import check_folder, check_weights, sample_of_weights, seal
from distill.checkpoints.tokenizer_files import save_tokenizer
from distill.checkpoints.tokenizers import open_tokenizer
from distill.common.encode import usable_length
from distill.common.errors import InputError
from distill.common.files import read_object, replace_folder, write_json
from distill.common.hub import check_vocabulary, load_model, load_tokenizer
from distill.common.precision import autocast, resolve_device
from distill.common.seeding import random_generator, seeded

REWRITER_MANIFEST, ADAPTER_FILE = "rewriter.json", "adapter.safetensors"
REWRITER_SCHEMA_VERSION = 1

# Low enough that no forbidden token is ever drawn; finite, so that a difference of two such numbers is 0 and not NaN.
FORBIDDEN = -1e9

LARGEST = {"rank": 4096, "alpha": 65536, "max_length": 8192}
"""Of the numbers in `rewriter.json`, which may come from anybody; the settings of t3 allow no more."""

KEYS: dict[str, type] = {"base": str, "schema_version": int, "base_parameters": int, **dict.fromkeys(LARGEST, int)}

# Sentences that `write` rewrites at once.
WRITTEN_AT_ONCE = 128


@dataclass(frozen=True)
class RewrittenTokens:
    """N rewritings as tokens of the rewriter.

    Attributes:
        ids: (N, W) int64; each row ends with the end token, then padding.
        mask: (N, W) bool, the tokens up to the end token, included.
        drawn: (N, W) bool, the tokens that the model chose. It did not choose the end token of a text that reached the
            length limit.
    """

    ids: Tensor
    mask: Tensor
    drawn: Tensor


@dataclass(frozen=True)
class Rewritten:
    """N rewritings.

    Attributes:
        texts: The rewritten texts. An empty one is replaced by its source.
        logprob_mean: (N,) float32 on the CPU, mean log-probability per token, in nats.
    """

    texts: list[str]
    logprob_mean: Tensor


class Rewriter:
    """An encoder-decoder with an adapter.

    Args:
        model: The base with a LoRA adapter.
        tokenizer: Tokenizer of the base, with an end and a padding token.
        max_length: Maximum number of tokens read of a source, and of tokens written before the end token; or what the model
            can read, where that is less.
        hidden_share: Share of a source's tokens that are hidden from the rewriter, in [0, 1].
        base: Name of the base, as the user gave it.

    Raises:
        InputError: The tokenizer has no end token, or tokens that the model does not know; or the model does not say which
            token its decoder starts from, or reads too few.
    """

    def __init__(
        self, model: PeftModel, tokenizer: PreTrainedTokenizerBase, max_length: int, hidden_share: float, base: str
    ) -> None:
        if tokenizer.eos_token_id is None:
            raise InputError(f"rewriter: the tokenizer of {base} has no end token (eos_token); use for example T5 or BART.")
        check_vocabulary(model.get_base_model(), tokenizer, f"rewriter: {base}")
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.hidden_share = hidden_share
        self.base = base
        self.vocabulary = int(model.get_base_model().get_output_embeddings().weight.shape[0])
        self.end, self.pad = int(tokenizer.eos_token_id), int(tokenizer.pad_token_id)
        allowed = torch.zeros(self.vocabulary, dtype=torch.bool)
        allowed[: len(tokenizer)] = True
        allowed[tokenizer.all_special_ids] = False
        allowed[self.end] = True
        self._forbidden = (~allowed).nonzero().flatten()
        # BART was trained to write its begin token first, so the decoder gets it as a start.
        forced = getattr(model.get_base_model().generation_config, "forced_bos_token_id", None)
        first = _start_token(model.get_base_model(), base)
        self._start = [first, *([int(forced)] if forced is not None else [])]
        readable = usable_length(model.get_base_model(), tokenizer, max_length + len(self._start))
        self.max_length = readable - len(self._start)  # the decoder reads these before what it has written
        if self.max_length < 1:
            raise InputError(f"rewriter: {base} reads only {readable} tokens, too few to rewrite a text; use another model.")
        # The model's own generation settings (beams, no repetition) would write by another distribution than `logits`.
        model.get_base_model().generation_config = GenerationConfig(
            do_sample=True,
            top_k=0,
            top_p=1.0,
            pad_token_id=self.pad,
            eos_token_id=self.end,
            decoder_start_token_id=first,
            suppress_tokens=self._forbidden.tolist() or None,
        )

    @classmethod
    def untuned(
        cls, name_or_path: str, max_length: int, hidden_share: float, rank: int, alpha: int, seed: int, device: str
    ) -> "Rewriter":
        """Load a base and add a fresh adapter, which changes nothing yet.

        Args:
            name_or_path: Folder or hub id of the base.
            max_length: See the class.
            hidden_share: See the class.
            rank: Rank of the adapter.
            alpha: Scale of the adapter times its rank.
            seed: Decides the adapter's first weights.
            device: "auto", "cpu", "cuda", "cuda:N".

        Raises:
            InputError: The model does not exist, is not an encoder-decoder, or PEFT cannot add an adapter to it.
        """
        base = load_model(AutoModelForSeq2SeqLM, name_or_path, "rewriter", resolve_device(device), torch.float32)
        lora = LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="SEQ_2_SEQ_LM")
        with seeded(seed, "t3", "adapter"):
            model = _adapted(base, lora, name_or_path)
        return cls(model, load_tokenizer(name_or_path, "rewriter"), max_length, hidden_share, name_or_path)

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.model.get_base_model().device

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """Weights of the adapter, in a fixed order."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def encode(self, texts: Sequence[str], random: torch.Generator) -> dict[str, Tensor]:
        """Encode sources with some of their tokens hidden.

        A mask token replaces a hidden token. Where the tokenizer has none (T5), hidden tokens are left out of the attention,
        but at least one token stays.

        Args:
            texts: Sources.
            random: Decides which tokens are hidden, on the CPU.

        Returns:
            `input_ids` and `attention_mask`, both (N, L), on the model's device.
        """
        encoded = self.tokenizer(list(texts), truncation=True, max_length=self.max_length, padding=True,
                                 padding_side="right", return_tensors="pt")  # fmt: skip
        ids, mask = encoded["input_ids"], encoded["attention_mask"]
        special = torch.isin(ids, torch.tensor(self.tokenizer.all_special_ids))
        hide = (torch.rand(ids.shape, generator=random) < self.hidden_share) & ~special & mask.bool()
        if self.tokenizer.mask_token_id is not None:
            ids = ids.masked_fill(hide, int(self.tokenizer.mask_token_id))
        else:
            mask = mask.masked_fill(hide, 0)
            mask[:, 0] = 1
        return {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}

    @torch.no_grad()
    def sample(self, inputs: Mapping[str, Tensor], seed: int, *purpose: str | int) -> RewrittenTokens:
        """Write by drawing each token from the model's own distribution (temperature 1).

        Args:
            inputs: From `encode`.
            seed: Decides the draws, together with the purpose.
            *purpose: Purpose of the draw, and its counter.
        """
        start = self._first(inputs)
        # `generate` draws from torch's global generator.
        with seeded(seed, *purpose), autocast(self.device, trained=True):
            written = self.model.generate(**inputs, decoder_input_ids=start, min_new_tokens=1, max_new_tokens=self.max_length)
        ids = written[:, start.shape[1] :]
        ended = (ids == self.end).any(dim=1)
        ids = torch.cat([ids, ids.new_full((len(ids), 1), self.end)], dim=1)
        is_end = ids == self.end
        mask = (is_end.long().cumsum(dim=1) - is_end.long()) == 0
        ids = ids.masked_fill(~mask, self.pad)
        drawn = mask.clone()
        drawn[:, -1] = False
        width = ids.shape[1] - int(bool(ended.all()))
        return RewrittenTokens(ids[:, :width], mask[:, :width], drawn[:, :width])

    def logits(self, inputs: Mapping[str, Tensor], tokens: RewrittenTokens, tuned: bool = True) -> Tensor:
        """Return the distribution of each token, given the source and the tokens before it.

        Args:
            inputs: The sources that `sample` read.
            tokens: The rewritings that it wrote.
            tuned: Use the adapter. Without it no gradients are kept.

        Returns:
            (N, W, V) float32; forbidden tokens have a logit of -1e9.
        """
        before = torch.cat([self._first(inputs), tokens.ids[:, :-1]], dim=1)
        with (
            nullcontext() if tuned else self.model.disable_adapter(),
            torch.set_grad_enabled(tuned and torch.is_grad_enabled()),
            autocast(self.device, trained=True),
        ):
            logits = self.model(**inputs, decoder_input_ids=before, use_cache=False).logits
        logits = logits[:, len(self._start) - 1 :].float()
        logits = logits.index_fill(2, self._forbidden.to(logits.device), FORBIDDEN)
        first = torch.zeros_like(logits, dtype=torch.bool)
        first[:, 0, self.end] = True  # a text has at least one token
        return logits.masked_fill(first, FORBIDDEN)

    def decode(self, tokens: RewrittenTokens, sources: Sequence[str]) -> list[str]:
        """Return the texts; replace an empty one by its source."""
        texts = self.tokenizer.batch_decode(tokens.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [text.strip() or source for text, source in zip(texts, sources, strict=True)]

    @torch.no_grad()
    def write(self, sources: Sequence[str], number: int, seed: int = 0, purpose: str = "rewriting") -> Rewritten:
        """Rewrite sentences.

        Args:
            sources: N sentences of a corpus, N >= 1.
            number: Number of the batch. The same arguments give the same texts.
            seed: Decides every random act.
            purpose: Separates the random numbers of callers that share a seed.
        """
        texts: list[str] = []
        means: list[Tensor] = []
        for begin in range(0, len(sources), WRITTEN_AT_ONCE):
            part = sources[begin : begin + WRITTEN_AT_ONCE]
            inputs = self.encode(part, random_generator(seed, purpose, "hidden", number, begin))
            tokens = self.sample(inputs, seed, purpose, number, begin)
            chosen = self.logits(inputs, tokens).log_softmax(dim=-1).gather(2, tokens.ids[:, :, None]).squeeze(2)
            means.append(((chosen * tokens.drawn).sum(dim=1) / tokens.drawn.sum(dim=1)).cpu())
            texts += self.decode(tokens, part)
        return Rewritten(texts, torch.cat(means))

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the adapter's weights on the CPU."""
        state = get_peft_model_state_dict(self.model)
        return {name: weight.detach().cpu().clone().contiguous() for name, weight in state.items()}

    def set_weights(self, weights: dict[str, Tensor], source: str) -> None:
        """Replace the adapter's weights.

        Args:
            weights: What `weights` returned.
            source: Folder of the weights, for messages.

        Raises:
            InputError: The weights belong to another model or an adapter of another rank.
        """
        fault = ""
        try:
            report = set_peft_model_state_dict(self.model, weights)
            missing = [name for name in report.missing_keys if ".lora_" in name]
            if missing or report.unexpected_keys:
                fault = f"{len(missing)} weights missing, {len(report.unexpected_keys)} left over"
        except (RuntimeError, ValueError) as error:
            fault = " ".join(str(error).split())[:200]
        if fault:
            raise InputError(
                f"{source}: the adapter does not fit {self.base} ({fault}); name the model it was tuned on as its base."
            )

    def save(self, folder: str | Path, details: Mapping[str, Any], base: str | None = None) -> None:
        """Write a folder that `load` opens.

        Args:
            folder: The folder; it appears whole or not at all, and replaces an older rewriter.
            details: Further entries of `rewriter.json`.
            base: Public name of the base, where it was loaded from a path of this machine.

        Raises:
            InputError: The folder holds something else, or cannot be written.
        """
        lora = self.model.peft_config["default"]
        manifest = {
            "schema_version": REWRITER_SCHEMA_VERSION,
            "base": base or self.base,
            "base_parameters": _count(self.model),
            "rank": lora.r,
            "alpha": lora.lora_alpha,
            "max_length": self.max_length,
            "hidden_share": self.hidden_share,
            **details,
            "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
        }
        if (place := Path(base or self.base).expanduser()).is_dir():
            manifest["weights"] = {"base": sample_of_weights(place)}
        with replace_folder(folder, REWRITER_MANIFEST) as temporary:
            save_file(self.weights(), temporary / ADAPTER_FILE)
            save_tokenizer(self.tokenizer, temporary)
            write_json(temporary / REWRITER_MANIFEST, manifest)
            seal(temporary)

    @classmethod
    def load(cls, folder: str | Path, base: str | None = None, device: str = "auto") -> "Rewriter":
        """Open a saved rewriter.

        Args:
            folder: A folder that `save` wrote.
            base: Folder or hub id of the base, where the name in `rewriter.json` does not lead to it.
            device: "auto", "cpu", "cuda", "cuda:N".

        Raises:
            InputError: A file is missing, damaged or of a newer version, or the base is another model.
        """
        folder = Path(folder)
        about = f"rewriter: {folder}"
        check_folder(folder, about)
        manifest = read_object(folder / REWRITER_MANIFEST, KEYS, "copy the folder again")
        written_by, name, count = manifest["schema_version"], base or manifest["base"], manifest["base_parameters"]
        rank, alpha, length = manifest["rank"], manifest["alpha"], manifest["max_length"]
        share = manifest.get("hidden_share")
        odd = [key for key, most in LARGEST.items() if not 1 <= manifest[key] <= most]
        if odd or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise InputError(f"{folder / REWRITER_MANIFEST}: '{(*odd, 'hidden_share')[0]}' is damaged; copy the folder again.")
        try:
            check_weights(folder / ADAPTER_FILE, about)
            weights = load_file(folder / ADAPTER_FILE)
            tokenizer = open_tokenizer(folder, about)
        except InputError:
            raise
        except Exception as error:  # files and the Rust tokenizer each raise their own
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            kind = "the adapter" if isinstance(error, SafetensorError | OSError) else "the rewriter"
            raise InputError(f"{folder}: {kind} is missing or damaged ({reason}); copy the folder again.") from error
        if written_by != REWRITER_SCHEMA_VERSION:
            raise InputError(
                f"{folder}: written in format {written_by}, expected {REWRITER_SCHEMA_VERSION}; update this package."
            )
        model = load_model(AutoModelForSeq2SeqLM, name, "base", resolve_device(device), torch.float32)
        if _count(model) != count:
            raise InputError(
                f"base: {name} has {_count(model):,} parameters, the rewriter was tuned on a model of {count:,} "
                f"({manifest['base']}); name that one."
            )
        lora = LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="SEQ_2_SEQ_LM")
        rewriter = cls(_adapted(model, lora, name), tokenizer, length, share, name)
        rewriter.set_weights(weights, str(folder))
        rewriter.model.requires_grad_(False)
        return rewriter

    def _first(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the tokens that the decoder starts from, (N, 1) or (N, 2)."""
        return torch.tensor([self._start], device=self.device).expand(len(inputs["input_ids"]), -1)


def _adapted(model: PreTrainedModel, lora: LoraConfig, name: str) -> PeftModel:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return get_peft_model(model, lora)
    except ValueError as error:
        raise InputError(f"rewriter: no adapter fits {name} ({' '.join(str(error).split())[:200]}).") from error


def _start_token(model: PreTrainedModel, name: str) -> int:
    """Return the token that a decoder starts from, found as `generate` of transformers finds it."""
    for field in ("decoder_start_token_id", "bos_token_id"):
        for source in (model.config, model.generation_config):
            if (token := getattr(source, field, None)) is not None:
                return int(token)
    raise InputError(
        f"rewriter: config.json of {name} has no decoder_start_token_id, from which its decoder starts; set the token that it "
        "was trained with."
    )


def _count(model: PreTrainedModel | PeftModel) -> int:
    """Return the number of weights of the base, without an adapter's."""
    return sum(parameter.numel() for name, parameter in model.named_parameters() if ".lora_" not in name)
