"""Compare the time of teachers on the same texts, for instance of one model in PyTorch and as an ONNX program.

    OMP_NUM_THREADS=1 python benchmarks/teachers.py TEACHER PROGRAM --texts train.jsonl

The teachers take turns within one run, and a ratio is that of the medians. `--compile` adds the first one, compiled by torch.
With one thread, seconds are those of the processor, so that other work on the machine does not count.
"""

import argparse
import statistics
import time

import torch

from distill.common.precision import DTYPES, computing_as, use_dtype
from distill.common.settings import CommonSettings
from distill.teachers.loading import load_teacher
from eval.data.labelled import load_texts

parser = argparse.ArgumentParser()
parser.add_argument("teachers", nargs="+", metavar="TEACHER")
parser.add_argument("--texts", required=True)
parser.add_argument("--rows", type=int, default=512)
parser.add_argument("--rounds", type=int, default=4)
parser.add_argument("--dtype", choices=DTYPES, default="float32")
parser.add_argument("--compile", action="store_true")
args = parser.parse_args()
use_dtype(args.dtype)

texts = load_texts(args.texts, "text")[: args.rows]
named = {name: load_teacher(name) for name in args.teachers}
if args.compile:
    with computing_as(CommonSettings(dtype=args.dtype, torch_compile=True)):
        named[f"{args.teachers[0]}, compiled"] = load_teacher(args.teachers[0])
alone = torch.get_num_threads() == 1 and not torch.cuda.is_available()
clock = time.process_time if alone else time.perf_counter
seconds: dict[str, list[float]] = {name: [] for name in named}
answers = {}
for _ in range(args.rounds + 1):  # the first round warms up
    for name, teacher in named.items():
        begin = clock()
        answers[name] = teacher(texts)
        seconds[name].append(clock() - begin)
first = args.teachers[0]
base = statistics.median(seconds[first][1:])
for name, taken in seconds.items():
    median = statistics.median(taken[1:])
    off = (answers[name] - answers[first]).abs().max().item()
    print(f"{median / len(texts) * 1e3:6.2f} ms a text, {median / base:4.2f} of the first, answers off by {off:.0e}: {name}")
