"""The embedded toy world: an offline stand-in for a private task, a general corpus, and models trained on them.

`world` holds the data, `models` the teacher and the writer. Nothing here needs a download.
"""
