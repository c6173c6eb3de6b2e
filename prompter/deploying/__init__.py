"""A student at work: converted, checked and timed (`prompter export-student`), calibrated, and in front of its teacher.

May import `saved`, `runtime`, `eval` and `distill`.
"""
