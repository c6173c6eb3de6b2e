"""From columns to labels, for kinds of tasks whose label is no single class: sets of labels, scores, and tags of words.

May import `eval.data` and `distill`.
"""
