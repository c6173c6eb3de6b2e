"""Reading what users bring: labelled data, texts, corpora and task files.

May import the room `targets` in this one, `eval.toy` and `distill`.
"""
