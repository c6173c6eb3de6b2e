"""Rollouts without training: of a policy that is left as it is (`algorithm: none`), or without one (`writes: nothing`).

The first is the control that shows what learning is worth, the second just asks the language model. Everything else is as in a
run that trains the policy: class prompts, writer, candidate selection, student, budget.
"""

import torch

from prompter.training.callback import RolloutCallback


def untrained_rollouts(callback: RolloutCallback) -> None:
    """Make the rollouts that the budget still holds, or as many as Ctrl-C or the pilot let through, and save checkpoints."""
    run, schedule, policy = callback.settings.run, callback.schedule, callback.rollouts.policy
    targets = torch.arange(len(policy.labels)).repeat_interleave(schedule.group)
    while callback.update < schedule.rollouts:
        number = callback.update
        topics = callback.rollouts.topics(targets, number)
        callback.update += 1
        callback.book(callback.rollouts.score(topics, targets, number))
        callback.write_row({})
        ends = callback.ends()
        if ends or callback.update == schedule.rollouts or callback.update % run.save_every == 0:
            _save(callback)
        if ends:
            return


def _save(callback: RolloutCallback) -> None:
    checkpoint = callback.folder.checkpoints / f"checkpoint-{callback.update}"
    if callback.rollouts.processes.first:
        checkpoint.mkdir(parents=True, exist_ok=True)
    callback.complete(checkpoint)
