"""`prompter distill` and `prompter evaluate`: train students from prompters, datasets, texts or methods, and measure them.

May import every room but `commands` and `bench`, and `eval` and `distill`.
"""
