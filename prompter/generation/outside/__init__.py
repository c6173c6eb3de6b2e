"""Writers, and a policy, whose language model runs outside of this process's PyTorch: on vLLM, or on a server.

May import `generation` and `editing`, `eval.toy` and `distill`.
"""
