"""Measure what a real language model costs as writer and policy, against the plain way, in turns in one process.

    OMP_NUM_THREADS=2 python benchmarks/real_lm.py MODEL

MODEL is a folder or hub id of a chat model, such as HuggingFaceTB/SmolLM2-135M-Instruct. Three tables:

1. The writer: tokens per second of our decoding loop with shared class prompts, and of `model.generate` with the same prompts.
2. PPO: seconds of an update (log-probabilities of old policy and reference, all passes over the rollout) and of sampling.
   The plain way is this project's former code: whole prompts in each row, and a pass of its own for the old policy.
3. With `--teacher`: a small run of `prompter train`, and where its time goes.

Machines are shared, so trust the ratios: each repetition runs both sides once, and a ratio compares two runs of one
repetition. With one thread (OMP_NUM_THREADS=1) seconds are those of the processor, which other work does not change much.
"""

import argparse
import contextlib
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from distill.common.hub import load_model, load_tokenizer
from distill.common.precision import autocast, compute_dtype, resolve_device, use_dtype
from distill.common.seeding import random_generator
from prompter.decoding.contexts import unwrapped
from prompter.decoding.loop import decode
from prompter.decoding.prefix import Prefix, left_padded
from prompter.generation.config import PolicyConfig
from prompter.generation.policy import with_new_adapters
from prompter.rl.completions import Scores
from prompter.rl.ppo_config import PPOConfig
from prompter.rl.ppo_trainer import PPOTrainer

SUBJECTS = ("world events", "sports", "business", "science and technology")
REQUEST = "Write a short news report about {subject}. Begin right away with the first sentence."


class FormerTrainer(PPOTrainer):
    """PPO as it was before prompts were shared."""

    def _generate_single_turn(self, prompt_ids: list[list[int]], *args: Any) -> tuple[list[list[int]], None]:
        model, device = self.accelerator.unwrap_model(self.model), self.accelerator.device
        ids, mask = left_padded(prompt_ids, self._tokenizer.pad_token_id)
        with self.accelerator.autocast():
            decoded = decode(
                model,
                ids.to(device),
                mask.to(device),
                max_new_tokens=self.max_completion_length,
                min_new_tokens=self.args.generation_kwargs["min_new_tokens"],
                eos_token_ids=self.eos_token_ids,
                pad_token_id=self._tokenizer.pad_token_id,
                temperature=self.temperature,
                random=random_generator(self.args.seed, "completions", self.state.global_step, device=device),
            )
        return [row[:n] for row, n in zip(decoded.tokens.tolist(), decoded.lengths.tolist(), strict=True)], None

    def _score(self, model: nn.Module, ids: Tensor, mask: Tensor, length: int, entropy: bool) -> Scores:
        head = unwrapped(model).get_output_embeddings()
        states: list[Tensor] = []

        def before(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
            states.append(inputs[0].contiguous())
            return (states[-1],)

        hook = head.register_forward_pre_hook(before)
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        logits = model(
            input_ids=ids, attention_mask=mask, position_ids=places, logits_to_keep=length + 1, use_cache=False
        ).logits
        hook.remove()
        log_probs = logits[:, -length - 1 : -1].float().log_softmax(-1)
        logps = log_probs.gather(-1, ids[:, -length:, None]).squeeze(-1)
        entropies = -log_probs.detach().exp().mul_(log_probs.detach()).sum(-1) if entropy else None
        return Scores(logps, entropies, states[0][:, -length - 1 : -1].detach())


def class_prompts(tokenizer: Any) -> list[str]:
    """Return a request per class, through the chat template if there is one."""
    requests = [REQUEST.replace("{subject}", subject) for subject in SUBJECTS]
    if tokenizer.chat_template is None:
        return requests
    turns = [[{"role": "user", "content": request}] for request in requests]
    return [tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False) for turn in turns]


def clock() -> float:
    """Return seconds: of the processor with one thread on a CPU, where waiting for it is no work, else of the wall clock."""
    alone = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    return time.process_time() if alone else time.perf_counter()


def compared(first: list[float], second: list[float]) -> float:
    """Return by how much the first is larger: the median of the ratios of neighbours."""
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


def writer_table(model: Any, tokenizer: Any, prompts: list[str], args: argparse.Namespace) -> None:
    """Print tokens per second of both loops."""
    device = model.device
    ids = [tokenizer(prompts[row % len(prompts)], add_special_tokens=False)["input_ids"] for row in range(args.batch)]
    model.generation_config.eos_token_id = None  # all texts are equally long, so both sides do the same work
    sampling: dict[str, Any] = {"max_new_tokens": args.new_tokens, "top_p": 0.95}

    def ours(counter: int) -> None:
        nothing = torch.empty(len(ids), 0, dtype=torch.long, device=device)
        prefix = Prefix.of(ids, tokenizer.pad_token_id, device)
        random = random_generator(0, "benchmark", counter, device=device)
        decode(
            model, nothing, nothing, prefix=prefix, eos_token_ids=[], pad_token_id=tokenizer.pad_token_id, random=random,
            **sampling,
        )  # fmt: skip

    def generate(counter: int) -> None:
        torch.manual_seed(counter)
        rows, mask = left_padded(ids, tokenizer.pad_token_id)
        model.generate(
            rows.to(device), attention_mask=mask.to(device), do_sample=True, pad_token_id=tokenizer.pad_token_id, **sampling
        )

    seconds: dict[str, list[float]] = {"decode": [], "generate": []}
    for repeat in range(args.repeats):
        for name, way in (("decode", ours), ("generate", generate)):
            begin = clock()
            with torch.no_grad(), autocast(device):
                way(repeat)
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(clock() - begin)
    tokens = args.batch * args.new_tokens
    longest = max(map(len, ids))
    print(f"\nwriter, {args.batch} texts of {args.new_tokens} tokens after prompts of up to {longest} tokens")
    for name, values in seconds.items():
        print(f"  {name:10}{tokens / statistics.median(values):8.0f} tokens/s")
    print(f"  decode is faster by {compared(seconds['generate'], seconds['decode']):.1f}", flush=True)


def updates(
    kind: type[PPOTrainer], model: Any, tokenizer: Any, prompts: list[str], config: PolicyConfig, size: int, rollouts: int = 1
) -> list[dict[str, float]]:
    """Make PPO's update on some rollouts; return for each the seconds of sampling and of all the rest."""
    minibatches = max(1, size // config.minibatch_size)
    steps = minibatches * config.num_iterations
    begins, sampling = [], []
    with tempfile.TemporaryDirectory() as folder:
        settings = PPOConfig(
            output_dir=folder,
            per_device_train_batch_size=size // minibatches,
            steps_per_generation=minibatches,
            num_generations=size // len(prompts),
            num_iterations=config.num_iterations,
            max_steps=steps * rollouts,
            max_completion_length=config.topic_max_tokens,
            generation_kwargs={"min_new_tokens": config.topic_max_tokens},  # the same work on both sides
            beta=config.beta,
            learning_rate=config.learning_rate,
            temperature=1.0,
            logging_steps=steps,
            bf16=compute_dtype(model.device, trained=True) == torch.bfloat16,
            use_cpu=model.device.type == "cpu",
            save_strategy="no",
            report_to=[],
            disable_dropout=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        trainer = kind(
            model=model,
            reward_funcs=lambda completions, **_: [float(len(text)) for text in completions],
            args=settings,
            train_dataset=Dataset.from_dict({"prompt": prompts * (steps * rollouts + 1)}),
            processing_class=tokenizer,
        )
        model.delete_adapter("ref")  # the base model is the reference
        sample = trainer._generate_single_turn

        def timed(*arguments: Any) -> Any:
            begins.append(clock())
            result = sample(*arguments)
            sampling.append(clock() - begins[-1])
            return result

        trainer._generate_single_turn = timed
        with contextlib.redirect_stdout(None):
            trainer.train()
        ends = [*begins[1:], clock()]
    return [{"sampling": one, "update": end - begin - one} for begin, end, one in zip(begins, ends, sampling, strict=True)]


def ppo_table(name: str, tokenizer: Any, prompts: list[str], args: argparse.Namespace) -> None:
    """Print seconds of an update, and of sampling, on both sides."""
    config = PolicyConfig(topic_max_tokens=args.topic_tokens)
    device = resolve_device(args.device)
    rows: dict[str, list[dict[str, float]]] = {"shared prompts": [], "former": []}
    for _ in range(args.repeats):
        for side, kind in (("shared prompts", PPOTrainer), ("former", FormerTrainer)):
            model = load_model(AutoModelForCausalLM, name, "generator", device=device, dtype=torch.float32)
            rows[side] += updates(kind, with_new_adapters(model, config, 0), tokenizer, prompts, config, args.rollout)
    print(
        f"\nPPO, a rollout of {args.rollout} openings of {args.topic_tokens} tokens, minibatches of "
        f"{min(args.rollout, config.minibatch_size)}, {config.num_iterations} passes, LoRA of rank {config.lora_rank}"
    )
    for side, values in rows.items():
        sampling, seconds = (statistics.median(value[part] for value in values) for part in ("sampling", "update"))
        print(f"  {side:16}update {seconds:7.1f} s   sampling {sampling:7.1f} s")
    for part in ("update", "sampling"):
        ratio = compared(*([value[part] for value in rows[side]] for side in ("former", "shared prompts")))
        print(f"  {part} is faster by {ratio:.1f}", flush=True)


def shares_table(args: argparse.Namespace) -> None:
    """Run `prompter train` for two rollouts, and print where its time went."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "prompter", "train", "--teacher", args.teacher, "--generator", args.model, "--output_dir",
            f"{folder}/run", "--budget", "512", "--student_updates", "150", "--device", args.device, "--dtype", args.dtype,
            *args.train_flags,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        if not (Path(folder) / "run" / "summary.json").exists():
            sys.exit(f"prompter train failed:\n{done.stderr[-2000:]}")
        seconds = json.loads((Path(folder) / "run" / "summary.json").read_text())["time"]
    seconds = {name: value for name, value in seconds.items() if name not in ("controls", "teacher and writer")}
    total = sum(seconds.values())
    print(f"\nprompter train, 512 queries, 150 student updates, teacher {args.teacher}: {total:.0f} s")
    for part, value in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"  {part:24}{value:8.1f} s {value / total:6.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="causal LM, folder or hub id")
    parser.add_argument("--batch", type=int, default=128, help="texts that the writer writes at once")
    parser.add_argument("--new-tokens", type=int, default=40)
    parser.add_argument("--rollout", type=int, default=64)
    parser.add_argument("--topic-tokens", type=int, default=PolicyConfig().topic_max_tokens)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or auto")
    parser.add_argument("--only", choices=("writer", "ppo", "shares"), help="print one table")
    parser.add_argument("--teacher", help="teacher of a small run")
    parser.add_argument("--train-flags", nargs=argparse.REMAINDER, default=[], help="last: further flags of that run")
    args = parser.parse_args()
    use_dtype(args.dtype)
    disable_progress_bar()
    device = resolve_device(args.device)
    tokenizer = load_tokenizer(args.model, "generator")
    prompts = class_prompts(tokenizer)
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    print(f"{place}, {torch.get_num_threads()} threads, {compute_dtype(device)}")
    if args.only in (None, "writer"):
        model = load_model(AutoModelForCausalLM, args.model, "generator", device=device, dtype=torch.float32)
        writer_table(model.eval().requires_grad_(False), tokenizer, prompts, args)
    if args.only in (None, "ppo"):
        ppo_table(args.model, tokenizer, prompts, args)
    if args.teacher and args.only in (None, "shares"):
        shares_table(args)


if __name__ == "__main__":
    main()
