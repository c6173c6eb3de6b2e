"""Measuring classifiers: opening a teacher, metrics and their intervals, size and speed, and where two models differ.

May import the rooms `kinds` and `metrics` in this one, `eval.data`, `eval.toy` and `distill`.
"""
