"""`prompter export-student`: a student leaves PyTorch, is checked against it, and timed beside it.

May import `runtime`, `eval` and `distill`.
"""
