"""Teachers behind HTTP: classifiers in the formats of four servers, and language models that choose a label.

May import `common`, `checkpoints`, `kinds`, `teachers` and `teachers/functions`.
"""
