"""Which batch an export writes next, from its settings and how far it is."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from prompter.exporting.config import ExportConfig
from prompter.exporting.folder import ExportProgress


def quotas(rows: int, classes: int) -> list[int]:
    """Return the rows of each class in a balanced dataset. The first classes take the remainder.

    Examples:
        >>> quotas(8, 3)
        [3, 3, 2]
    """
    return [rows // classes + (index < rows % classes) for index in range(classes)]


def unfinished(config: ExportConfig, progress: ExportProgress) -> bool:
    """Return whether rows are missing and the export has tries left."""
    most = config.max_tries * max(config.rows, config.batch_size)
    return progress.kept < config.rows and progress.rows < most and progress.idle < config.max_tries


def next_targets(config: ExportConfig, progress: ExportProgress) -> Tensor:
    """Return the target classes of the next batch, (N,) int64.

    All classes take turns; with `balance`, only those that still need rows. The size is the number of texts that will
    probably be needed, at most a batch. It doubles after each batch without a kept row.
    """
    classes = _open_classes(config, progress)
    first = progress.rows
    return torch.tensor([classes[number % len(classes)] for number in range(first, first + _size(config, progress))])


def certain_targets(config: ExportConfig, progress: ExportProgress) -> Iterator[tuple[Tensor, bool]]:
    """Yield the target classes of the next batches, as far as their sizes are certain, and whether the classes are, too.

    The size depends on how many rows of the batches before are kept. It is certain where it is the same whether they all are
    or none is, because it only grows with what is missing. The classes are certain where no class can be full by then.
    """
    rows = batches = 0  # in the batches that are yielded
    while True:
        best = replace(progress, rows=progress.rows + rows, kept=progress.kept + rows, idle=0 if rows else progress.idle)
        worst = replace(progress, rows=progress.rows + rows, idle=progress.idle + batches)
        if not unfinished(config, best) or not unfinished(config, worst) or _size(config, best) != _size(config, worst):
            return
        full = quotas(config.rows, len(progress.kept_of))
        may_fill = any(progress.kept_of[index] + rows >= full[index] for index in _open_classes(config, progress))
        targets = next_targets(config, worst)
        yield targets, not (config.balance and may_fill)
        rows, batches = rows + len(targets), batches + 1


def _open_classes(config: ExportConfig, progress: ExportProgress) -> list[int]:
    full = quotas(config.rows, len(progress.kept_of))
    return [index for index, kept in enumerate(progress.kept_of) if not config.balance or kept < full[index]]


def _size(config: ExportConfig, progress: ExportProgress) -> int:
    needed = (config.rows - progress.kept) * (progress.rows + 1) // (progress.kept + 1) + 1
    return min(config.batch_size, needed << min(progress.idle, 20))
