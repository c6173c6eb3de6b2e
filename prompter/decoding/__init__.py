"""The decoding loop: how a causal language model continues prompts, fast.

May import `distill`.
"""
