"""`prompter export`: labelled synthetic data sets, written in shards, marked row by row, and described by a card.

May import `saved`, `generation` and `runtime`, and `eval` and `distill`.
"""
