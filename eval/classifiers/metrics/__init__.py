"""The metrics of classifiers, as `evaluate.Metric` classes; `table` says which kind of classifier has which.

They are instantiated directly and never loaded by name: `evaluate.load("f1")` would fetch code from the hub, and a
measurement must work offline. The arithmetic is that of scikit-learn, scipy and seqeval. Each metric keeps its rows in memory.
It therefore leaves no cache file behind, needs no writable home folder, and any number of processes can measure at once.

May import `eval.data` and `distill`.
"""
