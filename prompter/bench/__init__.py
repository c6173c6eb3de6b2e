"""`prompter bench`: methods x tasks x budgets x students x seeds, at equal cost, from one file.

May import every room but `commands`, and `eval` and `distill`.
"""
