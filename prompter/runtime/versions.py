"""Names and versions of the libraries that decide a result."""

LIBRARIES = ("prompter", "torch", "transformers", "trl", "peft", "datasets", "evaluate", "accelerate")
"""Packages whose versions a summary names."""
