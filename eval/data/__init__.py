"""Reading what users bring: labelled data, texts, corpora and task files.

May import `eval.toy` and `distill`.
"""
