"""Measure what an export costs compared with bare generation, and whether its memory grows with the rows.

    OMP_NUM_THREADS=1 python benchmarks/export.py runs/demo --rows 2000

Speed: an export writes topics and texts, asks the teacher, marks rows, and writes shards and card. The loop beside it calls
`model.generate` on the writer's model from an empty prompt and writes the texts to a file. It makes as many new tokens as
topic and continuation have together, with the same batch, sampling and number format. The two take turns in one process;
machines are shared, so trust the ratio. With one thread, seconds are those of the processor.
Memory: the peak of a process that exports so many rows, and of one that exports ten times as many.
"""

import argparse
import dataclasses
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from distill.common.precision import autocast
from prompter.cli import parsed
from prompter.exporting.config import ExportConfig, export_settings, recipe_settings
from prompter.exporting.folder import ExportFolder
from prompter.exporting.loop import Export, export, finish_dataset
from prompter.exporting.opening import load_prompter_and_teacher
from prompter.generation.config import WriterConfig
from prompter.generation.writer import Writer
from prompter.runtime.console import Console
from prompter.saved.prompter import Prompter
from prompter.saved.rewriter import find_source


def seconds_now() -> float:
    """Return a time in seconds: of the processor with one thread on a CPU, else of the clock."""
    return time.process_time() if torch.get_num_threads() == 1 and not torch.cuda.is_available() else time.perf_counter()


def exported(config: ExportConfig, writer: WriterConfig, prompter: Prompter, teacher, to: Path) -> tuple[int, float]:
    """Rows written and seconds, without loading."""
    config = dataclasses.replace(config, to=str(to))
    begin = seconds_now()
    folder = ExportFolder(to)
    identity = {"prompter_sha256": prompter.sha256, **recipe_settings(config, writer, prompter.manifest)}
    progress = folder.open_state(identity, len(prompter.labels), print)
    with Console(quiet=True) as show:
        Export(config, prompter, teacher, folder, progress, show).run()
        finish_dataset(config, folder, progress, prompter.manifest, identity)
    folder.close()
    return progress.rows, seconds_now() - begin


def generated(prompter: Prompter, rows: int, batch_size: int, to: Path) -> float:
    """Seconds that bare generation takes for so many texts."""
    writer, policy = prompter.writer, prompter.policy
    assert isinstance(writer, Writer)
    model, tokenizer, config = writer.model, writer.tokenizer, writer.config
    begin = seconds_now()
    with to.open("w", encoding="utf-8") as file, torch.inference_mode(), autocast(writer.device):
        for first in range(0, rows, batch_size):
            ids = torch.full((min(batch_size, rows - first), 1), writer.start, device=writer.device)
            tokens = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                max_new_tokens=policy.max_tokens + config.writer_max_new_tokens,
                min_new_tokens=policy.config.topic_min_tokens + config.writer_min_new_tokens,
                temperature=config.writer_temperature,
                top_p=config.writer_top_p,
                top_k=config.writer_top_k,
                pad_token_id=writer.pad_token_id,
            )
            for text in tokenizer.batch_decode(tokens, skip_special_tokens=True):
                file.write(json.dumps({"text": " ".join(text.split())}) + "\n")
    return seconds_now() - begin


def speed(arguments: list[str], repeats: int) -> None:
    config, writer = export_settings(parsed(["export", *arguments])[1])
    source, manifest = find_source(config.run)
    prompter, teacher = load_prompter_and_teacher(config, writer, source, manifest, Console(quiet=True))
    rates: dict[str, list[float]] = {"export": [], "bare generate": []}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats + 1):  # the first one warms up
            rows, seconds = exported(config, writer, prompter, teacher, Path(folder) / f"set-{repeat}")
            rates["export"].append(rows / seconds)
            rates["bare generate"].append(rows / generated(prompter, rows, config.batch_size, Path(folder) / "bare.jsonl"))
    for name, values in rates.items():
        print(f"{name:16}{statistics.median(values[1:]):10,.1f} rows/s")
    ratios = [a / b for a, b in zip(rates["export"][1:], rates["bare generate"][1:], strict=True)]
    print(
        f"{'ratio':16}{statistics.median(ratios):10.2f}  (least {min(ratios):.2f}, {rows:,} rows written each time)",
        flush=True,
    )


def peak_mib(arguments: list[str], rows: int) -> float:
    """Peak memory of a process that exports so many rows."""
    with tempfile.TemporaryDirectory() as folder:
        flags = [*arguments, "--rows", str(rows), "--to", f"{folder}/set"]
        command = [sys.executable, __file__, "--child", json.dumps(flags)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", help="run or prompter folder; further flags are those of prompter export")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--skip-speed", action="store_true")
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args, flags = parser.parse_known_args()
    if args.child:
        export(*export_settings(parsed(["export", *json.loads(args.child)])[1]))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    common = [args.run, "--quiet", "--no_teacher_cache", *flags]  # every text is to be answered anew
    if not args.skip_speed:
        speed([*common, "--rows", str(args.rows), "--to", "unused"], args.repeats)
    if not args.skip_memory:
        peaks = {rows: peak_mib(common, rows) for rows in (args.rows, 10 * args.rows)}
        for rows, peak in peaks.items():
            print(f"peak memory {peak:,.0f} MiB for {rows:,} rows")


if __name__ == "__main__":
    main()
