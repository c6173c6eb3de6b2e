"""Time as-dfd, crafting and updates, with the last layers computed whole and at the positions that are read.

    OMP_NUM_THREADS=1 python benchmarks/as_dfd.py TEACHER [--student teacher-layers:0,2] [--rounds 3]

Both ways take turns in one run, on the processor's time; a row is the median.
"""

import argparse
import statistics
import time

from distill.common import encode
from distill.common.precision import DTYPES, use_dtype
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.methods.as_dfd import AsDfd
from distill.methods.config import AsDfdConfig
from distill.student import load_student
from distill.teachers.loading import load_teacher
from distill.teachers.prediction_cache import CachedTeacher

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("teacher")
parser.add_argument("--student", default="teacher-layers:0,2")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--dtype", choices=DTYPES, default="float32")
args = parser.parse_args()
use_dtype(args.dtype)

teacher = CachedTeacher(load_teacher(args.teacher, device="cpu"), None, print)
student = load_student(args.student, labels=teacher.labels, teacher=teacher.white_box, device="cpu", kind=teacher.kind)
distiller = Distiller(student, DistillConfig(), 100_000, 0)
method = AsDfd(AsDfdConfig(), teacher, distiller, 0)
distiller.add(method.step(1000).batch)  # warms up

narrowest = encode.NARROWEST
found: dict[str, list[tuple[float, float]]] = {"whole": [], "what is read": []}
for _ in range(args.rounds):
    for name, rows in found.items():
        encode.NARROWEST = narrowest if name == "what is read" else 10**9
        begin = time.process_time()
        step = method.step(1000)
        crafted = time.process_time()
        distiller.add(step.batch)
        distiller.update(5)
        rows.append(((crafted - begin) / step.queries, (time.process_time() - crafted) / 5))

print("| last layers | ms a query | ms an update |\n|---|---|---|")
for name, rows in found.items():
    crafting, update = (1000 * statistics.median(column) for column in zip(*rows, strict=True))
    print(f"| {name} | {crafting:.1f} | {update:.0f} |")
