"""Teachers: anything that answers texts with class probabilities, and the cache of what they have answered.

May import `distill.common`.
"""
