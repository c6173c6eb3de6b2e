"""The kinds of classifiers: what an answer is, how it is learnt from, and how two answers compare.

One object per kind, and no branches elsewhere.
"""
