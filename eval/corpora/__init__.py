"""`prompter evaluate-data`: how varied and how balanced a corpus is, and how near to real text.

May import `eval.classifiers`, `eval.data`, `eval.report`, `eval.toy` and `distill`.
"""
