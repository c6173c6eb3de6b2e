"""`prompter compress`: a teacher in, a plan, a pilot, a small model that can be deployed out.

Nothing is done here twice: the plan is carried out by the functions behind `train`, `distill` and `export-student`. May import
`students`, `training`, `deploying`, `editing`, `saved`, `generation`, `rl`, `printing`, `runtime`, `eval` and `distill`.
"""
