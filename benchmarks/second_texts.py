"""How often a second text has the class that it was asked for, by sampling temperature: first texts are real ones.

    python benchmarks/second_texts.py --generator DIR --teacher SPEC --pairs FILE --rows 40

prints for each temperature the share of each class that the teacher answers as asked. `by class` is the default
(`prompter.pairs.relations.temperatures`).
"""

import argparse
import json
from dataclasses import replace

import torch

from eval.classifiers.opening import open_teacher
from eval.data.labelled import load_pairs
from prompter.generation.config import PolicyConfig, WriterConfig
from prompter.generation.writer import Writer
from prompter.pairs.relations import pair_policy
from prompter.pairs.second_texts import SecondTexts

parser = argparse.ArgumentParser()
parser.add_argument("--generator", required=True)
parser.add_argument("--teacher", required=True)
parser.add_argument("--pairs", required=True)
parser.add_argument("--rows", type=int, default=40)
args = parser.parse_args()

teacher = open_teacher(args.teacher, cache=False)
labels = teacher.labels
firsts = load_pairs(args.pairs, "text")[0][: args.rows]
texts = [text for text in firsts for _ in labels]
targets = torch.arange(len(texts)) % len(labels)
writer = Writer.load(args.generator, WriterConfig(), "cpu")
for name, fixed in (("by class", None), ("0.5", 0.5), ("1", 1.0)):
    chosen = {} if fixed is None else dict.fromkeys(labels, fixed)
    writer.config = replace(writer.config, pair_temperatures=json.dumps(chosen))
    seconds = SecondTexts(writer, labels, pair_policy(PolicyConfig(), labels)).write(texts, targets, 0, 0)
    hit = teacher(texts, seconds).argmax(dim=1) == targets
    shares = {label: f"{hit[targets == index].float().mean():.0%}" for index, label in enumerate(labels)}
    print(f"temperature {name}: as asked for {hit.float().mean():.0%} of {len(texts)} pairs {shares}", flush=True)
