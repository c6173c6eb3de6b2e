"""Three published methods that follow the teacher's gradients: AS-DFD, zero-shot distillation, DFKD-T3.

May import `distill.common`, `distill.teachers` and the modules of `distill` itself.
"""
