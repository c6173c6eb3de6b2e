"""`prompter bench`: compare methods over tasks, budgets, students and seeds at equal cost, from one file.

May import `students`, `training` and `runtime`, and `eval` and `distill`.
"""
