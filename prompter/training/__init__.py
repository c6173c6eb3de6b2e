"""`prompter train`: rounds of rollouts and student updates within a budget of teacher queries, and the baselines beside them.

May import the rooms `rl`, `generation`, `saved`, `exporting` and `runtime`, and `eval` and `distill`.
"""
