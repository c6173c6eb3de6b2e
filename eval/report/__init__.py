"""Pages as single HTML files: the report of a run, and the charts and styles that all pages share.

May import `distill`.
"""
