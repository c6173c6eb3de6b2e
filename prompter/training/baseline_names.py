"""The baselines: other texts that the same student can learn from."""

BASELINES = (
    *("unprompted", "unprompted-hot", "class-names", "random-topics", "selected-topics"),
    *("random-words", "corpus", "real", "supervised"),
)
"""What a prompted student can be compared with; see `prompter.training.baseline_texts`."""


SOURCES = {"random-words": "corpus", "corpus": "corpus", "real": "real_data", "supervised": "real_data"}
"""The setting that a control cannot do without."""
