"""Measuring: metrics, scoring of students and corpora, reports, and the embedded toy tasks of `eval.toy`."""
