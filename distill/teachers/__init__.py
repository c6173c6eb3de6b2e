"""Teachers: anything that answers texts with class probabilities; and the cache of their answers.

May import `distill.common`.
"""
