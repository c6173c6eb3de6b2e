"""The reinforcement learning: from topics to texts, scores and rewards, and PPO on TRL's trainer.

May import `generation` and `runtime`, and `distill`.
"""
