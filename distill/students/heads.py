"""The head of an untrained student."""

import torch
from torch import nn
from transformers import PreTrainedModel


@torch.no_grad()
def begin_at(model: PreTrainedModel, start: float) -> None:
    """Let a model of random weights answer about `start` to any text: the bias of its last layer is set to it.

    A student of scores from 1 to 5 that begins at 0 spends its first hundreds of updates on the way to 3. Ours. A head without
    a bias stays as it is.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    if start and layers and layers[-1].bias is not None and layers[-1].out_features == model.config.num_labels:
        layers[-1].bias.fill_(start)
