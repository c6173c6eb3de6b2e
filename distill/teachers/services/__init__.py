"""Teachers behind HTTP: classifiers in the formats of four servers, and language models that choose a label.

May import `distill.common`, `distill.checkpoints`, `distill.teachers` and `distill.teachers.functions`.
"""
