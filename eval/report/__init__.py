"""Pages as one HTML file each: the report of a run, and the charts and styles that all pages share.

May import `distill`.
"""
