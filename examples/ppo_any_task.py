"""PPO with a plain reward function, on any task: `PPOTrainer` takes what TRL's `GRPOTrainer` takes, and adds a critic.

    python examples/ppo_any_task.py                          # a tiny model of the toy world, offline, about a minute
    python examples/ppo_any_task.py --model path/or/hub-id   # your own causal language model

The task here: write many different words.
"""

import argparse
from typing import Any

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from prompter.rl import PPOConfig, PPOTrainer


def distinct_words(completions: list[str], **unused: Any) -> list[float]:
    """Return the share of different words in each completion, in [0, 1]."""
    words = [completion.lower().split() for completion in completions]
    return [len(set(found)) / max(8, len(found)) for found in words]


def main(model: str, folder: str, steps: int, **settings: Any) -> list[float]:
    """Train, and return the mean reward of each rollout."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    prompts = Dataset.from_dict({"prompt": ["the waiter", "the film", "everybody", "it was"] * 4 * steps})
    arguments = {
        **{"output_dir": folder, "max_steps": steps, "per_device_train_batch_size": 32, "num_generations": 8},
        **{"max_completion_length": 12, "learning_rate": 1e-3, "beta": 0.02, "logging_steps": 1, "report_to": "none"},
        **{"use_cpu": True, "bf16": False, "save_strategy": "no", "disable_tqdm": True},
    }
    trainer = PPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        reward_funcs=distinct_words,
        args=PPOConfig(**(arguments | settings)),
        train_dataset=prompts,
        processing_class=tokenizer,
    )
    trainer.train()
    course = [row["reward"] for row in trainer.state.log_history if "reward" in row]
    print("mean reward, rollout by rollout:", [round(reward, 3) for reward in course])
    return course


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder or hub id; default: the toy writer")
    parser.add_argument("--folder", default="runs/ppo")
    parser.add_argument("--steps", type=int, default=40)
    given = parser.parse_args()
    if given.model is None:
        from eval.toy import located

        given.model = located("toy", "writer")
    main(**vars(given))
