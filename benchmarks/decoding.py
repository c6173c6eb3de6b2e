"""Compare the tokens per second of our decoding loop with those of `model.generate`, in turns in one process.

    OMP_NUM_THREADS=2 python benchmarks/decoding.py --generator distilgpt2 --batch 256 --new-tokens 40

All variants write the same number of tokens, because EOS is switched off. With `--until-eos` rows end at EOS, and only the
tokens up to there count. Machines are shared, so trust the ratios: each repetition runs every variant once, and a ratio
compares two runs of one repetition.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from transformers import AutoModelForCausalLM

from distill.common.hub import load_model, load_tokenizer
from distill.common.precision import resolve_device, weight_dtype
from distill.common.seeding import random_generator
from distill.language_models.special_tokens import start_token
from prompter.decoding.loop import decode

WAYS = {
    "ours(top_p=.95)": dict(top_p=0.95),
    "ours(top_k=64)": dict(top_k=64),
    "ours(hot)": dict(top_k=2000, temperature=1.3),
    "generate(top_p=.95)": dict(top_p=0.95),  # transformers adds its default top_k=50 to this
    "generate(top_k=64)": dict(top_k=64),
    "generate(hot)": dict(top_k=2000, temperature=1.3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", required=True, help="causal LM, folder or hub id")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--new-tokens", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--until-eos", action="store_true", help="let rows end at EOS")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = resolve_device(args.device)
    model = load_model(AutoModelForCausalLM, args.generator, "generator", device, weight_dtype(device))
    tokenizer = load_tokenizer(args.generator, "generator")
    start = start_token(model.generation_config, tokenizer)
    ids = torch.full((args.batch, 1), start, device=device)
    mask = torch.ones_like(ids)
    pad, eos = tokenizer.pad_token_id, tokenizer.eos_token_id

    def ours(counter: int, **sampling) -> int:
        decoded = decode(
            model,
            ids,
            mask,
            max_new_tokens=args.new_tokens,
            eos_token_ids=[eos] if args.until_eos else [],
            pad_token_id=pad,
            random=random_generator(0, "benchmark", counter, device=device),
            **sampling,
        )
        return int(decoded.lengths.sum())

    def generate(counter: int, **sampling) -> int:
        torch.manual_seed(counter)
        tokens = model.generate(
            ids, attention_mask=mask, do_sample=True, max_new_tokens=args.new_tokens, pad_token_id=pad, **sampling
        )[:, 1:]
        after_eos = (tokens == eos).int().cumsum(-1) - (tokens == eos).int() > 0
        return int((~after_eos).sum()) if args.until_eos else tokens.numel()

    def rate(way: Callable[..., int], counter: int, **sampling) -> float:
        begin = time.perf_counter()
        tokens = way(counter, **sampling)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return tokens / (time.perf_counter() - begin)

    if not args.until_eos:
        model.generation_config.eos_token_id = None
    parameters, threads = model.num_parameters() / 1e6, torch.get_num_threads()
    print(f"{parameters:.1f}M parameters, batch {args.batch}, {threads} threads, {device}")
    rates: dict[str, list[float]] = {name: [] for name in WAYS}
    for repeat in range(args.repeats + 1):  # the first one warms up
        for name, sampling in WAYS.items():
            rates[name].append(rate(ours if name.startswith("ours") else generate, repeat, **sampling))
    first, *_ = rates
    print(f"{'':32}{'tokens/s':>10}{first.split('(')[0] + '/this':>12}")
    for name, values in rates.items():
        ratio = statistics.median(a / b for a, b in zip(rates[first][1:], values[1:], strict=True))
        print(f"{name:32}{statistics.median(values[1:]):10,.0f}{ratio:12.1f}", flush=True)


if __name__ == "__main__":
    main()
