"""Teachers: anything that answers texts with class probabilities; and the cache of their answers.

May import `common`, `checkpoints`, `kinds`, `portable`, and the rooms `functions` and `services` in this one.
"""
