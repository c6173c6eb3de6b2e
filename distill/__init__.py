"""Knowledge distillation: a large text classifier (the teacher) teaches a small one (the student).

The package knows nothing of where texts come from. It consumes `SyntheticBatch`es (`batch.py`) from any iterator,
keeps them in a replay (`replay.py`) and fits the student to the teacher's answers on them (`loop.py`). A reading
order: `batch.py`, `teacher.py`, `student.py`, `losses.py`, `replay.py`, `loop.py`; `encode.py` is how both models
read text fast, and `seeding.py` is why a stopped run continues bit for bit.

Only the light pieces are imported here; `import distill` costs nothing.
"""

from distill.common.errors import InputError

__all__ = ["InputError"]
