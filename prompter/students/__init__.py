"""`prompter distill` and `prompter evaluate`: train students from prompters, datasets, texts or methods, and measure them.

May import `training`, `exporting`, `deploying`, `saved`, `generation` and `runtime`, and `eval` and `distill`.
"""
