"""How long the libraries take to load before a verb can load a model, with and without Python's garbage collector.

    OMP_NUM_THREADS=1 python benchmarks/startup.py [--rounds 3]

Each import runs in a process of its own, the two ways in turn; the processor's time counts, so that other work on the machine
matters less. The best of the rounds is shown.
"""

import argparse
import subprocess
import sys

MODULES = {
    "torch": "torch",
    "a model of transformers": "transformers.modeling_utils",
    "prompter train": "prompter.training.run",
    "prompter export": "prompter.exporting.loop",
    "prompter distill": "prompter.students.run",
    "prompter compress": "prompter.compressing.run",
}

PLAIN = "import time, {module}; print(time.process_time())"
QUICK = """import time
from prompter.importing import quick_imports
with quick_imports():
    import {module}
print(time.process_time())"""


def seconds(code: str) -> float:
    """Return what a fresh process prints."""
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rounds", type=int, default=3)
rounds = parser.parse_args().rounds

print("| what loads | seconds | without the collector | ratio |\n|---|---|---|---|")
for name, module in MODULES.items():
    timed = [(seconds(PLAIN.format(module=module)), seconds(QUICK.format(module=module))) for _ in range(rounds)]
    plain, quick = (min(column) for column in zip(*timed, strict=True))
    print(f"| {name} | {plain:.1f} | {quick:.1f} | {quick / plain:.2f} |", flush=True)
