"""Classifiers measured: opening a teacher, metrics, their intervals, size and speed, and where two models differ.

May import `eval.data`, `eval.toy` and `distill`.
"""
