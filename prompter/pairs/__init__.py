"""Pairs of texts for teachers that read two: what the policy is asked for, and how the second text is written.

May import `generation`, `editing` and `decoding`, and `eval` and `distill`.
"""
