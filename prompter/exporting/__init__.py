"""`prompter export`: labelled synthetic datasets in Parquet shards, with a mark on every row and a card.

May import `saved`, `cluster`, `generation` and `runtime`, and `eval` and `distill`.
"""
