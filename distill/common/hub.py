"""Load models and tokenizers from a local folder or the Hugging Face hub, with errors that a user can act on.

A mistyped path, a missing network, a folder of another architecture and a half-downloaded file make `from_pretrained` raise
exceptions of many kinds. It also fills missing weights with random numbers and only warns. Here each of these is an
`InputError` of one line that names the setting (`field`). Nothing is unpickled but tensors, and no code from the repository is
run (`trust_remote_code` stays off).
"""

import re
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.hub import cached_file

import distill.checkpoints.static_model  # noqa: F401 - registers the family, so that its folders open like any other
from distill.checkpoints.adapters import CONFIG, Adapter, find_adapter, merge
from distill.checkpoints.checksums import check_folder, check_weights
from distill.checkpoints.explain import explain, quiet_loading
from distill.checkpoints.gguf import find_gguf, is_gguf
from distill.checkpoints.model_config import drop_foreign_tokens, make_config, read_json, say_once, with_commit
from distill.checkpoints.tokenizers import open_tokenizer, with_padding
from distill.checkpoints.weights import (
    check_numbers,
    describe_missing,
    file_of,
    find_checkpoint,
    name_drawn,
    name_left_out,
    prefix_of,
    unwrapped_names,
)
from distill.common.errors import InputError
from distill.common.precision import prepared

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")

# For each kind of model: how the names in `config.architectures` end, and the name of the kind in messages.
ARCHITECTURES: dict[type, tuple[tuple[str, ...], str]] = {
    AutoModelForSequenceClassification: (("ForSequenceClassification",), "a sequence classifier"),
    AutoModelForTokenClassification: (("ForTokenClassification",), "a token classifier"),
    AutoModelForCausalLM: (("ForCausalLM", "LMHeadModel"), "a causal language model"),
    AutoModelForMaskedLM: (("ForMaskedLM", "ForPreTraining"), "a masked language model"),
    AutoModelForSeq2SeqLM: (("ForConditionalGeneration",), "an encoder-decoder"),
    AutoModel: (("",), "a model"),  # any architecture, without its head
}

CLASSIFIERS = (AutoModelForSequenceClassification, AutoModelForTokenClassification)
"""Of whole texts, and of words."""

OTHER_KINDS = {
    "ForTokenClassification": "it tags words",
    "ForQuestionAnswering": "it marks answers in a text, which is not supported",
    "ForMultipleChoice": "it chooses among texts, which is not supported",
    "ForCausalLM": "it writes text",
    "ForMaskedLM": "it has no trained classification head",
    "ForConditionalGeneration": "an encoder-decoder, or a text model inside one for images; its text model alone can be used",
}
"""What a model of another kind does, by how the name of its architecture ends."""

TOKENIZER_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model",
                   "tokenizer.model", "sentencepiece.bpe.model")  # fmt: skip
"""Any of these makes a folder a place to load a tokenizer from."""

SPARE_VALUES = 50_000_000
"""Weights and tables that a model may have beyond twice those in its files: heads that are drawn, tables that are computed."""


def load_config(name_or_path: str | Path, field: str, revision: str | None = None) -> PreTrainedConfig:
    """Read the configuration of a model folder or hub id; of a LoRA adapter, that of its base model.

    Args:
        name_or_path: A local folder or a hub id such as "distilgpt2" or "org/model". A folder of that name wins.
        field: Name of the setting, for messages: "teacher", "student", "generator".
        revision: Commit of the hub's repository; None: the newest. A folder has none.

    Raises:
        InputError: The folder does not exist or has no config.json, the hub cannot be reached or has no such model, or the
            file cannot be read or is beyond the limits of `distill.checkpoints.model_config`.
    """
    source, about = _resolve(name_or_path, field), f"{field}: {name_or_path}"
    try:
        gguf = find_gguf(name_or_path, field, revision)
        if gguf is not None:
            return with_commit(gguf.config(), gguf.path)
        adapter = _adapter(source, revision, about)
        file = file_of(source, "config.json", revision)
        if file is None and adapter is None:
            file = Path(cached_file(source, "config.json", revision=revision or "main"))  # raises what is wrong
        if Path(source).is_dir():
            check_folder(Path(source), about)
        if file is not None:
            config = with_commit(make_config(read_json(file, about), source, about), file)
        else:
            assert adapter is not None
            config = _base_config(adapter, field)
            classes = adapter.classes()
            if classes is not None and classes != config.num_labels:
                config.num_labels = classes
        return config
    except InputError:
        raise
    except Exception as error:  # a configuration that is not what its family expects raises anything
        raise explain(error, name_or_path, field) from error


def load_model(
    auto_class: type,
    name_or_path: str | Path,
    field: str,
    device: torch.device,
    dtype: torch.dtype,
    new_head: bool = False,
    revision: str | None = None,
    **kwargs: Any,
) -> PreTrainedModel:
    """Load a model in evaluation mode.

    A folder with a LoRA adapter is loaded as its base model with the adapter merged into it.

    Args:
        auto_class: `AutoModelForSequenceClassification`, `AutoModelForCausalLM`, or `AutoModel` for a model without its head.
        name_or_path: A local folder or a hub id.
        field: Name of the setting, for messages.
        device: Device of the weights.
        dtype: Format of the weights; a checkpoint in another format is converted.
        new_head: Allow the checkpoint of a bare encoder, and draw the weights that it lacks from torch's global generator.
            Without it the file must hold every weight.
        revision: See `load_config`.
        **kwargs: Fields of the configuration that replace those of the file, for instance `num_labels`.

    Raises:
        InputError: See `load_config`; or the model is of another kind, its weights are missing or damaged, or it has no
            trained head and `new_head` is off.
    """
    config = load_config(name_or_path, field, revision)
    source, about = _resolve(name_or_path, field), f"{field}: {name_or_path}"
    endings, kind = ARCHITECTURES[auto_class]
    # The same function up to rounding, in one kernel instead of six. It saves a small GPT-2 on a CPU 5 % of its time.
    for name in ("activation_function", "hidden_act"):
        if getattr(config, name, None) == "gelu_new":
            kwargs[name] = "gelu_pytorch_tanh"
    for name, value in kwargs.items():
        setattr(config, name, value)
    try:
        adapter = _adapter(source, revision, about)
        if adapter is not None:
            say_once(f"{about}: a LoRA adapter of {adapter.base}, which is loaded, and merged with it in memory.")
            base = _base_config(adapter, field)
            if auto_class in CLASSIFIERS:
                base.num_labels, base.id2label, base.label2id = config.num_labels, config.id2label, config.label2id
            else:
                _check_kind(base, endings, kind, new_head, f"{field}: {adapter.base}, the base of {name_or_path},")
            config, source = base, _resolve(adapter.base, field)
            model, missing = _read_model(auto_class, adapter.base, source, field, dtype, config, adapter.revision)
            if not new_head or missing:
                model, missing = merge(model, adapter, missing), []
        else:
            _check_kind(config, endings, kind, new_head and not is_gguf(source), about)
            model, missing = _read_model(auto_class, str(name_or_path), source, field, dtype, config, revision)
    except InputError:
        raise
    except Exception as error:  # files of strangers make transformers raise anything
        raise explain(error, name_or_path, field) from error
    # Only the last states of a headless model are used, and checkpoints of masked language models have no pooler.
    missing = sorted(key for key in missing if auto_class is not AutoModel or not key.startswith("pooler."))
    if new_head:
        name_drawn(missing, model.base_model_prefix, about)
    elif missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise InputError(f"{field}: {name_or_path} lacks trained weights ({shown}); expected {kind} that was trained.")
    return prepared(model.to(device).eval(), about)


def _adapter(source: str, revision: str | None, about: str) -> Adapter | None:
    """Return the LoRA adapter in a folder or hub id; a hub id with a config.json is taken as a whole model."""
    if is_gguf(source) or (not Path(source).is_dir() and file_of(source, "config.json", revision) is not None):
        return None
    return find_adapter(source, revision, about)


def _base_config(adapter: Adapter, field: str) -> PreTrainedConfig:
    try:
        source = _resolve(adapter.base, field)
        if _adapter(source, adapter.revision, f"{field}: {adapter.base}") is not None:
            raise InputError(
                f"{adapter.about}: its base model {adapter.base} is an adapter itself; merge that one and save it."
            )
        return load_config(adapter.base, field, adapter.revision)
    except InputError as error:
        if str(error).startswith(adapter.about):
            raise
        raise InputError(
            f"{error} It is the base model of the adapter {adapter.about.partition(': ')[2]}: if it has moved, set "
            f"base_model_name_or_path in its {CONFIG}."
        ) from error


def _check_kind(config: PreTrainedConfig, endings: tuple[str, ...], kind: str, new_head: bool, about: str) -> None:
    architectures = [str(name) for name in config.architectures or []]
    if architectures and not new_head and not any(name.endswith(endings) for name in architectures):
        what = next((f" ({said})" for ending, said in OTHER_KINDS.items() if architectures[0].endswith(ending)), "")
        raise InputError(f"{about} is not {kind}: its config.json says {architectures[0][:80]}{what}.")


def _read_model(
    auto_class: type, name: str, source: str, field: str, dtype: torch.dtype, config: PreTrainedConfig, revision: str | None
) -> tuple[PreTrainedModel, list[str]]:
    """Return the model and the names of weights that its files lack, which were drawn at random."""
    about = f"{field}: {name}"
    gguf = find_gguf(source, field, revision)
    if gguf is not None:
        model_class, _ = _checked_class(auto_class, config, gguf.header.values, about)
        with quiet_loading():
            return gguf.model(model_class, config, dtype)
    checkpoint = find_checkpoint(source, revision, about)
    if checkpoint is None:
        raise describe_missing(source, name, field)
    for part in checkpoint.files:
        check_weights(part, about)
    weights = None
    sizes = {} if checkpoint.pickled else checkpoint.sizes()
    mixed = file_of(source, CONFIG, revision) is not None  # transformers would load the adapter and its base instead
    if checkpoint.pickled or mixed or any(old != new for old, new in unwrapped_names(list(sizes)).items()):
        weights = checkpoint.read(about)
        sizes = {key: (weight.numel(), str(weight.dtype)) for key, weight in weights.items()}
    if not getattr(config, "quantization_config", None):
        check_numbers({key: kind for key, (_, kind) in sizes.items()}, about)
    model_class, names = _checked_class(auto_class, config, sum(count for count, _ in sizes.values()), about)
    prefix = prefix_of(sizes, names)
    if prefix and prefix != f"{model_class.base_model_prefix}.":  # transformers removes that one itself
        weights = weights or checkpoint.read(about)
        weights = {key.removeprefix(prefix): weight for key, weight in weights.items() if key.startswith(prefix)}
    with quiet_loading():
        model, report = model_class.from_pretrained(
            source if weights is None else None,
            config=config,
            state_dict=weights,
            dtype=dtype,
            revision=revision or "main",
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # named below
        )
        if weights is not None and model.can_generate() and file_of(source, "generation_config.json", revision):
            model.generation_config = GenerationConfig.from_pretrained(source, revision=revision or "main")
    if getattr(model, "generation_config", None) is not None:
        drop_foreign_tokens(model.generation_config, model.get_input_embeddings().weight.shape[0], about)
    for key, held, described in sorted(report["mismatched_keys"]):
        shape, wanted_shape = tuple(held), tuple(described)
        if auto_class in CLASSIFIERS and wanted_shape[:1] == (config.num_labels,) and shape[1:] == wanted_shape[1:]:
            raise InputError(
                f"{about}: config.json says {config.num_labels} classes, but its head ({key}) has {shape[0]} outputs; "
                "correct id2label in config.json."
            )
        raise InputError(f"{about}: {key} has shape {shape}, but config.json describes {wanted_shape}; copy the folder again.")
    name_left_out(report["unexpected_keys"], auto_class is AutoModel, about)
    return model, list(report["missing_keys"])


def _checked_class(
    auto_class: type, config: PreTrainedConfig, stored: int, about: str
) -> tuple[type[PreTrainedModel], list[str]]:
    """Return the class of the model, and the names of the weights that any file of it holds, with a head or without.

    Refuse a configuration that describes much more than the files hold. The model is laid out without memory for it.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"), quiet_loading():
        model = auto_class.from_config(config)  # type: ignore[attr-defined]
    described = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    # Quantised weights are packed: a file holds fewer values than the model has.
    if described > 2 * stored + SPARE_VALUES and not getattr(config, "quantization_config", None):
        raise InputError(
            f"{about}: config.json describes {described:,} weights, but the files hold {stored:,}; copy the folder again."
        )
    names = [name for name, _ in model.named_parameters()]
    return type(model), [name for name in names if name.startswith(f"{model.base_model_prefix}.")] or names


def check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, about: str) -> None:
    """Refuse a tokenizer with tokens that the model has no embedding for.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        about: Setting and name, at the beginning of the message: "teacher: models/x".

    Raises:
        InputError: A token's number is beyond the embedding. A model without a table of words has none to check.
    """
    try:
        rows = model.get_input_embeddings().weight.shape[0]
    except (NotImplementedError, AttributeError):  # CANINE and Perceiver read characters and bytes, without a table
        return
    token, number = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if number >= rows:
        raise InputError(
            f"{about} has {rows} word embeddings, but its tokenizer has {len(tokenizer)} tokens (such as {token[:40]!r}); "
            "call resize_token_embeddings before training, or leave the added tokens out."
        )


def load_tokenizer(name_or_path: str | Path, field: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load a tokenizer, and choose a padding token where it has none, see `with_padding`.

    Raises:
        InputError: See `load_config`; or there are no tokenizer files.
    """
    source, about = _resolve(name_or_path, field, TOKENIZER_FILES), f"{field}: {name_or_path}"
    try:
        gguf = find_gguf(name_or_path, field, revision)
        if gguf is not None:
            return with_padding(gguf.tokenizer())
    except InputError:
        raise
    except Exception as error:  # as below
        raise explain(error, name_or_path, field, part="tokenizer") from error
    found = [file for name in TOKENIZER_FILES[1:] if (file := file_of(source, name, revision)) is not None]
    adapter = _adapter(source, revision, about) if not found else None
    if adapter is not None:  # PEFT saves the adapter alone
        return load_tokenizer(adapter.base, field, adapter.revision)
    try:
        config = load_config(name_or_path, field, revision) if file_of(source, "config.json", revision) else None
        options: dict[str, Any] = {} if config is None else {"config": config}
        tokenizer = open_tokenizer(source, about, found, revision=revision or "main", **options)
    except InputError:
        raise
    except Exception as error:  # the Rust tokenizer raises a bare `Exception` for a damaged tokenizer.json
        if Path(source).is_dir() and not any(file.name != "tokenizer_config.json" for file in found):
            raise InputError(
                f"{field}: {name_or_path} has no tokenizer files (tokenizer.json); save the tokenizer there."
            ) from error
        raise explain(error, name_or_path, field, part="tokenizer") from error
    # Without tokenizer files transformers builds an empty tokenizer of the family from config.json alone.
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise InputError(f"{field}: {name_or_path} has no tokenizer files (tokenizer.json); save the tokenizer there.")
    return with_padding(tokenizer)


def model_folder(name_or_path: str, revision: str | None = None) -> Path:
    """Return the folder itself, or the local snapshot of a hub id that was loaded before, of a commit if one is given.

    Raises:
        InputError: The hub's cache does not hold it.
    """
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return folder
    found = [try_to_load_from_cache(name_or_path, name, revision=revision) for name in ("config.json", CONFIG)]
    config = next((file for file in found if isinstance(file, str)), None)
    if config is None:
        raise InputError(f"the files of {name_or_path} are not in the hub's cache")
    return Path(config).parent


def model_folders(name_or_path: str) -> list[Path]:
    """Return the folder of a model; for a LoRA adapter, its folder and that of its base model.

    Raises:
        InputError: See `model_folder`.
    """
    folder = model_folder(name_or_path)
    whole = not Path(name_or_path).expanduser().is_dir() and (folder / "config.json").is_file()  # see `_adapter`
    adapter = None if whole else find_adapter(str(folder), None, name_or_path)
    return [folder, *([model_folder(adapter.base, adapter.revision)] if adapter is not None else [])]


def _resolve(name_or_path: str | Path, field: str, files: tuple[str, ...] = ("config.json",)) -> str:
    """Return the folder as a string, or the hub id unchanged; the folder must hold an adapter or one of the files."""
    name = str(name_or_path)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not any((folder / file).is_file() for file in (*files, CONFIG)):
            if found := sorted(folder.glob("*.gguf")):
                raise InputError(f"{field}: folder {name} holds GGUF files; name one of them: {found[0]}")
            raise InputError(f"{field}: folder {name} has no config.json; give the folder that save_pretrained wrote.")
        return str(folder)
    if is_gguf(name):
        return name
    if folder.exists():
        raise InputError(f"{field}: {name} is a file; give the model folder that holds it.")
    # "models/teacher" could be a hub id. Where a folder "models" exists, it is a mistyped path, and no network is needed.
    local = "/" in name and Path(name.split("/")[0]).is_dir()
    if local or not HUB_ID.fullmatch(name) or isinstance(name_or_path, Path):
        raise InputError(f"{field}: folder {name} does not exist; check the path.")
    return name
