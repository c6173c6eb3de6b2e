"""Work on many machines: workers of Ray that each hold one set of models, and have answers ready before they are needed.

May import `distill`, `prompter.exporting` and what that may.
"""
