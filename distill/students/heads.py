"""The head of a student that was not trained on its teacher yet."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from distill.common.errors import InputError
from distill.common.precision import output_layer


@torch.no_grad()
def begin_at(model: PreTrainedModel, start: float) -> None:
    """Let a model of random weights answer about `start` to any text: the bias of its last layer is set to it.

    A student of scores from 1 to 5 that begins at 0 spends its first hundreds of updates on the way to 3. Ours. A head without
    a bias stays as it is.
    """
    layer = output_layer(model)
    if start and layer is not None and layer.bias is not None:
        layer.bias.fill_(start)


@torch.no_grad()
def put_in_order(model: PreTrainedModel, own: Sequence[str], labels: Sequence[str], spec: str) -> None:
    """Put the outputs of a trained head into the order of `labels`, where it has the same classes in another order.

    Classes are the same whose names differ in capitals alone, unless a model has two of them.

    Args:
        model: The student.
        own: Its K classes, in the order of its outputs.
        labels: The K classes of the teacher.
        spec: What the user calls the student.

    Raises:
        InputError: The head does not end with a plain layer, so its outputs cannot be moved.
    """
    names, wanted = list(own), list(labels)
    if set(names) != set(wanted):
        names, wanted = [name.casefold() for name in own], [label.casefold() for label in labels]
    place = {name: index for index, name in enumerate(names)}
    if len(place) < len(names) or place.keys() != set(wanted) or names == wanted:
        return
    layer = output_layer(model)
    if layer is None:
        raise InputError(
            f"student: {spec} has the teacher's classes in another order, {list(own)}, and a head whose outputs cannot be "
            "moved; use a student without a head."
        )
    order = [place[label] for label in wanted]
    for values in (layer.weight, layer.bias):
        if values is not None:
            values.copy_(values[order])
