"""The verbs of the command line, one file each: settings from flags, one call of the library, a table at the end.

May import every other room, `eval` and `distill`, but heavy libraries only inside functions, so that `--help` answers at once.
"""
