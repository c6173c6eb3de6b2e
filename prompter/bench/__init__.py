"""`prompter bench`: compare methods over tasks, budgets, students and seeds at equal cost, from one file.

May import every room but `commands`, and `eval` and `distill`.
"""
