"""Compare the time of a run in two processes with that of the same run in one, in turns, each process with one thread.

    python benchmarks/processes.py

The total batch is the same: as many samples per rollout and per update of policy and student, as many queries and updates.
What is timed is the run itself, from the first rollout to the last update of the student: no imports, loading and reports.
The writer is a language model of random weights, which tells speed as well as a trained one; `--generator` takes another.

Seconds are those of the clock, and beside them those of the processor in the slowest process. On a machine with other work,
the ratio of the latter is what free cores would give, less the time that processes wait for each other.

The cores share memory and cache, so even runs that have nothing to do with each other slow each other. `--apart` measures that
as well: as many whole runs of one process side by side. What they finish in a second is the most that any division can give.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

from distill.processes.group import Processes
from prompter.training import run as training

SETTINGS = {
    "teacher": "toy:sentiment",
    "student": "bert:layers=2,hidden=128",
    "rollout_size": 64,
    "minibatch_size": 64,
    "topic_max_tokens": 6,
    "writer_max_new_tokens": 40,
    "in_context": False,
    "teacher_cache": False,
    "device": "cpu",
    "dtype": "float32",
    "pilot": False,
    "quiet": True,
}


def random_writer(folder: Path, hidden: int, layers: int) -> Path:
    """Save a language model of random weights with the words of the toy world."""
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    from eval.toy import located

    tokenizer = AutoTokenizer.from_pretrained(located("toy", "writer", True))
    torch.manual_seed(0)
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokenizer.eos_token_id)
    sizes = {"n_embd": hidden, "n_layer": layers, "n_head": hidden // 64, "n_positions": 128}
    config = GPT2Config(vocab_size=len(tokenizer), **sizes, **ends)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def work(settings: dict[str, Any], file: Path) -> None:
    """Train, and note the seconds of this process."""
    from prompter import train

    begun: list[float] = []
    play, leave = training.play, Processes.leave

    def timed_play(*given: Any) -> bool:
        begun[:] = [time.perf_counter(), time.process_time()]
        return play(*given)

    def timed_leave(processes: Processes) -> None:
        seconds = [time.perf_counter() - begun[0], time.process_time() - begun[1]]
        file.with_suffix(f".{processes.rank}").write_text(json.dumps(seconds))
        leave(processes)

    with patch.object(training, "play", timed_play), patch.object(Processes, "leave", timed_leave):
        train(**settings)


def seconds_of(processes: int, settings: dict[str, Any], folder: Path, port: int) -> tuple[float, float]:
    """Make a run of so many processes; return its seconds of the clock, and of the processor in the slowest process."""
    folder.mkdir()
    given = settings | {"output_dir": str(folder / "run")}
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--master_port", str(port)]
    command = [
        sys.executable,
        *(launcher if processes > 1 else []),
        __file__,
        "--work",
        json.dumps(given),
        str(folder / "seconds"),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr[-3000:])
    seconds = [json.loads(file.read_text()) for file in folder.glob("seconds.*")]
    return max(one[0] for one in seconds), max(one[1] for one in seconds)


def side_by_side(processes: int, settings: dict[str, Any], folder: Path) -> tuple[float, float]:
    """Make so many runs of one process at the same time; return what each took for its share of one run, as `seconds_of`."""
    folder.mkdir()
    with ThreadPoolExecutor(processes) as pool:
        runs = list(pool.map(lambda number: seconds_of(1, settings, folder / str(number), 0), range(processes)))
    clock, processor = (max(run[index] for run in runs) / processes for index in range(2))
    return clock, processor


def main() -> None:
    """Print the seconds of one and of two processes, and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--generator", help="language model; default: random weights")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rollout", type=int, default=64, help="texts of a rollout and of a minibatch, in all processes")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--budget", type=int, default=192)
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--apart", action="store_true", help="runs of one process side by side, too")
    parser.add_argument("--port", type=int, default=29517)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(json.loads(options.work[0]), Path(options.work[1]))
        return
    with tempfile.TemporaryDirectory() as place:
        generator = options.generator or str(random_writer(Path(place) / "lm", options.hidden, options.layers))
        settings = SETTINGS | {"generator": generator, "budget": options.budget, "student_updates": options.updates}
        settings |= {"rollout_size": options.rollout, "minibatch_size": options.rollout}
        ways = {"1 process": 1, f"{options.processes} processes": options.processes}
        apart = f"{options.processes} runs side by side, for each"
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in (*ways, *([apart] if options.apart else []))}
        for _ in range(options.repeats):
            for way, taken in found.items():
                folder = Path(place) / f"{len(taken)}-{way}"
                if way == apart:
                    taken.append(side_by_side(options.processes, settings, folder))
                else:
                    taken.append(seconds_of(ways[way], settings, folder, options.port))
                clock, processor = taken[-1]
                print(f"{way}: {clock:.1f} s, processor {processor:.1f} s", flush=True)
    one, *others = found
    for way in others:
        for index, name in enumerate(("clock", "processor")):
            before, after = (statistics.median(times[index] for times in found[which]) for which in (one, way))
            ratios = [a[index] / b[index] for a, b in zip(found[one], found[way], strict=True)]
            shown = f"{min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} turns"
            print(f"{way}, {name}: {before:.1f} s in {one}, now {after:.1f} s: {before / after:.2f} times as fast ({shown})")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
