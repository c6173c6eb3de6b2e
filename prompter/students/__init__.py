"""`prompter distill` and `prompter evaluate`: students from prompters, data sets, own text or another method, and their figures.

May import every room but `commands` and `bench`, and `eval` and `distill`.
"""
