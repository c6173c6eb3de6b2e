"""`prompter label`: the teacher's answers to texts of the user's own, as a dataset like that of an export.

May import `eval`, `distill`, `prompter.exporting`, `prompter.saved` and `prompter.runtime`.
"""
