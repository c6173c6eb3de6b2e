"""`prompter evaluate-data`: how varied and balanced a corpus is, and how close to real text.

May import `eval.classifiers`, `eval.data`, `eval.report`, `eval.toy` and `distill`.
"""
