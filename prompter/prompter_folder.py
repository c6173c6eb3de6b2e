"""A saved prompter: adapter, tokenizer and `prompter.json`; with the base model, all one needs to write topics again."""

from importlib.metadata import version
from pathlib import Path

from distill.files import replace_folder, write_json
from prompter.config import Settings
from prompter.policy import TopicPolicy

SCHEMA_VERSION = 1
MANIFEST = "prompter.json"


def save_prompter(path: Path, settings: Settings, policy: TopicPolicy, queries: int, teacher: str) -> None:
    """Write the prompter's folder.

    Args:
        path: The folder; replaced as a whole if it holds a prompter.
        settings: All settings of the run.
        policy: The tuned policy.
        queries: Teacher queries it was trained with.
        teacher: Name of the teacher.

    Raises:
        InputError: The folder cannot be written, or holds something else.
    """
    run = settings.run
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "base": settings.policy.policy or run.generator,
        "writer": run.generator,
        "adapter": policy.lora is not None,
        "teacher": teacher,
        "labels": policy.labels,
        "controls": policy.controls,
        "policy": vars(settings.policy),
        "writer_settings": vars(settings.writer),
        "reward": vars(settings.reward),
        "teacher_queries": queries,
        "versions": {name: version(name) for name in ("prompter", "torch", "transformers", "trl", "peft")},
    }
    with replace_folder(path, MANIFEST) as folder:
        policy.model.save_pretrained(folder)
        policy.tokenizer.save_pretrained(folder)
        write_json(folder / MANIFEST, manifest)
