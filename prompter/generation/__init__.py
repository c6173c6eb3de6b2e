"""The two language models: the policy writes topics, and the frozen writer continues them into texts.

May import `decoding`, `editing` and `runtime`, `eval.toy` (for names of the embedded toy world) and `distill`.
"""
