"""Language models in GGUF files, the format of llama.cpp, Ollama and LM Studio.

transformers reads the weights, which it unpacks, and the tokenizer. What its reading leaves out is added here from the header:
the size of the vocabulary, and settings of a family that it fills with defaults. The model is an ordinary one afterwards, so
it can be tuned and saved.
"""

import contextlib
import io
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils.hub import cached_file

from distill.checkpoints.gguf_header import GgufHeader, read_header
from distill.checkpoints.model_config import make_config, say_once
from distill.checkpoints.network import heed_network
from distill.checkpoints.tokenizers import check_reading
from distill.common.errors import InputError

SUFFIX = ".gguf"

ON_HUB = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)/((?:[\w-][\w.-]*/)*[\w-][\w.-]*\.gguf)", re.IGNORECASE)
"""A file of a hub repository: org/repo/file.gguf."""

NO_LANGUAGE_MODEL = re.compile(r"bert|clip|t5|embed|mmproj|wavtokenizer|whisper|vae|diffusion|flux|unet")
"""Architectures of encoders, encoder-decoders and models of images and sound."""

NAME = "model.gguf"

END_TOKENS = ("eos_token_id", "eot_token_id", "eom_token_id")
"""Settings of a file that name a token which ends what the model says: end of text, of a turn, of a message."""

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
"""How Llama 3.1 and later stretch their positions; a file holds the resulting factors, the largest of which is `factor`."""


@dataclass(frozen=True)
class GgufFile:
    """A GGUF file whose header was read and checked.

    Attributes:
        path: The file.
        about: Setting and name, at the beginning of messages.
        header: What its header says.
    """

    path: Path
    about: str
    header: GgufHeader

    def config(self) -> PreTrainedConfig:
        """Make the configuration of the model.

        Raises:
            InputError: The file holds no causal language model, or one that transformers does not read.
        """
        said, family = self.header.settings, self.header.architecture
        kind, parts = said.get("general.type", "model"), said.get("split.count", 0)
        if kind != "model" or NO_LANGUAGE_MODEL.search(family):
            what = f"its architecture is {family!r}" if kind == "model" else f"it says that it is a {str(kind)[:40]!r}"
            raise InputError(f"{self.about} is not a causal language model: {what}.")
        if isinstance(parts, int) and parts > 1:
            raise InputError(
                f"{self.about} is one of {parts} parts; join them first (llama-gguf-split --merge FIRST_PART JOINED.gguf)."
            )
        self._check_tokens()
        state = self.path.stat()
        try:
            raw = dict(_read_config(str(self.path), state.st_size, state.st_mtime_ns))
        except ValueError as error:
            if "not supported" not in str(error):
                raise
            raise InputError(
                f"{self.about}: transformers does not read GGUF files of the architecture {family!r}; give the folder or hub "
                "id of the original model."
            ) from None
        config = make_config(self._completed(raw), str(self.path), self.about)
        name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
        if name is None:
            raise InputError(f"{self.about} is not a causal language model: its architecture is {family!r}.")
        config.architectures = [name]
        return config

    def _check_tokens(self) -> None:
        """Check that there is a tokenizer, before seconds are spent on the weights."""
        said = self.header.settings
        tokens = said.get("tokenizer.ggml.tokens")
        if not isinstance(tokens, int) or not tokens:
            raise InputError(f"{self.about} has no tokenizer; use a file that was converted together with its tokenizer.")
        for key, value in said.items():
            if key.startswith("tokenizer.ggml.") and key.endswith("_token_id") and isinstance(value, int) and value >= tokens:
                raise InputError(f"{self.about}: {key} is {value}, but it has {tokens} tokens; download it again.")

    def _completed(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Add what transformers leaves at the defaults of the family, and drop what is no setting."""
        raw = {name: value for name, value in raw.items() if not name.startswith("_")}
        family = raw.get("model_type")
        embedding = self.header.shapes.get("token_embd.weight")
        if embedding is None or len(embedding) != 2:
            raise InputError(f"{self.about} is not a causal language model: it has no word embeddings.")
        raw["vocab_size"] = embedding[0]
        said = {key.partition(".")[2]: value for key, value in self.header.settings.items()}
        if family in ("qwen3", "mistral", "llama", "gemma2", "gemma3_text") and "attention.key_length" in said:
            raw["head_dim"] = said["attention.key_length"]
        if family == "gpt2":
            raw |= {"n_positions": said.get("context_length"), "n_inner": said.get("feed_forward_length")}
        if family == "gemma2":
            for name in ("attn_logit_softcapping", "final_logit_softcapping"):
                raw[name] = said.get(name, raw.get(name, 50.0 if name.startswith("attn") else 30.0))
        raw |= self._rope(said)
        ends = [said.get(f"ggml.{name}") for name in END_TOKENS]
        ids = list(dict.fromkeys(number for number in ends if isinstance(number, int)))
        if len(ids) > 1:
            raw["eos_token_id"] = ids
        return raw

    def _rope(self, said: dict[str, Any]) -> dict[str, Any]:
        """Return how the positions of a model are stretched for long texts."""
        factor, kind = said.get("rope.scaling.factor"), said.get("rope.scaling.type")
        if "rope_freqs.weight" in self.header.shapes and self.header.architecture == "llama":
            with self.path.open("rb") as stream:
                stream.seek(self.header.places["rope_freqs.weight"])
                count = math.prod(self.header.shapes["rope_freqs.weight"])
                factors = torch.frombuffer(bytearray(stream.read(4 * count)), dtype=torch.float32)
            return {"rope_scaling": LLAMA3_ROPE | {"factor": float(factors.max())}}
        if kind in ("linear", "yarn") and isinstance(factor, float) and self.header.architecture != "gpt-oss":
            length = said.get("rope.scaling.original_context_length")
            original = {} if kind == "linear" else {"original_max_position_embeddings": length}
            return {"rope_scaling": {"rope_type": kind, "factor": factor} | original}
        return {}

    def model(
        self, model_class: type[PreTrainedModel], config: PreTrainedConfig, dtype: torch.dtype
    ) -> tuple[PreTrainedModel, list[str]]:
        """Load the model with its weights unpacked, and name the weights that the file lacks, which are drawn at random.

        Args:
            model_class: Class of the model.
            config: Its configuration.
            dtype: Format of the weights.

        Raises:
            InputError: A weight has another shape than the settings describe.
        """
        size = self.header.values * dtype.itemsize / 2**30
        say_once(f"{self.about}: a GGUF file, whose weights are unpacked to {str(dtype)[6:]}: {size:.1f} GiB of memory.")
        unpacked = getattr(transformers, "GgufConfig", None)  # older versions always unpack
        options = {} if unpacked is None else {"quantization_config": unpacked(dequantize=True)}
        with _alone(self.path) as folder, contextlib.redirect_stderr(io.StringIO()):  # a bar that cannot be switched off
            loaded, report = model_class.from_pretrained(
                folder,
                gguf_file=NAME,
                config=config,
                dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # named below
                **options,
            )
        for key, found, expected in sorted(report["mismatched_keys"]):
            raise InputError(
                f"{self.about}: {key} has shape {tuple(found)}, but its settings describe {tuple(expected)}; "
                "download it again."
            )
        used = sum(weight.numel() for weight in loaded.parameters())
        stored = sum(math.prod(shape) for name, shape in self.header.shapes.items() if not name.startswith("rope_"))
        if stored > used:
            say_once(
                f"{self.about}: {stored - used:,} of its {stored:,} weights have no place in transformers' model of this "
                "family; if its texts are poor, use the original model."
            )
        # The loaded model counts as quantised, and such a model can be neither saved nor tuned as a whole. This one is new.
        model = model_class.from_pretrained(None, config=config, state_dict=loaded.state_dict(), dtype=dtype)
        return model, list(report["missing_keys"])

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Make the tokenizer, with its chat template.

        Raises:
            InputError: The file holds none, or one with special tokens that it does not have.
        """
        self._check_tokens()
        with _alone(self.path) as folder:
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, gguf_file=NAME)
        tokenizer.name_or_path = str(self.path)
        check_reading(tokenizer)
        return tokenizer


def is_gguf(name: str) -> bool:
    """Return whether a name is that of a GGUF file, here or on the hub."""
    return name.lower().endswith(SUFFIX) and not Path(name).expanduser().is_dir()


def find_gguf(name_or_path: str | Path, field: str, revision: str | None = None) -> GgufFile | None:
    """Return the GGUF file of that name with its header read; None if the name is not that of a GGUF file.

    Args:
        name_or_path: A local file `x.gguf`, or a file of a hub repository, `org/repo/x.gguf`. A local file of that name wins.
        field: Name of the setting, for messages.
        revision: Commit of the hub's repository.

    Raises:
        InputError: There is no such file, the library `gguf` is not installed, or see `read_header`.
        OSError: The hub cannot be reached, or has no such file.
    """
    name, about = str(name_or_path), f"{field}: {name_or_path}"
    if not is_gguf(name):
        return None
    path = Path(name).expanduser()
    if not path.is_file():
        parts = ON_HUB.fullmatch(name)
        if parts is None or isinstance(name_or_path, Path) or Path(name.split("/")[0]).is_dir():
            raise InputError(
                f"{field}: file {name} does not exist; check the path (a file of the hub is named org/repo/file.gguf)."
            )
        heed_network()
        path = Path(cached_file(parts[1], parts[2], revision=revision or "main"))
    try:
        from gguf.constants import GGML_QUANT_SIZES
    except ImportError:
        raise InputError(
            f"{about} is a GGUF file, and the library gguf is not installed: pip install 'topic-prompter[gguf]'"
        ) from None
    sizes = {int(kind): size for kind, size in GGML_QUANT_SIZES.items()}
    return GgufFile(path, about, read_header(path, about, sizes))


@lru_cache(maxsize=4)
def _read_config(path: str, size: int, changed: int) -> dict[str, Any]:
    """Return transformers' reading of a file, which takes seconds; size and time of change tell two files apart."""
    with _alone(Path(path)) as folder:
        return PreTrainedConfig.get_config_dict(folder, gguf_file=NAME)[0]


@contextmanager
def _alone(path: Path) -> Iterator[str]:
    """Give a folder with nothing but this file, since transformers also reads what lies beside it: another tokenizer, say."""
    with tempfile.TemporaryDirectory(prefix="prompter-gguf-") as folder:
        try:
            os.symlink(path.resolve(), Path(folder) / NAME)
        except OSError:  # not everybody may make links on Windows
            shutil.copyfile(path, Path(folder) / NAME)
        yield folder
