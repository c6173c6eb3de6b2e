"""Several processes that work on one run: how they find each other, and what they exchange.

May import `common`, `kinds`, `teachers` and `teachers/services`.
"""
