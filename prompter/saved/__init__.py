"""Saved prompters and rewriters: what `prompter/` in a run's folder holds, and how it is loaded again.

May import `generation` and `runtime`, and `eval` and `distill`.
"""
