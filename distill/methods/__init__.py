"""Published methods that follow the teacher's gradients: AS-DFD, zero-shot distillation and DFKD-T3; `table.py` lists them.

May import `distill.common`, `distill.teachers` and the modules of `distill` itself.
"""
