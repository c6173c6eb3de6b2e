"""Published methods that follow the teacher's gradients: AS-DFD, zero-shot distillation and DFKD-T3; `table.py` lists them.

May import `common`, `checkpoints`, `kinds`, `teachers` and the modules of `distill` itself.
"""
