"""Which modules of a language model get LoRA adapters."""

from torch import nn
from transformers import Conv1D, PreTrainedModel


def adapted_modules(model: PreTrainedModel, share: float) -> str | list[str]:
    """Return what PEFT calls `target_modules`: the linear maps in the upper layers, or in all of them.

    Layers below the lowest adapter need no backward pass, and nothing of theirs is kept for one.

    Args:
        model: A causal LM.
        share: Share of its layers, counted from the top, in (0, 1]; at least one layer. All of them where the model's layers
            are not in one list.
    """
    count = getattr(model.config, "num_hidden_layers", None)
    stack = next(
        (name for name, part in model.named_modules() if isinstance(part, nn.ModuleList) and len(part) == count), None
    )
    if share >= 1 or count is None or stack is None:
        return "all-linear"
    lowest = count - max(1, round(share * count))
    layers = model.get_submodule(stack)
    return sorted(
        f"{stack}.{index}.{name}"
        for index in range(lowest, count)
        for name, part in layers[index].named_modules()  # type: ignore[index]
        if isinstance(part, nn.Linear | Conv1D)
    )
