"""A saved rewriter, as the method t3 leaves it, as a source of data sets: sentences of a corpus go in, rewritings come out.

It stands in for a prompter in `prompter export`: what is written is asked of the teacher, marked and kept in the same way.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.common.errors import InputError
from distill.common.files import read_json
from distill.methods.corpus import rows_at
from distill.methods.rewriter import MANIFEST, Rewriter
from eval.data.sentences import read_sentences
from eval.toy import located
from prompter.saved.manifest import find_prompter, read_manifest
from prompter.saved.prompter import PromptedTexts

FOLDER = "rewriter"
"""Where a student's folder holds the rewriter that it was distilled with."""

REQUIRED: dict[str, type] = {"base": str, "teacher": str, "labels": list, "corpus": str}


def find_rewriter(path: str | Path) -> Path | None:
    """The rewriter's folder, given itself or the folder of its student; None where there is none."""
    given = Path(path).expanduser()
    return next((folder for folder in (given, given / FOLDER) if (folder / MANIFEST).is_file()), None)


def find_source(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """The folder of a prompter or a rewriter, and its manifest, that of a rewriter with the keys of a prompter's.

    Raises:
        InputError: There is neither, or the manifest is damaged.
    """
    folder = find_rewriter(path)
    if folder is None:
        folder = find_prompter(path)
        return folder, read_manifest(folder)
    manifest = read_json(folder / MANIFEST)
    for key, kind in REQUIRED.items():
        if not isinstance(manifest, dict) or not isinstance(manifest.get(key), kind):
            raise InputError(f"{folder / MANIFEST}: '{key}' is missing or damaged; copy the folder again")
    name = folder.resolve().parent.name if folder.name == FOLDER else folder.resolve().name
    of_rewriter = {"rewriter": True, "name": name, "writer": manifest["base"], "writer_settings": {}}
    return folder, manifest | of_rewriter


class SavedRewriter:
    """Writes batches of rewritings.

    Args:
        folder: The rewriter's.
        manifest: From `find_source`.
        corpus: What is rewritten: see `eval.data.sentences`; None for what it was trained on.
        base: Folder or hub id of the model that was tuned, where it has moved.
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
        self.corpus = read_sentences(located(corpus or manifest["corpus"], "corpus"))
        self.rewriter = Rewriter.load(folder, located(base or manifest["base"], "rewriter"), device)

    def write(self, targets: Tensor, seed: int, counter: int) -> PromptedTexts:
        """Rewrite as many sentences as classes are asked for, which a rewriter does not heed.

        Args:
            wanted: (N,), N at most `batch_size`.
            seed: Seed of everything drawn.
            counter: Number of the batch: the same arguments give the same texts.

        Returns:
            The rewritings, with the sentence that each was made of as its topic, and -1 as the class wanted.
        """
        rows = rows_at(len(self.corpus), counter * self.batch_size, len(targets), seed, "corpus pass")
        sources = [self.corpus[row] for row in rows]
        written = self.rewriter.write(sources, counter, seed, "saved rewriter")
        texts = [" ".join(text.split()) for text in written.texts]
        return PromptedTexts(texts, sources, torch.full((len(texts),), -1), written.logprob_mean)
