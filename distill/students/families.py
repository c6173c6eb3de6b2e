"""The configuration of any family of transformers, from a few short names: `family:layers=2,hidden=128`.

Families call the same things by different names. Where a family keeps a size of its heads that does not follow from the rest
(Qwen3, Gemma, Mistral), a second try derives it.
"""

from typing import Any

from transformers import AutoConfig, PreTrainedConfig, PreTrainedTokenizerBase
from transformers.models.auto import tokenization_auto

from distill.checkpoints.model_config import check_limit
from distill.common import encode
from distill.common.errors import InputError, did_you_mean

SHORT_NAMES: dict[str, tuple[tuple[str, ...], ...]] = {
    "layers": (
        ("num_hidden_layers",),
        ("n_layers",),
        ("n_layer",),
        ("encoder_layers", "decoder_layers"),
        ("num_layers", "num_decoder_layers"),
    ),
    "hidden": (("hidden_size",), ("dim",), ("n_embd",), ("d_model",), ("emb_dim",)),
    "heads": (
        ("num_attention_heads",),
        ("n_heads",),
        ("n_head",),
        ("encoder_attention_heads", "decoder_attention_heads"),
        ("num_heads",),
    ),
    "intermediate": (
        ("intermediate_size",),
        ("hidden_dim",),
        ("n_inner",),
        ("encoder_ffn_dim", "decoder_ffn_dim"),
        ("ffn_dim",),
        ("d_inner",),
        ("d_ff",),
        ("dff",),
    ),
}
"""Short names in a spec. Each means the first of these groups of fields that the family's configuration has."""

ALWAYS_OWN_TOKENIZER = getattr(tokenization_auto, "MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS", ())
"""Families for which transformers does not read which tokenizer a folder names."""

OPTIONAL = ("heads", "intermediate")
"""Short names with a default, which is left out where a family has no such field."""


def family_config(
    spec: str, family: str, settings: str, tokenizer: PreTrainedTokenizerBase, classes: int, own_heads: bool = True
) -> PreTrainedConfig:
    """Return the configuration of "family:settings" for a tokenizer.

    Args:
        spec: The whole spec, for messages.
        family: A `model_type` of transformers.
        settings: `layers=2,hidden=128` and others, separated by commas.
        tokenizer: Gives the size of the vocabulary and the special tokens.
        classes: Number of classes.
        own_heads: Keep the family's own size and number of key-value heads. False derives them from hidden and heads.

    Raises:
        InputError: A name or value is wrong, or the family refuses them.
    """
    own = tokenization_auto.TOKENIZER_MAPPING_NAMES.get(family) if family in ALWAYS_OWN_TOKENIZER else None
    if own not in (None, "TokenizersBackend", type(tokenizer).__name__):
        raise InputError(
            f"student: {spec}: transformers reads every folder of a {family} with a {own}, whatever it holds; give "
            "student_tokenizer with one, or another family."
        )
    try:
        config = _sized(spec, family, settings, own_heads)
        config.vocab_size = max(len(tokenizer), 1 + max(tokenizer.get_vocab().values()))  # some leave numbers out
        if family in encode.OFFSET_POSITIONS and "max_position_embeddings=" not in settings:
            config.max_position_embeddings += int(tokenizer.pad_token_id) + 1
        config.num_labels = classes
        _set_tokens(config, tokenizer)
    except InputError:
        raise
    except Exception as error:  # each family checks its fields in its own way
        raise InputError(f"student: no model can be built from {spec} ({reason_of(error)}).") from error
    for name, value in config.to_dict().items():
        check_limit(name, value, f"student: {spec}")
    return config


def _sized(spec: str, family: str, settings: str, own_heads: bool) -> PreTrainedConfig:
    config = AutoConfig.for_model(family)
    values = {name: _number(value) for name, value in (item.split("=") for item in settings.split(","))}
    for name in ("layers", "hidden"):
        if name not in values:
            raise InputError(f"student: {spec} lacks {name}=; for instance {family}:layers=2,hidden=128.")
    for name in SHORT_NAMES:
        if name in values and (not isinstance(values[name], int) or values[name] < 1):
            raise InputError(f"student: {name}={values[name]} in {spec}; expected a whole number of at least 1.")
    known, given = config.to_dict(), set(values)
    values.setdefault("heads", max(1, values["hidden"] // 64))
    values.setdefault("intermediate", 4 * values["hidden"])
    if values["hidden"] % values["heads"]:
        raise InputError(f"student: hidden={values['hidden']} is not a multiple of heads={values['heads']} in {spec}.")
    dropout, hidden, heads = values.pop("dropout", 0.0), values["hidden"], values["heads"]
    fields: dict[str, Any] = {}
    for name, value in values.items():
        if name in OPTIONAL and name not in given and not _found(known, name):
            continue
        for field in fields_of(config, name, spec) if name in SHORT_NAMES else (name,):
            if field not in known:
                hint = did_you_mean(name, [*SHORT_NAMES, "dropout", *known])
                raise InputError(f"student: {name!r} in {spec} is not a field of a {family} configuration.{hint}")
            check_limit(field, value, f"student: {spec}")
            fields[field] = value
    derived = {"pooler_hidden_size": hidden, "d_kv": hidden // heads}  # of DeBERTa and of T5
    if family == "squeezebert":
        derived["embedding_size"] = hidden
    if not own_heads:
        derived |= {"num_key_value_heads": heads, "head_dim": hidden // heads}
    fields = {name: value for name, value in derived.items() if name in known} | fields
    config = AutoConfig.for_model(family, **fields)  # derives what depends on them, such as the kind of each layer
    set_dropout(config, dropout)
    for field, value in fields.items():
        setattr(config, field, value)
    if "embedding_size" in known and "embedding_size" not in values and family == "electra":
        config.embedding_size = min(config.embedding_size, hidden)
    return config


def _set_tokens(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Give the configuration the special tokens of the tokenizer; where a family insists on one, padding stands in."""
    known = config.to_dict()
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"):
        if name not in known:
            continue
        number = getattr(tokenizer, name)
        if name == "eos_token_id" and number is None and config.is_encoder_decoder:
            number = tokenizer.sep_token_id  # BART and T5 classify where a text ends
        try:
            setattr(config, name, number)
        except Exception:  # each family checks its fields in its own way
            setattr(config, name, tokenizer.pad_token_id)
    if config.is_encoder_decoder and getattr(config, "decoder_start_token_id", None) is None:
        config.decoder_start_token_id = tokenizer.pad_token_id


def _number(text: str) -> Any:
    """Return the value of a setting as an int, a float, a truth value, or else text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def _found(known: dict[str, Any], name: str) -> tuple[str, ...]:
    return next((group for group in SHORT_NAMES[name] if all(field in known for field in group)), ())


def fields_of(config: PreTrainedConfig, name: str, spec: str) -> tuple[str, ...]:
    """Return the fields of a family's configuration for layers, hidden, heads or intermediate.

    Raises:
        InputError: The family has none.
    """
    group = _found(config.to_dict(), name)
    if not group:
        raise InputError(f"student: {spec}: a {config.model_type} has no {name}= of its own; use another family.")
    return group


def set_dropout(config: PreTrainedConfig, value: float) -> None:
    """Set every dropout probability of the family: hidden_dropout_prob, attention_dropout, resid_pdrop, ..."""
    for field, old in config.to_dict().items():
        if isinstance(old, (int, float)) and not isinstance(old, bool) and ("dropout" in field or "pdrop" in field):
            setattr(config, field, value)


def reason_of(error: BaseException) -> str:
    """Return the message of an error of others as one line of at most 200 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
