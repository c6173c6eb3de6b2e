"""What students are made of: configurations of transformers' families, and static students.

May import `common` and `checkpoints`.
"""
