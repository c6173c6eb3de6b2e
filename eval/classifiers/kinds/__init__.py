"""How each kind of classifier is measured: what its answers decide, and how two classifiers compare. One object per kind.

May import `eval.classifiers.metrics`, `eval.classifiers`, `eval.data` and `distill`.
"""
