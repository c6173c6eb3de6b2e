"""Knowledge distillation: a large text classifier (the teacher) trains a small one (the student).

The package consumes batches of texts with the teacher's answers, whatever made the texts. It keeps them in a replay and fits
the student to the answers. Read in this order: `batch.py`, `teachers/base.py`, `student.py`, `losses.py`, `replay.py`,
`distiller.py`. `common/encode.py` shows how both models read texts fast, and `common/seeding.py` why a stopped run continues
bit for bit.

May import nothing of ours. Imports inside go from `common` to `teachers`, this folder and `methods`, by the rules of
tests/test_architecture.py. `import distill` itself loads nothing heavy.
"""

from distill.common.errors import InputError

__all__ = ["InputError"]
