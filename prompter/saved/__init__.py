"""Saved prompters and rewriters: their folders, the model card, and `Prompter`, which loads a folder and writes texts.

May import `generation`, `pairs`, `decoding` and `runtime`, and `eval` and `distill`.
"""
