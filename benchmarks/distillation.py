"""Compare the rows per second of a student's training: our loop, and a plain `transformers.Trainer` with the same loss.

    OMP_NUM_THREADS=1 python benchmarks/distillation.py --teacher TEACHER --texts train.jsonl

Texts, the teacher's answers, student, batch size, optimizer and number of updates are the same. The plain loop is what most
people would write first: texts are tokenised once, batches are drawn at random and padded to their longest text. The two
take turns within one run, and the ratio is that of the medians. With one thread, seconds are those of the processor, so that
other work on the machine does not count.
"""

import argparse
import statistics
import tempfile
import time

import torch
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from distill.batch import SyntheticBatch
from distill.common.precision import DTYPES, use_dtype
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.losses import kd_loss
from distill.student import Student, load_student
from distill.teachers.base import Teacher
from distill.teachers.loading import load_teacher
from eval.data.labelled import load_texts


class KDTrainer(Trainer):
    """What one writes first."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        """Return the distillation loss."""
        predictions = inputs.pop("answers")
        output = model(**inputs)
        loss = kd_loss(output.logits, predictions, 2.0)
        return (loss, output) if return_outputs else loss


def seconds_now() -> float:
    """Return a time in seconds: of the processor with one thread on a CPU, else of the clock."""
    return time.process_time() if torch.get_num_threads() == 1 and not torch.cuda.is_available() else time.perf_counter()


def plain(student: Student, texts: list[str], predictions: torch.Tensor, updates: int, size: int) -> float:
    encoded = student.tokenizer(texts, truncation=True, max_length=128)
    rows = [
        {"input_ids": ids, "attention_mask": mask, "answers": answer}
        for ids, mask, answer in zip(encoded["input_ids"], encoded["attention_mask"], predictions.tolist(), strict=True)
    ]
    arguments = TrainingArguments(
        output_dir=tempfile.gettempdir(),  # nothing is saved
        per_device_train_batch_size=size,
        max_steps=updates,
        learning_rate=1e-3,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        remove_unused_columns=False,
        disable_tqdm=True,
        use_cpu=student.device.type == "cpu",
    )
    trainer = KDTrainer(
        model=student.model, args=arguments, train_dataset=rows, data_collator=DataCollatorWithPadding(student.tokenizer)
    )
    start = seconds_now()
    trainer.train()
    return seconds_now() - start


def ours(student: Student, texts: list[str], predictions: torch.Tensor, updates: int, size: int) -> float:
    config = DistillConfig(student_updates=updates, student_batch_size=size, student_online_share=0.0)
    distiller = Distiller(student, config, len(texts), seed=0)
    distiller.consume(SyntheticBatch(texts, predictions, torch.full((len(texts),), -1), [""] * len(texts), "texts"))
    start = seconds_now()
    distiller.finish()
    return seconds_now() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--texts", required=True, help="file with a column text")
    parser.add_argument("--student", default="bert:layers=2,hidden=128")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", choices=DTYPES, default="auto", help="ours; the plain loop computes in float32")
    args = parser.parse_args()
    use_dtype(args.dtype)
    teacher: Teacher = load_teacher(args.teacher)
    texts = list(dict.fromkeys(load_texts(args.texts, "text")))[: args.rows]
    predictions = teacher(texts)
    ways = {"plain Trainer": plain, "prompter": ours}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(args.repeats + 1):
        for name, way in ways.items():
            student = load_student(args.student, labels=teacher.labels, teacher=teacher, seed=0)  # type: ignore[arg-type]
            seconds = way(student, texts, predictions, args.updates, args.batch)
            if repeat:  # the first turn warms up
                rates[name].append(args.updates * args.batch / seconds)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in medians.items():
        print(f"{name:15} {rate:8,.0f} rows/s")
    print(f"ratio {medians['prompter'] / medians['plain Trainer']:.2f}")


if __name__ == "__main__":
    main()
