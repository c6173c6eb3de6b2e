"""Settings as dataclasses: one way to declare a value, to read it from text or YAML, and to check its range.

`setting` keeps everything about a value in one place: default, help, group, range, choices and other names. `convert` turns
what a user wrote (a flag, a YAML value, a keyword argument) into the declared type, and `check` refuses what is out of range.
Nothing here imports torch, so that the command line can answer `--help` at once.
"""

import dataclasses
import math
import os
import re
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal, Union, get_args, get_origin

from distill.common.errors import InputError, did_you_mean

GROUPS = (
    *(
        "Models",
        "Budget",
        "Prompter",
        "Writer",
        "Reward",
        "Texts",
        "Student",
        "Method as-dfd",
        "Method zero-shot",
        "Method t3",
    ),
    *("Evaluation", "Output", "Run"),
)
"""Groups of the help texts, in their order."""

TRACKERS = (
    *("none", "all", "azure_ml", "clearml", "codecarbon", "comet_ml", "dagshub", "dvclive", "flyte", "kubeflow", "mlflow"),
    *("neptune", "swanlab", "tensorboard", "trackio", "wandb"),
)
"""What `report_to` takes in transformers; a test holds that this list is theirs."""

ATTENTION = ("auto", "eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3")
"""How attention is computed; auto: as each model says. Anything else could be code on the hub."""

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")

WHOLE = re.compile(r"[+-]?\d{1,40}([,_]\d{3}){0,12}")

THOUSANDS = re.compile(r"[+-]?\d{1,3}([,_]\d{3})+|[+-]?\d+(_\d+)+")


def setting(
    default: Any,
    help: str,
    group: str,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
    choices: Sequence[str] = (),
    aliases: Sequence[str] = (),
    commas: Literal["never", "always", "alone"] = "never",
    required: str = "",
    optional_value: str | None = None,
    path: bool = False,
    before: Any = None,
) -> Any:
    """Declare a setting; the value for a field of a dataclass.

    Args:
        default: Its default; a list is copied for each instance.
        help: What it does, in one sentence.
        group: One of `GROUPS`.
        low: Smallest value allowed.
        above: Number that the value must be greater than.
        high: Largest value allowed.
        below: Number that the value must be smaller than.
        choices: The only values allowed; of a list, the only items.
        aliases: Other names for flag and YAML key. The first one is what the help shows.
        commas: Whether commas separate the items of a list: `always`, or `alone` where it is the only item.
        required: How to give it, for the message where it is missing; "" where it may be left out.
        optional_value: What the flag alone means, without a value.
        path: Whether a file or folder may be meant, so that `~` or `$HOME` at its beginning is the user's home.
        before: What a file means that is older than the setting and lacks it; None for the default.
    """
    assert group in GROUPS, group
    about = {
        **{"help": help, "group": group, "low": low, "above": above, "high": high, "below": below},
        **{"choices": tuple(choices), "aliases": tuple(aliases), "commas": commas, "required": required},
        **{"optional_value": optional_value, "path": path, "before": before},
    }
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=about)
    return field(default=default, metadata=about)


@dataclass
class CommonSettings:
    """What every command that computes can be told."""

    seed: int = setting(0, "Seed of everything that is drawn at random.", "Run", low=0, high=2**32 - 1)  # numpy takes no more
    device: str = setting("auto", "auto, cpu, cuda or cuda:N.", "Run")
    dtype: str = setting(
        "auto",
        "Number format to compute in; auto: bfloat16 where the hardware multiplies it, else float32.",
        "Run",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    attn_implementation: str = setting(
        "auto", "How all models compute attention; auto: as each model says, which is sdpa for most.", "Run", choices=ATTENTION
    )
    torch_compile: bool = setting(
        False, "Compile teacher and student with torch.compile: takes a minute. On a CPU they were slower then.", "Run"
    )
    quiet: bool = setting(False, "Show no bars and tables, only errors and the result.", "Run")


@dataclass
class LongWorkSettings(CommonSettings):
    """What work that can be stopped and resumed can be told."""

    report_to: list[str] = setting(
        [], "Experiment trackers, such as tensorboard or wandb; all; none.", "Output", commas="always", choices=TRACKERS
    )
    pilot: bool = setting(True, "Stop after the first queries if the teacher knows only one answer.", "Run")
    resume: bool = setting(
        False, "Go on with what a stopped call has begun.", "Run", aliases=("resume", "resume_from_checkpoint")
    )


@dataclass
class HubSettings:
    """Where a result is uploaded to."""

    push_to_hub: str | None = setting(None, "Upload to this id of the Hugging Face hub, privately.", "Output")
    public: bool = setting(False, "Upload publicly.", "Output")

    def check_upload(self) -> None:
        """Refuse, before any work, what the hub would refuse after it.

        Raises:
            InputError: `public` is set, but `push_to_hub` is not; the id is of another form; or nobody is logged in.
        """
        if self.public and not self.push_to_hub:
            raise InputError("public says how to upload, but push_to_hub is not given: give --push_to_hub ID")
        if not self.push_to_hub:
            return
        from huggingface_hub import get_token  # only here, as `--help` answers at once
        from huggingface_hub.utils import HFValidationError, validate_repo_id

        try:
            validate_repo_id(self.push_to_hub)
            valid = self.push_to_hub.count("/") == 1
        except HFValidationError:
            valid = False
        if not valid:
            raise InputError(f"push_to_hub is '{self.push_to_hub}', expected OWNER/NAME of letters, digits, '-', '_' and '.'")
        if get_token() is None:
            raise InputError("push_to_hub: nobody is logged in: hf auth login, or set HF_TOKEN, then give the command again")


@dataclass
class ModelHubSettings(HubSettings):
    """The same for models, and what their cards say of their terms."""

    license: str | None = setting(
        None,
        "Licence for the card, by its id on the hub (apache-2.0, mit); default: that of the teacher's card.",
        "Output",
    )
    language: list[str] = setting(
        [], "Languages for the card: en, de; default: those of the teacher's card.", "Output", commas="always"
    )

    def check_upload(self) -> None:
        """Refuse what `HubSettings.check_upload` refuses, and terms that the hub does not know.

        Raises:
            InputError: See there; or a value is no id of the hub.
        """
        super().check_upload()
        if self.license and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]{1,60}", self.license):
            raise InputError(f"license is '{self.license}', expected an id of the hub such as apache-2.0, mit or other")
        for language in self.language:
            if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*|code|multilingual", language):
                raise InputError(f"language names '{language}', expected codes such as en or de")


def check(settings: Any) -> None:
    """Check the ranges, choices and required values of a dataclass whose fields were declared by `setting`.

    Raises:
        InputError: A value is missing or out of its range. The message begins with the name of the setting.
    """
    for item in dataclasses.fields(settings):
        about, value = item.metadata, getattr(settings, item.name)
        if about["required"] and not value:
            raise InputError(f"{_shown_name(item)} is missing: {about['required']}")
        for part in value if isinstance(value, list) else [value]:
            if about["choices"] and part not in about["choices"]:
                hint = did_you_mean(str(part), about["choices"])
                found = f"names '{part}', expected some of" if is_list(item) else f"is '{part}', expected one of"
                raise InputError(f"{item.name} {found}: {', '.join(about['choices'])}.{hint}")
            _check_range(item, part)


def _check_range(item: dataclasses.Field, value: Any) -> None:
    about, kind = item.metadata, _kind(item)
    bounds = {name: about[name] for name in ("low", "above", "high", "below") if about[name] is not None}
    if kind not in (int, float) or value is None:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    whole = number and float(value).is_integer() if kind is int else number
    fits = whole and math.isfinite(value)
    fits = fits and not ("low" in bounds and value < bounds["low"]) and not ("above" in bounds and value <= bounds["above"])
    fits = fits and not ("high" in bounds and value > bounds["high"]) and not ("below" in bounds and value >= bounds["below"])
    if not fits:
        raise InputError(f"{item.name} is {value!r}, expected {_expected(kind, bounds)}")


def _expected(kind: type, bounds: dict[str, float]) -> str:
    """Return words such as `a whole number >= 1 and <= 8`."""
    signs = {"low": ">=", "above": ">", "high": "<=", "below": "<"}
    # Six digits are enough for most bounds, but not for 2**32 - 1.
    shown = {name: f"{bound:g}" if float(f"{bound:g}") == bound else str(bound) for name, bound in bounds.items()}
    limits = " and ".join(f"{signs[name]} {bound}" for name, bound in shown.items())
    return f"{'a whole number' if kind is int else 'a number'} {limits}".strip()


def _shown_name(item: dataclasses.Field) -> str:
    return (*item.metadata["aliases"], item.name)[0]


def _kind(item: dataclasses.Field) -> Any:
    """Return the type of a field's value, or of its items where it is a list; `None` is left out of a union."""
    kind = item.type
    if get_origin(kind) in (types.UnionType, Union):
        (kind,) = (part for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is list:
        (kind,) = get_args(kind)
    return kind


def is_list(item: dataclasses.Field) -> bool:
    """Return whether a setting is a list."""
    return get_origin(item.type) is list


def is_switch(item: dataclasses.Field) -> bool:
    """Return whether a setting is either on or off."""
    return item.type is bool


def convert(item: dataclasses.Field, value: Any) -> Any:
    """Turn what a user wrote into the type of a setting.

    Args:
        item: The field.
        value: Text from the command line, a value from YAML, or a keyword argument.

    Raises:
        InputError: It is of another type. The message begins with the name of the setting.
    """
    if not is_list(item):
        return _scalar(item, value)
    value = value.tolist() if hasattr(value, "tolist") else value  # numpy, torch, pandas
    items = list(value) if isinstance(value, list | tuple | Iterator) else [value]
    items = _items_in(item, " ".join(items)) if _is_list_in_text(items) else items
    commas = item.metadata["commas"]
    if commas == "always" or (commas == "alone" and len(items) == 1):
        items = [part.strip() for text in items for part in text.split(",")] if _all_text(items) else items
    return [_scalar(item, part) for part in items if not isinstance(part, str) or part]


def _is_list_in_text(items: list[Any]) -> bool:
    """Return whether items are one list that was given as text, which a shell may have cut at its spaces."""
    if not items or not _all_text(items):
        return False
    first, last = items[0].strip(), items[-1].strip()
    one = len(items) == 1 or ("]" not in first and "[" not in last)
    return one and first.startswith("[") and last.endswith("]")


def _items_in(item: dataclasses.Field, text: str) -> list[Any]:
    """Return the items of a list as YAML or JSON write it.

    Raises:
        InputError: It is none.
    """
    from distill.common.yaml_text import YamlFault, parse_yaml  # only here, as `--help` answers at once

    try:
        items = parse_yaml(text)
    except YamlFault:
        items = None
    if not isinstance(items, list) or any(isinstance(part, list | dict) for part in items):
        raise InputError(f"{item.name} is {text!r}, expected a list such as [one, two]")
    return items


def _all_text(items: list[Any]) -> bool:
    return all(isinstance(item, str) for item in items)


def _scalar(item: dataclasses.Field, value: Any) -> Any:
    kind = _kind(item)
    value = _plain(item, value)
    try:
        if kind is bool:
            return _switch(value)
        if kind is int:
            return _whole(value)
        if kind is float:
            return _number(value)
        text = _text(value)
        text.encode()
        return small_scheme(_expanded(item, text)) if item.metadata["path"] else text
    except InputError:
        raise
    except UnicodeEncodeError:  # bytes of a name that are no characters; no file could be written that holds it
        raise InputError(f"{item.name} is {value!r}, which is not valid UTF-8: rename it") from None
    except (ValueError, OverflowError):
        names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        remedy = ": put quotes around it" if kind is str and (value is None or isinstance(value, bool)) else ""
        raise InputError(f"{item.name} is {value!r}, expected {names.get(kind, 'text')}{remedy}") from None


def _plain(item: dataclasses.Field, value: Any) -> Any:
    """Return a number of numpy or torch as one of Python; refuse an object, which would be read by how it is printed."""
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    fits = isinstance(value, str | int | float | PurePath | None)
    if not fits and (item.metadata["path"] or not isinstance(value, list | dict)):
        expected = "a name or a path: write it to a file, and name that" if item.metadata["path"] else "text or a number"
        raise InputError(f"{_shown_name(item)} is of type {type(value).__name__}, expected {expected}")
    return value


def small_scheme(text: str) -> str:
    """Return an address with its scheme in small letters, which mean the same (RFC 3986, 3.1); other text unchanged.

    Examples:
        >>> small_scheme("HTTPS://Host/Predict"), small_scheme("Models/Teacher")
        ('https://Host/Predict', 'Models/Teacher')
    """
    return re.sub(r"^([A-Za-z]+\+)?https?://", lambda match: match[0].lower(), text, flags=re.IGNORECASE)


def _expanded(item: dataclasses.Field, path: str) -> str:
    """Return a path with the home for `~` or `$HOME` at its beginning.

    No other variable: a file from elsewhere could name one that holds a secret.

    Raises:
        InputError: Another variable is at its beginning.
    """
    path = re.sub(r"^\$(HOME\b|\{HOME\})", "~", path)
    if path.startswith("$"):
        raise InputError(
            f"{item.name} is '{path}', and of variables only $HOME is known: give the path itself; './{path}' is a name that "
            "begins so"
        )
    return os.path.expanduser(path)


def _switch(value: Any) -> bool:
    text = str(value).lower()
    if text not in (*TRUE, *FALSE):
        raise ValueError
    return text in TRUE


def _whole(value: Any) -> int:
    number = _number(value)
    if not number.is_integer():
        raise ValueError
    if isinstance(value, str) and WHOLE.fullmatch(value.strip()):
        return int(value.replace(",", ""))  # a float has no room for more than 16 digits
    return int(value) if isinstance(value, int) else int(number)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    if isinstance(value, str) and THOUSANDS.fullmatch(value.strip()):
        value = value.replace(",", "").replace("_", "")
    return float(value)


def _text(value: Any) -> str:
    """Return text as it is, a mapping as JSON and a number as it was written; YAML's true and false were words once."""
    if isinstance(value, bool) or value is None:
        raise ValueError
    if isinstance(value, dict | list):
        from distill.common.yaml_text import json_for_yaml  # as above

        return json_for_yaml(value)
    return str(getattr(value, "written", value))
