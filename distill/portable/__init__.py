"""Classifiers that answer without PyTorch: ONNX and OpenVINO programs.

May import `common`, `checkpoints`, `kinds` and `teachers` (how answers are counted).
"""
