"""Reading what users bring: labelled data, texts, corpora and task files.

May import `eval.toy`, the names in `eval.classifiers.metric_names`, and `distill`.
"""
