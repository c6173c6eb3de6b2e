"""What a Trainer asks of a whole model at every step, answered without a walk through its modules."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def few_walks(model: nn.Module) -> Iterator[None]:
    """Let `train`, `eval` and `zero_grad` of a model go through lists that are made once, within a block.

    A Trainer calls two of them at every step, and torch then visits all modules: thirty layers with adapters have a thousand.
    That takes Python about as long as the GPU takes for a recorded pass of a small model.

    Args:
        model: A model whose modules, and which of whose parameters are trained, stay as they are within the block.
    """
    modules = list(model.modules())
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def train(mode: bool = True) -> nn.Module:
        for module in modules:
            vars(module)["training"] = mode  # torch's own way looks each time whether it is a parameter or a module
        return model

    def zero_grad(set_to_none: bool = True) -> None:
        for parameter in trained:
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad.detach_().zero_()

    model.train, model.zero_grad = train, zero_grad  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        del model.train, model.zero_grad  # the methods of the class are back
