"""What every command needs around its work: settings from flags, run folders, console, Ctrl-C, trackers, Markdown.

May import no other room of `prompter`, and only the common parts of `distill` and `eval`.
"""
