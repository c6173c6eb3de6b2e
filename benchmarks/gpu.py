"""Measure on one GPU: the writer, an update of the policy, a whole run, and the memory that each of them needs.

    python benchmarks/gpu.py MODEL
    python benchmarks/gpu.py MODEL --random --layers 16 --hidden 2048     # speed and memory of a larger model
    python benchmarks/gpu.py MODEL --only run --teacher TEACHER           # where the time of `prompter train` goes
    python benchmarks/gpu.py MODEL --only run --teacher random            # with a six-layer teacher of random weights

MODEL is a folder or hub id of a chat model, such as HuggingFaceTB/SmolLM2-135M-Instruct. With `--random`, only its
configuration and tokenizer are used, and its weights are random: they tell speed and memory as well as trained ones. Tables:

1. The writer: tokens per second of our decoding loop, with a token's pass recorded as a CUDA graph and without, and of
   `model.generate` with the same prompts. All texts are equally long.
2. The policy: seconds of a rollout with PPO's update, for our trainer with recorded passes and without, and for TRL's GRPO
   trainer at the same batch. The first rollout, which records, does not count.
3. `prompter train`: where its time goes.

Peak memory is what torch allocated, weights included.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from real_lm import class_prompts, updates
from transformers import AutoConfig, AutoModelForCausalLM, BertConfig, BertForSequenceClassification
from transformers.utils.logging import disable_progress_bar
from trl import GRPOTrainer

from distill.common.hub import load_model, load_tokenizer
from distill.common.precision import autocast, compute_dtype, use_dtype, weight_dtype
from distill.common.seeding import random_generator
from prompter.decoding import graphs
from prompter.decoding.loop import decode
from prompter.decoding.prefix import Prefix, left_padded
from prompter.generation.config import PolicyConfig
from prompter.generation.policy import with_new_adapters
from prompter.rl.ppo_trainer import PPOTrainer
from prompter.training.run import train
from prompter.training.settings import settings_from

GIB = 2**30
WAITING = {"controls", "teacher and writer"}
"""Parts of a run's time that are loading or come after the loop."""


def random_model(args: argparse.Namespace, folder: Path) -> str:
    """Write a model with the configuration and tokenizer of MODEL and with random weights; return its folder."""
    config = AutoConfig.from_pretrained(args.model)
    if args.hidden:
        heads = args.hidden // 64
        config.update({
            "hidden_size": args.hidden, "intermediate_size": 4 * args.hidden, "num_attention_heads": heads,
            "num_key_value_heads": max(1, heads // 4), "head_dim": 64,
        })  # fmt: skip
    if args.layers:
        config.update({"num_hidden_layers": args.layers})
    with torch.device("cuda"):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    load_tokenizer(args.model, "generator").save_pretrained(folder)
    return str(folder)


def random_teacher(name: str, folder: Path) -> str:
    """Write a teacher of four classes, as large as DistilBERT, with random weights; return its folder."""
    tokenizer = load_tokenizer(name, "generator")
    config = BertConfig(
        vocab_size=len(tokenizer), num_hidden_layers=6, pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(["world", "sports", "business", "science"])),
    )  # fmt: skip
    torch.manual_seed(0)
    model = BertForSequenceClassification(config)
    torch.nn.init.normal_(model.classifier.weight)  # so that it is sure of some texts
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Return the median seconds of a piece of work after a first time, and its peak memory in GiB."""
    seconds = []
    for _ in range(repeats + 1):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        begin = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[1:]), torch.cuda.max_memory_allocated() / GIB


def writer_table(name: str, args: argparse.Namespace) -> None:
    """Print tokens per second and peak memory of three ways to write."""
    device = torch.device("cuda")
    tokenizer = load_tokenizer(name, "generator")
    model = load_model(AutoModelForCausalLM, name, "generator", device, weight_dtype(device)).eval().requires_grad_(False)
    model.generation_config.eos_token_id = None
    prompts = class_prompts(tokenizer)
    print(
        f"\nwriter: {model.num_parameters() / 1e6:.0f}M parameters, texts of {args.new_tokens} tokens, weights {model.dtype}"
    )
    for batch in args.batch:
        ids = [tokenizer(prompts[row % len(prompts)], add_special_tokens=False)["input_ids"] for row in range(batch)]

        def ours(ids: list[list[int]] = ids) -> None:
            nothing = torch.empty(len(ids), 0, dtype=torch.long, device=device)
            decode(
                model, nothing, nothing, prefix=Prefix.of(ids, tokenizer.pad_token_id, device), eos_token_ids=[],
                pad_token_id=tokenizer.pad_token_id, random=random_generator(0, "benchmark", 0, device=device),
                max_new_tokens=args.new_tokens, top_p=0.95,
            )  # fmt: skip

        def step_by_step() -> None:
            graphs._refused.add(model)
            try:
                ours()  # noqa: B023
            finally:
                graphs._refused.discard(model)

        def generate(ids: list[list[int]] = ids) -> None:
            rows, mask = left_padded(ids, tokenizer.pad_token_id)
            model.generate(
                rows.to(device), attention_mask=mask.to(device), do_sample=True, pad_token_id=tokenizer.pad_token_id,
                max_new_tokens=args.new_tokens, top_p=0.95,
            )  # fmt: skip

        rates = {}
        for way, work in (("recorded", ours), ("step by step", step_by_step), ("generate", generate)):
            with torch.no_grad(), autocast(device):
                seconds, peak = timed(work, args.repeats)
            rates[way] = batch * args.new_tokens / seconds
            print(f"  batch {batch:5}  {way:14}{rates[way]:10,.0f} tokens/s  peak {peak:6.2f} GiB", flush=True)
        print(f"  recorded is {rates['recorded'] / rates['generate']:.1f} times generate")
    print(f"  recorded as a graph: {model in graphs._checked}")


class StepByStep(PPOTrainer):
    """PPO whose updates are not recorded."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._recorded.refused = True


def policy_table(name: str, args: argparse.Namespace) -> None:
    """Print seconds of a rollout with its update, for PPO in two ways and for TRL's GRPO."""
    tokenizer, config = load_tokenizer(name, "generator"), PolicyConfig(topic_max_tokens=8, minibatch_size=32)
    prompts = class_prompts(tokenizer)
    print(f"\npolicy: rollouts of {args.rollout} openings of 8 tokens, minibatches of 32, {config.num_iterations} passes")
    for label, kind in (("PPO, recorded", PPOTrainer), ("PPO, step by step", StepByStep), ("GRPO of TRL", GRPOTrainer)):
        model = load_model(AutoModelForCausalLM, name, "generator", torch.device("cuda"), weight_dtype(torch.device("cuda")))
        model = with_new_adapters(model, config, 0)
        torch.cuda.reset_peak_memory_stats()
        first, *later = updates(kind, model, tokenizer, prompts, config, args.rollout, args.repeats + 1)
        sampling, rest = (statistics.median(row[part] for row in later) for part in ("sampling", "update"))
        peak = torch.cuda.max_memory_allocated() / GIB
        print(f"  {label:18} sampling {sampling:5.2f} s  update {rest:5.2f} s  peak {peak:6.2f} GiB", end="  ")
        print(f"(first: {first['sampling']:.2f}, {first['update']:.2f})", flush=True)


def run_table(name: str, args: argparse.Namespace) -> None:
    """Print where the time of a small run goes."""
    flags = json.loads(args.settings)
    with tempfile.TemporaryDirectory() as folder:
        teacher = random_teacher(name, Path(folder) / "teacher") if args.teacher == "random" else args.teacher
        torch.cuda.reset_peak_memory_stats()
        settings = {
            "teacher": teacher, "generator": name, "output_dir": f"{folder}/run", "budget": args.queries,
            "student": "bert:layers=2,hidden=128", "student_updates": args.queries // 10, "rollout_size": args.rollout,
            "minibatch_size": 32, "topic_max_tokens": 8, "writer_max_new_tokens": 32, "dtype": args.dtype, "pilot": False,
            "quiet": True,
        }  # fmt: skip
        summary = train(settings_from(settings | flags))
    assert summary is not None
    parts = {part: seconds for part, seconds in summary["time"].items() if part not in WAITING}
    total = sum(parts.values())
    print(f"\nprompter train: {args.queries} queries in rollouts of {args.rollout}, {total:.1f} s")
    for part, seconds in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"  {part:24}{seconds:8.1f} s {seconds / total:6.1%}")
    print(f"  peak {torch.cuda.max_memory_allocated() / GIB:.2f} GiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="causal LM, folder or hub id")
    parser.add_argument("--random", action="store_true", help="use its configuration and tokenizer, with random weights")
    parser.add_argument("--layers", type=int, default=0, help="with --random: layers instead of the model's")
    parser.add_argument("--hidden", type=int, default=0, help="with --random: width instead of the model's")
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--rollout", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--queries", type=int, default=512)
    parser.add_argument("--teacher", default="toy:sentiment", help="teacher of the run, or random")
    parser.add_argument("--settings", default="{}", help="JSON with further settings of the run")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    parser.add_argument("--only", nargs="+", choices=("writer", "policy", "run"), default=["writer", "policy", "run"])
    args = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch sees no GPU here")
    use_dtype(args.dtype)
    disable_progress_bar()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {compute_dtype(torch.device('cuda'))}")
    with tempfile.TemporaryDirectory() as folder:
        name = random_model(args, Path(folder)) if args.random else args.model
        for table, work in (("writer", writer_table), ("policy", policy_table), ("run", run_table)):
            if table in args.only:
                work(name, args)


if __name__ == "__main__":
    main()
