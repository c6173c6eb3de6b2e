"""A saved rewriter of the method t3: it turns sentences of a corpus into texts.

`prompter export` uses it in place of a prompter. Labels and marks of the rows are the same in both cases.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.common.errors import InputError
from distill.common.files import read_json
from distill.kinds.names import OF_PAIRS
from distill.methods.corpus import rows_at
from distill.methods.rewriter import REWRITER_MANIFEST, Rewriter
from distill.teachers.names import check_stored_name
from eval.data.sentences import read_sentences
from eval.toy import located
from prompter.saved.manifest import PROMPTER_MANIFEST, check_labels, check_models, find_prompter, read_prompter_manifest
from prompter.saved.prompter import PromptedTexts, announce_models

REWRITER_FOLDER = "rewriter"
"""Folder of the rewriter in the folder of a student."""

REQUIRED_REWRITER_KEYS: dict[str, type] = {"base": str, "teacher": str, "labels": list, "corpus": str}


def find_rewriter(path: str | Path) -> Path | None:
    """Return the folder of a rewriter, given that folder or the folder of its student; None if there is none."""
    given = Path(path).expanduser()
    return next((folder for folder in (given, given / REWRITER_FOLDER) if (folder / REWRITER_MANIFEST).is_file()), None)


def find_source(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a prompter or a rewriter, and its manifest.

    The manifest of a rewriter gets the keys of a prompter's manifest, and `rewriter`: True.

    Raises:
        InputError: The path holds neither, or the manifest is damaged.
    """
    folder = find_rewriter(path)
    if folder is None:
        folder = find_prompter(path)
        return folder, read_prompter_manifest(folder)
    manifest = read_json(folder / REWRITER_MANIFEST)
    for key, kind in REQUIRED_REWRITER_KEYS.items():
        if not isinstance(manifest, dict) or not isinstance(manifest.get(key), kind):
            raise InputError(f"{folder / REWRITER_MANIFEST}: '{key}' is missing or damaged: copy the folder again")
    for key in ("base", "teacher", "corpus"):
        check_stored_name(manifest[key], folder / REWRITER_MANIFEST, key)
    check_labels(manifest, folder / REWRITER_MANIFEST)
    name = folder.resolve().parent.name if folder.name == REWRITER_FOLDER else folder.resolve().name
    return folder, manifest | {"rewriter": True, "name": name, "writer": manifest["base"], "writer_settings": {}}


def manifest_file(folder: Path) -> Path:
    """Return the manifest of a prompter or a rewriter."""
    rewriter = folder / REWRITER_MANIFEST
    return rewriter if rewriter.is_file() else folder / PROMPTER_MANIFEST


class SavedRewriter:
    """Rewrites sentences of a corpus in batches.

    Args:
        folder: Folder of the rewriter.
        manifest: Its manifest, from `find_source`.
        corpus: Sentences to rewrite; see `eval.data.sentences`. None means the corpus of the training.
        base: Folder or hub id of the model that was tuned. Needed if the model has moved.
        device: auto, cpu, cuda or cuda:N.
        batch_size: Most texts of a batch.

    Raises:
        InputError: A file or model is missing or damaged, or the corpus holds no sentence.
    """

    def __init__(
        self, folder: Path, manifest: dict[str, Any], corpus: str | None, base: str | None, device: str, batch_size: int
    ) -> None:
        self.manifest, self.batch_size = manifest, batch_size
        self.labels: list[str] = manifest["labels"]
        announce_models(folder, manifest, {"base": base})
        check_models(folder, manifest, {"base": base})
        self.corpus = read_sentences(corpus or manifest["corpus"])
        self.rewriter = Rewriter.load(folder, located(base or manifest["base"], "rewriter"), device)

    def write(self, targets: Tensor, seed: int, counter: int) -> PromptedTexts:
        """Rewrite one sentence for each target class. A rewriter cannot aim at a class, so only their number matters.

        Args:
            targets: (N,) class indices, N at most `batch_size`.
            seed: Seed of all random numbers.
            counter: Number of the batch. The same arguments give the same texts.

        Returns:
            The rewritten texts, each with its sentence as the topic and -1 as the target class. For a teacher of pairs the
            sentence is the first text too.
        """
        rows = rows_at(len(self.corpus), counter * self.batch_size, len(targets), seed, "corpus pass")
        sources = [self.corpus[row] for row in rows]
        written = self.rewriter.write(sources, counter, seed, "saved rewriter")
        texts = [" ".join(text.split()) for text in written.texts]
        nothing = torch.full((len(texts),), -1)
        if self.manifest.get("kind") in OF_PAIRS:  # the rewriting is the second text of its sentence
            return PromptedTexts(sources, sources, nothing, written.logprob_mean, texts)
        return PromptedTexts(texts, sources, nothing, written.logprob_mean)
