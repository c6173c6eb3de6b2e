"""What all packages share and what knows nothing of distillation: errors, files, the hub, precision, seeds, tokenising.

May import nothing of ours.
"""
