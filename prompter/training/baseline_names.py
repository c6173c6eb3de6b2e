"""The baselines: other texts that the same student can learn from, at the same cost."""

BASELINES = (
    *("unprompted", "unprompted-hot", "class-prompts", "screened-class-prompts", "class-names"),
    *("random-topics", "selected-topics"),
    *("random-words", "corpus", "real", "supervised"),
)
"""What a prompted student can be compared with; `prompter.training.baseline_texts` says what each one is."""

BASELINE_SOURCES = {"random-words": "corpus", "corpus": "corpus", "real": "real_data", "supervised": "real_data"}
"""The setting that a baseline needs."""
