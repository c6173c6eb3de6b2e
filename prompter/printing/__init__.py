"""The tables that a verb ends with, printed from its result alone.

May import no other room, and heavy libraries only inside functions.
"""
