"""How often does a teacher of grammar find edited texts bad? A row for each edit, and for hotter writers without edits.

    python benchmarks/edits.py TEACHER GENERATOR [--texts 96]

TEACHER has the classes `unacceptable` and `acceptable`. The texts are those of the class prompts of `configs/cola.yaml`.
"""

import argparse
from dataclasses import replace

import torch

from distill.common.precision import computing_as
from eval.classifiers.opening import open_teacher
from prompter.editing.config import EDITS, EditSettings
from prompter.editing.edits import Edits
from prompter.generation.opening import open_writer
from prompter.generation.policy import TopicPolicy
from prompter.training.settings import parse_settings

BAD, GOOD = "unacceptable", "acceptable"
COUNTS = (1, 2, 3)
TEMPERATURES = (1.0, 1.5, 2.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("teacher")
    parser.add_argument("generator")
    parser.add_argument("--texts", type=int, default=96)
    args = parser.parse_args()
    flags = ["--config", "configs/cola.yaml", "--teacher", args.teacher, "--generator", args.generator]
    settings = parse_settings([*flags, "--output_dir", "unused", "--dtype", "float32", "--lora_rank", "0"])
    with computing_as(settings.run):
        teacher = open_teacher(args.teacher, labels=[BAD, GOOD], device="auto", cache=False, max_length=512, quiet=True)
        policy = TopicPolicy.load(args.generator, [BAD, GOOD], settings.policy, settings.policy.topic_max_tokens, "auto", 0)
        plain = replace(settings.writer, edit_labels=[])
        writer = open_writer("transformers", policy, args.generator, args.generator, plain, "auto")
        targets = torch.arange(args.texts) % 2

        def share(texts: list[str]) -> str:
            return f"{float((teacher(texts).argmax(dim=1) == 0).float().mean()):.2f}"

        for temperature in TEMPERATURES:
            hot = writer.sampling(replace(plain, writer_temperature=temperature))
            texts = hot.write([""] * args.texts, 0, 0, targets=targets).texts
            print(f"no edit, temperature {temperature}: {share(texts)} {BAD}", flush=True)
            if temperature != 1.0:
                continue
            everything = torch.zeros_like(targets)  # all of the class whose texts are edited
            for chosen in [*([name] for name in EDITS), settings.writer.edits, [*EDITS]]:
                found = []
                for count in COUNTS:
                    given = EditSettings(edit_labels=[BAD], edits=chosen, edits_min=count, edits_max=count)
                    found.append(share(Edits(given, [BAD, GOOD])(texts, everything, 0, 0, "writer")))
                print(f"{', '.join(chosen)}: {', '.join(found)} with {', '.join(map(str, COUNTS))} edits", flush=True)


if __name__ == "__main__":
    main()
