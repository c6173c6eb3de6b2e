"""The language models: the policy that writes topics, and the frozen writer that continues them into texts.

May import `eval.toy` (for the names of the embedded world) and `distill`.
"""
