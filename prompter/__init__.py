"""The topic prompter."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prompter.saved.prompter import Prompter

__version__ = "0.1.0"
__all__ = ["Prompter"]


def __getattr__(name: str) -> Any:
    """Import `Prompter` when it is asked for: it brings torch and transformers with it."""
    if name == "Prompter":
        from prompter.saved.prompter import Prompter

        return Prompter
    raise AttributeError(f"module 'prompter' has no attribute {name!r}")
