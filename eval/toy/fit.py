"""The shared parts of training the toy models: the encoder, batches, the optimizer loop with its progress bar, and saving."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from transformers import BertConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from distill.common.terminal import open_terminal


def encoder_config(
    tokenizer: PreTrainedTokenizerFast, layers: int, hidden: int, heads: int, max_length: int, **more: Any
) -> BertConfig:
    """Return the configuration of a BERT-style encoder without dropout, with the fields `more` besides."""
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        max_position_embeddings=max_length,
        hidden_dropout_prob=0.0,  # teachers hide words, and other texts are seen once: nothing overfits
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
        **more,
    )


def fit(model: PreTrainedModel, losses: Iterator[Tensor], steps: int, rate: float, name: str, quiet: bool) -> None:
    """Take one AdamW step for each of `steps` losses.

    The learning rate rises to `rate` over the first tenth of the steps and then falls to zero along a cosine. A progress
    bar on stderr shows step and loss, unless `quiet`.
    """
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
        lr=rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    schedule = transformers.get_cosine_schedule_with_warmup(optimizer, max(1, steps // 10), steps)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    model.train()
    with Progress(*columns, console=open_terminal(work_goes_on=True, stderr=True), disable=quiet) as progress:
        bar = progress.add_task(f"training the {name}", total=steps, loss=float("nan"))
        for loss in losses:
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            progress.update(bar, advance=1, loss=loss.item())
    model.eval()


def length_sorted_batches(lengths: Tensor, batch_size: int, random: torch.Generator) -> list[Tensor]:
    """Split the rows, in random order, into batches of similar length (sorted within pools of 16 batches)."""
    batches: list[Tensor] = []
    for pool in torch.randperm(len(lengths), generator=random).split(16 * batch_size):
        batches += pool[lengths[pool].argsort(stable=True)].split(batch_size)
    return [batches[index] for index in torch.randperm(len(batches), generator=random).tolist()]


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save model and tokenizer as an ordinary Hugging Face folder."""
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # a small file needs no bar
    try:
        model.to("cpu").save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    finally:
        if bars:
            logging.enable_progress_bar()
