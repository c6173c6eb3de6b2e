"""The folder of a saved prompter: adapter, tokenizer and `prompter.json`.

With the base model, the folder is all that is needed to write topics again. `prompter.json` names models as the user named
them (`toy`, a hub id with its commit, a folder) and not by their place in a cache, so the folder can be copied to another
machine.
"""

import dataclasses
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from distill.checkpoints.checksums import CHECKSUMS, check_folder, sample_of_weights, seal
from distill.checkpoints.tokenizer_files import save_tokenizer
from distill.common.errors import InputError
from distill.common.files import read_json, replace_folder, write_json
from distill.common.terminal import one_line
from distill.kinds.found import kind_in, written
from distill.kinds.kind import Kind
from distill.kinds.labels import MULTI_LABEL
from distill.teachers.found import remember
from distill.teachers.names import LANGUAGE_MODELS, check_stored_name, teacher_name
from distill.teachers.services.label_words import template
from prompter.decoding.contexts import unwrapped
from prompter.generation.config import TRANSFORMERS, PolicyConfig
from prompter.generation.opening import AnyWriter
from prompter.generation.outside.outside_writer import OutsideWriter
from prompter.generation.policy import TopicPolicy
from prompter.runtime.console import LOGGER
from prompter.runtime.versions import library_versions
from prompter.saved.hub import fetch_prompter, is_hub_id

if TYPE_CHECKING:
    from prompter.training.settings import Settings

SCHEMA_VERSION = 1
PROMPTER_MANIFEST = "prompter.json"

REQUIRED_PROMPTER_KEYS: dict[str, type] = {
    "base": str,
    "writer": str,
    "adapter": bool,
    "teacher": str,
    "labels": list,
    "policy": dict,
    "writer_settings": dict,
}
"""Keys of `prompter.json` that loading needs, with their types. All other keys are information."""

SUMMARISED_METRICS = ("reward", "confidence", "wanted_share", "agreement", "distinct_topics")
"""Columns of `metrics.jsonl` that the training summary holds, beside the terms of the reward."""


def save_prompter(
    path: Path,
    settings: "Settings",
    policy: TopicPolicy,
    writer: AnyWriter,
    named: Mapping[str, Any],
    training: Mapping[str, Any],
    kind: Kind,
    weights: Mapping[str, str],
) -> None:
    """Write the folder of a prompter.

    Args:
        path: The folder. A prompter in it is replaced as a whole.
        settings: All settings of the run.
        policy: The tuned policy.
        writer: The frozen writer that the policy was tuned with.
        named: All settings by name, with models as the user named them.
        training: Numbers about the training; see `training_summary`.
        kind: The teacher's kind.
        weights: What tells the weights of the models `generator` and `policy` from others, by setting.

    Raises:
        InputError: The folder cannot be written, or holds something else.
    """
    base = unwrapped(policy.model)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "name": Path(settings.run.output_dir).resolve().name,
        "base": named["policy"] or named["generator"],
        "base_revision": _revision(base),
        "base_parameters": count_base_parameters(base),
        "writer": named["generator"],
        "writer_revision": None if isinstance(writer, OutsideWriter) else _revision(unwrapped(writer.model)),
        **({} if settings.run.writer == TRANSFORMERS else {"written_by": named["writer"]}),
        "adapter": policy.has_adapters,
        **_noted_weights(named, weights),
        "teacher": named["teacher"],
        "teacher_labels": list(settings.run.teacher_labels),
        **_asked(settings),
        **written(kind),
        "labels": policy.labels,
        "controls": policy.prompts.texts,
        "policy": {field.name: named[field.name] for field in dataclasses.fields(PolicyConfig)},
        "writer_settings": dataclasses.asdict(settings.writer),
        "reward": dataclasses.asdict(settings.reward),
        "seed": settings.run.seed,
        "training": dict(training),
        "versions": library_versions(("prompter", "torch", "transformers", "trl", "peft")),
    }
    with replace_folder(path, PROMPTER_MANIFEST) as folder:
        policy.model.save_pretrained(folder)
        save_tokenizer(policy.tokenizer, folder)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty card; the run writes ours at its end
        if policy.has_adapters:  # PEFT stores the path of the base on this machine
            adapter = read_json(folder / "adapter_config.json")
            if isinstance(adapter.get("target_modules"), list):  # a set, whose order differs between two equal runs
                adapter["target_modules"].sort()
            write_json(folder / "adapter_config.json", adapter | {"base_model_name_or_path": manifest["base"]})
        write_json(folder / PROMPTER_MANIFEST, manifest)
        seal(folder)
    remember(path / PROMPTER_MANIFEST, manifest["teacher"])


def _noted_weights(named: Mapping[str, Any], weights: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return what is noted of weights: of folders and files of the user's, which may be trained again in their place."""
    settings = {"base": "policy" if named["policy"] else "generator", "writer": "generator"}
    noted = {
        key: weights[name]
        for key, name in settings.items()
        if name in weights and Path(str(named[name])).expanduser().exists()
    }
    return {"weights": noted} if noted else {}


def check_models(folder: Path, manifest: Mapping[str, Any], given: Mapping[str, str | None]) -> None:
    """Compare the models that a prompter needs with what its run noted of their weights, if it did and they are here.

    Args:
        folder: The folder of the prompter.
        manifest: Content of its `prompter.json`.
        given: The models that are needed, `base` and `writer`, with the place that the user named for each, or None. Where
            the user named a base with other weights, a line says so; a writer that the user named may be any model.

    Raises:
        InputError: A model that the folder names has other weights than in the run.
    """
    noted = manifest.get("weights")
    for key, own in given.items():
        place = Path(own or manifest[key]).expanduser()
        if not isinstance(noted, dict) or key not in noted or not place.exists():
            continue
        try:
            sample = sample_of_weights(place)
        except OSError:  # loading says what is wrong
            continue
        if sample in (None, noted[key]):
            continue
        said = f"{key}: {place} has other weights than in the run that made {folder}"
        if not own:
            flag = "--base" if key == "base" else "--generator"
            raise InputError(f"{said}: put the former ones back, or, if these are to be used, name it with {flag} {place}")
        if key == "base":
            LOGGER.warning("%s", one_line(f"{said}: its adapter was tuned on those."))


def _asked(settings: "Settings") -> dict[str, str]:
    """Return how a language model or an NLI model was asked, for those who ask it again; {} for other teachers."""
    asking = settings.run.asking(settings.policy.task_description)
    language_model = isinstance(settings.run.teacher, str) and settings.run.teacher.startswith(LANGUAGE_MODELS)
    asked = {"teacher_prompt": template(asking) if language_model else "", "teacher_hypothesis": asking.hypothesis}
    return {key: said for key, said in asked.items() if said}


def training_summary(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Summarise the training for `prompter.json`.

    Args:
        metrics: Rows of `metrics.jsonl`.

    Returns:
        `rollouts` and `teacher_queries`. Then `first` and `last`: means over the first and the last tenth of the rollouts
        of the reward, its terms and the other `SUMMARISED_METRICS`. A rollout without a usable answer has none of them and
        does not count; the mean of none is None.
    """
    if not metrics:
        return {"rollouts": 0, "teacher_queries": 0}
    tenth = max(1, len(metrics) // 10)
    names = [name for name in metrics[0] if name in SUMMARISED_METRICS or name.startswith("reward/")]

    def mean(values: list[float]) -> float | None:
        return round(sum(values) / len(values), 4) if values else None

    def means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        return {name: mean(finite(rows, name)) for name in names}

    return {
        "rollouts": len(metrics),
        "teacher_queries": metrics[-1]["queries"],
        "first": means(metrics[:tenth]),
        "last": means(metrics[-tenth:]),
    }


def finite(metrics: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """Return a column of `metrics.jsonl` without the rows that lack it. Earlier versions wrote NaN there."""
    return [row[name] for row in metrics if isinstance(row.get(name), int | float) and math.isfinite(row[name])]


def count_base_parameters(model: nn.Module) -> int:
    """Count the parameters of a model without its adapters."""
    return sum(parameter.numel() for name, parameter in model.named_parameters() if ".lora_" not in name)


def find_prompter(path: str | Path) -> Path:
    """Return the folder of a prompter, given that folder, the folder of its run, or its id on the hub.

    Raises:
        InputError: There is no prompter.
    """
    given = fetch_prompter(str(path)) if is_hub_id(path) else Path(path).expanduser()
    for folder in (given, given / "prompter"):
        if (folder / PROMPTER_MANIFEST).is_file():
            return folder
    if (given / "config.yaml").is_file():
        raise InputError(f"run '{path}' holds no prompter yet: finish it first (prompter train ... --resume)")
    reason = f"has no {PROMPTER_MANIFEST}" if given.is_dir() else "does not exist"
    raise InputError(f"prompter '{path}' {reason}: give the folder of a finished run, or the folder 'prompter' in it")


def read_prompter_manifest(folder: Path) -> dict[str, Any]:
    """Read and check `prompter.json`.

    Raises:
        InputError: The file, or another of the folder, is damaged; or its schema is not the one that this version reads.
    """
    file = folder / PROMPTER_MANIFEST
    manifest = read_json(file)
    check_folder(folder, f"prompter: {folder}")
    if not isinstance(manifest, dict) or "schema_version" not in manifest:
        raise InputError(f"{file}: has no schema_version, so no run wrote it: copy the folder again from the run")
    if manifest["schema_version"] != SCHEMA_VERSION:
        raise InputError(
            f"{file}: schema_version is {manifest['schema_version']!r}, this version of prompter reads {SCHEMA_VERSION}: "
            "install the version that wrote it (see 'versions' in the file), or train again"
        )
    for key, kind in REQUIRED_PROMPTER_KEYS.items():
        if not isinstance(manifest.get(key), kind):
            raise InputError(f"{file}: '{key}' is missing or damaged: copy the folder again from the run")
    for key in ("base", "writer", "teacher"):
        check_stored_name(manifest[key], file, key)
    for key in ("base_revision", "writer_revision"):
        if manifest.get(key) is not None and not re.fullmatch(r"[\w.-]{1,100}", str(manifest[key])):
            raise InputError(f"{file}: '{key}' is no commit: copy the folder again from the run")
    check_labels(manifest, file)
    return manifest


def check_labels(manifest: Mapping[str, Any], file: Path) -> None:
    """Check the names of the classes in the manifest of a prompter or a rewriter.

    Raises:
        InputError: They are too few, or no names.
    """
    labels = manifest["labels"]
    fewest = 1 if kind_in(manifest) == MULTI_LABEL else 2
    if len(labels) < fewest or not all(isinstance(label, str) for label in labels):
        some = "two" if fewest == 2 else "one"
        raise InputError(f"{file}: 'labels' is {labels!r}, expected {some} or more names: copy the folder again from the run")


def say_other_writer(manifest: Mapping[str, Any], backend: str) -> None:
    """Say what wrote while the prompter was trained, where something else writes now."""
    trained = manifest.get("written_by")
    if isinstance(trained, str) and trained != teacher_name(backend):
        said = f"The prompter was trained with texts of {trained[:200]}; now {teacher_name(backend)} writes (--writer)."
        LOGGER.info("%s", one_line(said))


def fingerprint(folder: Path) -> str:
    """Return the SHA-256 of everything that decides what the prompter writes: weights, tokenizer and `prompter.json`.

    Raises:
        InputError: A file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for file in sorted(folder.iterdir()):
            if file.suffix in (".json", ".safetensors") and file.name != CHECKSUMS:
                with file.open("rb") as stream:
                    digest.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error}): copy the folder again") from error
    return digest.hexdigest()


def _revision(model: Any) -> str | None:
    """Return the commit of the hub repository that a model came from, or None for a local folder."""
    return getattr(model.config, "_commit_hash", None)
