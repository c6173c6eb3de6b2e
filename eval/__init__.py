"""Measuring: data readers, metrics of classifiers and corpora, reports, and the toy tasks. May import `distill`."""
