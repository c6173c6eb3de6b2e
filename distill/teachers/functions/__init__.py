"""What a Python function or object of the user answers, and how it is read.

May import `common`, `kinds` and `teachers`.
"""
