"""The comparison bench: methods x tasks x budgets x students x seeds, at equal cost, from one file.

It alone among the parts of `eval` imports `prompter`: it runs what `prompter train` runs.
"""
