"""Compare the PPO updates per second of our trainer with the last `PPOTrainer` that TRL shipped (1.12), on a bandit.

    OMP_NUM_THREADS=2 python benchmarks/ppo_vs_trl.py

Both tune all weights of the same tiny random GPT-2. The reward is the share of a completion's tokens that are one target
token. An update is one rollout with everything that follows from it: sampling, log-probabilities of policy and reference,
values, and `epochs` passes in minibatches. Sizes, learning rate, KL coefficient and number format are the same, and both log
once per update. TRL trains a second GPT-2 as its value model, because it has no other kind; ours is an MLP on the policy's
hidden states. That difference is part of the comparison, and so is sampling.

TRL 1.12 is installed into a temporary virtual environment that shares this one's torch and transformers. The sides run in
turns, each time in a process of its own, and a ratio compares two neighbours.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TRL_SIDE = """
import sys, json, time
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from transformers.modeling_outputs import BaseModelOutput
from trl import __version__
from trl.experimental.ppo import PPOConfig, PPOTrainer

assert __version__ == "1.12.0", __version__
folder = Path(sys.argv[1])
s = json.loads((folder / "settings.json").read_text())
times, rewards = [], []


class Watch(TrainerCallback):
    def on_step_end(self, *args, **kwargs):
        times.append(time.perf_counter())

    def on_log(self, args, state, control, logs=None, **kwargs):
        rewards.append(logs["objective/scores"])


class Backbone(torch.nn.Module):
    def forward(self, input_ids, **unused):
        hits = (input_ids == s["target"]).float()
        hits[:, : -s["tokens"]] = 0
        return BaseModelOutput(hidden_states=(hits.cumsum(-1)[..., None] / s["tokens"],))


class Reward(torch.nn.Module):
    base_model_prefix = "backbone"

    def __init__(self):
        super().__init__()
        self.backbone, self.score = Backbone(), torch.nn.Identity()


tokenizer = AutoTokenizer.from_pretrained(folder)
load = dict(dtype=torch.float32)
prompt = tokenizer("start :")["input_ids"]
trainer = PPOTrainer(
    args=PPOConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=s["batch"],  # with one accumulation step, each minibatch gets its optimizer step
        gradient_accumulation_steps=1,
        num_mini_batches=s["minibatches"],
        num_ppo_epochs=s["epochs"],
        total_episodes=s["batch"] * s["updates"],
        response_length=s["tokens"],
        local_rollout_forward_batch_size=s["batch"],
        learning_rate=s["learning_rate"],
        kl_coef=s["kl"],
        temperature=1.0,
        num_sample_generations=0,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        seed=0,
    ),
    processing_class=tokenizer,
    model=AutoModelForCausalLM.from_pretrained(folder, **load),
    ref_model=AutoModelForCausalLM.from_pretrained(folder, **load),
    reward_model=Reward(),
    value_model=AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, **load),
    train_dataset=Dataset.from_dict({"input_ids": [prompt] * s["batch"] * 4}),
    callbacks=[Watch()],
)
trainer.train()
rate = (s["updates"] - s["warmup"]) / (times[-1] - times[s["warmup"] - 1])
print("RESULT", json.dumps({"rate": rate, "first": rewards[0], "last": sum(rewards[-5:]) / 5}))
"""


def our_side(folder: Path) -> None:
    """Train with our trainer and print the result."""
    import time

    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

    from prompter.rl.ppo_config import PPOConfig
    from prompter.rl.ppo_trainer import PPOTrainer

    settings = json.loads((folder / "settings.json").read_text())
    steps_per_update = settings["minibatches"] * settings["epochs"]
    times, rewards = [], []

    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step % steps_per_update == 0:
                times.append(time.perf_counter())

        def on_log(self, args, state, control, logs=None, **kwargs):
            if "reward" in logs:
                rewards.append(logs["reward"])

    def hits(completion_ids: list[list[int]], **unused) -> list[float]:
        return [sum(token == settings["target"] for token in row) / settings["tokens"] for row in completion_ids]

    trainer = PPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        reward_funcs=hits,
        args=PPOConfig(
            output_dir=str(folder / "ours"),
            per_device_train_batch_size=settings["batch"] // settings["minibatches"],
            steps_per_generation=settings["minibatches"],
            num_generations=settings["batch"] // settings["minibatches"],
            num_iterations=settings["epochs"],
            max_steps=settings["updates"] * steps_per_update,
            max_completion_length=settings["tokens"],
            generation_kwargs={"min_new_tokens": settings["tokens"]},
            learning_rate=settings["learning_rate"],
            beta=settings["kl"],
            temperature=1.0,
            logging_steps=steps_per_update,
            bf16=False,
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            dataloader_pin_memory=False,
            seed=0,
        ),
        train_dataset=Dataset.from_dict({"prompt": ["start :"] * settings["batch"] * 4}),
        processing_class=AutoTokenizer.from_pretrained(folder),
        callbacks=[Watch()],
    )
    trainer.train()
    warmup = settings["warmup"]
    rate = (settings["updates"] - warmup) / (times[-1] - times[warmup - 1])
    print("RESULT", json.dumps({"rate": rate, "first": rewards[0], "last": statistics.mean(rewards[-5:])}))


def make_policy(folder: Path) -> None:
    """Save a tiny random GPT-2 and a word-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = ["<eos>", "<pad>", "<unk>", "start", ":", *(f"w{i}" for i in range(27))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = dict(eos_token="<eos>", bos_token="<eos>", pad_token="<pad>", unk_token="<unk>")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    torch.manual_seed(0)
    ids = dict(bos_token_id=0, eos_token_id=0, pad_token_id=1)
    config = GPT2Config(vocab_size=len(words), n_positions=64, n_embd=32, n_layer=2, n_head=2, **ids)
    GPT2LMHeadModel(config).save_pretrained(folder)


def trl_environment(folder: Path) -> Path:
    """Make a virtual environment with TRL 1.12 that falls back to this one's packages; return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "trl==1.12.0"], check=True)
    here, there = (
        subprocess.run(
            [interpreter, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for interpreter in (sys.executable, python)
    )
    (Path(there) / "parent.pth").write_text(here + "\n")  # searched last, so TRL 1.12 hides the newer one
    return python


def result_of(command: list) -> dict[str, float]:
    """Run one side and read the line it prints last."""
    environment = os.environ | {"TRL_EXPERIMENTAL_SILENCE": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        sys.exit(f"{command} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(lines[-1].removeprefix("RESULT "))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64, help="samples per rollout")
    parser.add_argument("--minibatches", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=8, help="tokens per completion")
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)  # how the script calls itself
    args = parser.parse_args()
    if args.ours:
        our_side(args.ours)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "policy"
        make_policy(folder)
        settings = dict(
            batch=args.batch,
            minibatches=args.minibatches,
            epochs=args.epochs,
            tokens=args.tokens,
            updates=args.updates,
            warmup=10,
            learning_rate=2e-3,
            kl=0.01,
            target=7,
        )
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "trl_side.py").write_text(TRL_SIDE)
        python = trl_environment(Path(name) / "environment")
        sides = {
            "TRL 1.12": [python, folder / "trl_side.py", folder],
            "ours": [sys.executable, Path(__file__).resolve(), "--ours", folder],
        }
        results: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        for _ in range(args.repeats):
            for side, command in sides.items():
                results[side].append(result_of(command))
                print(side, results[side][-1], flush=True)
        for side, rows in results.items():
            last = statistics.mean(row["last"] for row in rows)
            rate = statistics.median(row["rate"] for row in rows)
            print(f"{side:10}{rate:8.2f} updates/s, reward at the end {last:.2f}")
        ratios = [ours["rate"] / trl["rate"] for ours, trl in zip(results["ours"], results["TRL 1.12"], strict=True)]
        print(f"ratio {statistics.median(ratios):.1f}")


if __name__ == "__main__":
    main()
