"""Edits that make bad sentences of good ones, for teachers that judge how a text is written.

May import `distill`.
"""
