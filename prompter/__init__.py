"""Distil a text classifier when its training data is gone.

    from prompter import Cascade, Prompter, compress, distill, evaluate, export, export_student, label, train

The functions do what the verbs of the command line do; their keyword arguments have the names of the flags.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prompter.api import compress, distill, evaluate, export, export_student, label, train
    from prompter.deploying.cascade import Cascade
    from prompter.saved.prompter import Prompter

__version__ = "0.1.0"
__all__ = ["Cascade", "Prompter", "compress", "distill", "evaluate", "export", "export_student", "label", "train"]


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: it brings torch and transformers with it."""
    from prompter.importing import quick_imports

    if name == "Prompter":
        with quick_imports():
            from prompter.saved.prompter import Prompter
        return Prompter
    if name == "Cascade":
        with quick_imports():
            from prompter.deploying.cascade import Cascade
        return Cascade
    if name in __all__:
        from prompter import api

        return getattr(api, name)
    raise AttributeError(f"module 'prompter' has no attribute {name!r}")
