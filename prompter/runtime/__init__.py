"""What every command needs around its work: flags, run folders, the terminal, Ctrl-C, trackers, Markdown.

May import no other room; of `distill` and `eval` the common parts only.
"""
