"""`prompter train`: rollouts and student updates in turn within a budget of teacher queries, and the baselines.

May import the rooms `rl`, `pairs`, `generation`, `saved`, `exporting`, `deploying` and `runtime`, and `eval` and `distill`.
"""
