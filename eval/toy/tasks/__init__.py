"""The toy tasks of the kinds `pair`, `multi_label`, `score` and `tokens`: private rows and their teachers.

`table` lists them. Each task is one module that draws a row. Their texts are reviews, of which the general corpus has some.
May import `eval.toy` and `distill`.
"""
