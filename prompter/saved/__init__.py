"""Saved prompters and rewriters: their folders, the model card, and `Prompter`, which loads a folder and writes texts.

May import `generation`, `runtime` and the settings of `training`, and `eval` and `distill`.
"""
