"""What lies in the folder of a model, read as data: its configuration, its weights, its LoRA adapter.

`distill.common.hub` is the door to it. May import `distill.common`.
"""
