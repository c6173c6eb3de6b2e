"""`prompter label`: the teacher's answers to texts of the user's own, as a dataset like that of an export.

May import `exporting`, `cluster`, `saved` and `runtime`, and `eval` and `distill`.
"""
