"""The topic prompter."""

__version__ = "0.1.0"
