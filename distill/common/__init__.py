"""What all packages share: settings, errors, files, the hub, number formats, seeds and tokens; nothing about distillation.

May import nothing of ours but `checkpoints` (`hub` alone does).
"""
