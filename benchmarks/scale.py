"""Measure how time and memory grow with rows and classes, on tiny models of random weights: the slopes of docs/scale.md.

    OMP_NUM_THREADS=1 python benchmarks/scale.py export --rows 2000 20000 200000
    OMP_NUM_THREADS=1 python benchmarks/scale.py duplicates --rows 20000 200000
    OMP_NUM_THREADS=1 python benchmarks/scale.py replay --rows 10000 100000 1000000
    OMP_NUM_THREADS=1 python benchmarks/scale.py cache --rows 100000 1000000 10000000
    OMP_NUM_THREADS=1 python benchmarks/scale.py classes --classes 4 150 1000

Each size runs in a process of its own, whose peak memory is its own. Seconds are those of the processor, so that other work on
the machine does not count; what waits for a disk or for another process is measured by the clock, and says so.
"""

import argparse
import json
import multiprocessing
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from distill.batch import SyntheticBatch
from distill.kinds.classes import SINGLE
from distill.replay import Replay
from distill.teachers.stored_answers import StoredAnswers
from eval.corpora.duplicates import DuplicateIndex
from prompter.api import distill, export, train
from prompter.generation.policy import TopicPolicy
from prompter.generation.writer import Writer
from prompter.rl.candidate_selection import CandidateSelector
from prompter.saved.manifest import save_prompter
from prompter.training.settings import settings_from

WORDS = 4000
"""Words of the tiny writer. It writes them at random, so no text repeats another one."""

SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]

SPECIAL = ["<pad>", "<unk>", "<end>", "[CLS]", "[SEP]"]

BATCH = 1000
"""Answers of one call of the cache."""


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of whole words."""
    named = islice(map("".join, product(SYLLABLES, repeat=2)), WORDS)
    words = {word: number for number, word in enumerate([*SPECIAL, *named])}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", unk_token="<unk>", eos_token="<end>", bos_token="<end>",
        cls_token="[CLS]", sep_token="[SEP]", model_max_length=64,
    )  # fmt: skip


def tiny_models(folder: Path, classes: int) -> tuple[Path, Path]:
    """Save a writer and a teacher of random weights, and return their folders."""
    torch.manual_seed(0)
    size = WORDS + len(SPECIAL)
    writer = GPT2Config(vocab_size=size, n_positions=64, n_embd=32, n_layer=1, n_head=1, bos_token_id=2, eos_token_id=2)
    labels = {number: f"class{number}" for number in range(classes)}
    teacher = BertConfig(
        vocab_size=size, hidden_size=32, num_hidden_layers=1, num_attention_heads=1, intermediate_size=32,
        max_position_embeddings=64, pad_token_id=0, id2label=labels, label2id={name: i for i, name in labels.items()},
    )  # fmt: skip
    GPT2LMHeadModel(writer).save_pretrained(folder / "writer")
    tokenizer().save_pretrained(folder / "writer")
    model = BertForSequenceClassification(teacher)
    with torch.no_grad():  # else it would answer all texts alike
        model.bert.embeddings.word_embeddings.weight.mul_(30)
        model.classifier.weight.mul_(30)
    model.save_pretrained(folder / "teacher")
    reading = tokenizer()
    reading.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 3), ("[SEP]", 4)]
    )
    reading.save_pretrained(folder / "teacher")
    return folder / "writer", folder / "teacher"


def tiny_prompter(folder: Path, classes: int) -> Path:
    """Save a prompter that was not trained, and return the folder of its run."""
    writer, teacher = tiny_models(folder, classes)
    settings = settings_from({
        "teacher": str(teacher), "generator": str(writer), "output_dir": str(folder / "run"), "device": "cpu",
        "topic_max_tokens": 4, "writer_max_new_tokens": 12, "lora_rank": 2, "in_context": False,
    })  # fmt: skip
    labels = [f"class{number}" for number in range(classes)]
    policy = TopicPolicy.load(str(writer), labels, settings.policy, settings.policy.topic_max_tokens, "cpu")
    made = Writer.beside(policy, str(writer), str(writer), settings.writer, "cpu")
    training = {"rollouts": 0, "teacher_queries": 0}
    save_prompter(folder / "run" / "prompter", settings, policy, made, settings.flat(), training, SINGLE, {})
    return folder / "run"


def of_export(rows: int, folder: Path) -> dict[str, float]:
    """Export so many rows with the teacher's answers and all marks."""
    run = tiny_prompter(folder, 4)
    begin = time.process_time()
    export(run, rows=rows, to=str(folder / "set"), teacher_cache=False, quiet=True)
    seconds = time.process_time() - begin
    data = sum(file.stat().st_size for file in (folder / "set" / "data").iterdir())
    return {"ms a row": 1000 * seconds / rows, "bytes a row": data / rows}


def of_duplicates(rows: int, folder: Path) -> dict[str, float]:
    """Compare each of so many random texts of 20 words with all before it."""
    named = list(islice(map("".join, product(SYLLABLES, repeat=2)), WORDS))
    connection, random = sqlite3.connect(folder / "index.sqlite"), np.random.default_rng(0)
    index = DuplicateIndex(connection, 0.8)
    sketched = looked_up = added = 0.0
    for row in range(rows):
        text = " ".join(named[number] for number in random.integers(0, WORDS, 20))
        times = [time.process_time()]
        sketch = index.sketch(text)
        times.append(time.process_time())
        found = index.find(sketch)
        times.append(time.process_time())
        assert found is None
        index.add(sketch, row)
        if row % 256 == 0:
            connection.commit()
        times.append(time.process_time())
        sketched, looked_up, added = (
            total + later - earlier
            for total, earlier, later in zip((sketched, looked_up, added), times[:-1], times[1:], strict=True)
        )
    connection.commit()
    size = (folder / "index.sqlite").stat().st_size
    connection.close()
    per_row = 1e6 / rows
    return {
        "µs to sketch": sketched * per_row,
        "µs to look up": looked_up * per_row,
        "µs to add": added * per_row,
        "bytes a row": size / rows,
    }


def of_replay(rows: int, folder: Path) -> dict[str, float]:
    """Fill a replay, draw pools, save and load it; then learn and estimate by candidate selection after so many answers."""
    replay, classes = Replay(rows, 0), 4
    answers = torch.randn(rows, classes, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    import sklearn.linear_model  # noqa: F401 - the regression's import takes a second, and is not what is measured

    begin = time.process_time()
    for first in range(0, rows, BATCH):
        part = answers[first : first + BATCH]
        texts = [f"a text of some forty characters, number {number}" for number in range(first, first + len(part))]
        replay.add(SyntheticBatch(texts, part, torch.zeros(len(part), dtype=torch.int64), [""] * len(part), "prompted"), 0)
    added = time.process_time()
    for number in range(10):
        replay.sample(1024, number, "balanced")
    drawn = time.process_time()
    replay.save(folder / "replay")
    saved = time.process_time()
    Replay.load(folder / "replay")
    loaded = time.process_time()
    selector, features = CandidateSelector(classes), torch.randn(BATCH, 512, generator=torch.Generator().manual_seed(0))
    for first in range(0, rows, BATCH):
        selector.learn(features, answers[first : first + BATCH])
    learnt = time.process_time()
    selector.estimate(features)
    return {
        "µs to add": 1e6 * (added - begin) / rows,
        "ms to draw a pool": 100 * (drawn - added),
        "µs to save": 1e6 * (saved - drawn) / rows,
        "µs to load": 1e6 * (loaded - saved) / rows,
        "µs to learn": 1e6 * (learnt - loaded) / rows,
        "ms for a regression": 1000 * (time.process_time() - learnt),
    }


def keys(places: np.ndarray) -> list[bytes]:
    """Return a key of 32 bytes for each place in the order of all keys, (N,) uint64; real keys are hashes, evenly spread."""
    mixed = (places[:, None] + np.arange(4, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    mixed[:, 0] = places
    return [row.tobytes() for row in mixed.astype(">u8")]


def keep(file: Path, places: np.ndarray, at_once: int) -> None:
    """Store answers of a teacher with four classes, so many in a transaction."""
    stored = StoredAnswers(file, "teacher", 4, 600.0)
    answers = np.full((at_once, 4), np.log(0.25), np.float32)
    for begin in range(0, len(places), at_once):
        part = keys(places[begin : begin + at_once])
        stored.keep(dict(zip(part, answers[: len(part)], strict=True)))
    stored.close()


def of_cache(rows: int, folder: Path) -> dict[str, float]:
    """Fill an answer cache, open it, look answers up, and store more: by one process, then by four at once."""
    file, random = folder / "answers.sqlite", np.random.default_rng(0)
    places = np.arange(rows, dtype=np.uint64) * np.uint64(2**64 // rows)
    begin = time.process_time()
    keep(file, places, 100 * BATCH)  # in their order, which is the fastest way to make a large file
    filled, at_first = time.process_time() - begin, time.process_time()
    stored = StoredAnswers(file, "teacher", 4, 600.0)
    opened = time.process_time() - at_first
    size = file.stat().st_size / rows
    known = random.choice(places, 20 * BATCH)
    at_first = time.process_time()
    found = sum(len(stored.look_up(keys(known[first : first + BATCH]))) for first in range(0, len(known), BATCH))
    looked_up = time.process_time() - at_first
    assert found > 0.9 * len(known)
    stored.close()
    timed: dict[str, float] = {}
    for processes in (1, 4):
        new = [random.integers(0, 2**63, 5 * BATCH, dtype=np.uint64) for _ in range(processes)]
        writers = [multiprocessing.Process(target=keep, args=(file, part, 64)) for part in new]
        begin = time.perf_counter()
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert all(writer.exitcode == 0 for writer in writers)
        name = f"ms to store 64 by {processes} {'process' if processes == 1 else 'processes'} (clock)"
        timed[name] = 1000 * (time.perf_counter() - begin) / (processes * 5 * BATCH / 64)
    return {
        "µs to fill": 1e6 * filled / rows,
        "bytes a row": size,
        "s to open": opened,
        "µs to look up": 1e6 * looked_up / len(known),
    } | timed


def of_classes(classes: int, folder: Path) -> dict[str, float]:
    """Train for one rollout, export, and distil, with a teacher of so many classes."""
    run = tiny_prompter(folder, classes)
    common: dict[str, Any] = {"teacher_cache": False, "quiet": True}
    begin = time.process_time()
    teacher, writer, student = str(folder / "teacher"), str(folder / "writer"), "bert:layers=1,hidden=32"
    budget = 2 * max(classes, 32)
    train(
        teacher=teacher, generator=writer, output_dir=str(folder / "trained"), student=student, student_updates=20,
        budget=budget, topic_max_tokens=4, writer_max_new_tokens=12, pilot=False, **common,
    )  # fmt: skip
    trained = time.process_time()
    rows = 2000
    export(run, rows=rows, to=str(folder / "set"), **common)
    exported = time.process_time()
    distill(**{"from": str(folder / "set")}, student=[student], student_updates=20, to=str(folder / "students"), **common)
    return {
        "queries": budget,
        "ms a query of train": 1000 * (trained - begin) / budget,
        "ms a row of export": 1000 * (exported - trained) / rows,
        "s to distil": time.process_time() - exported,
    }


PARTS: dict[str, Callable[[int, Path], dict[str, float]]] = {
    "export": of_export,
    "duplicates": of_duplicates,
    "replay": of_replay,
    "cache": of_cache,
    "classes": of_classes,
}


def child(part: str, size: int) -> None:
    """Measure one size, and print it with the peak memory of this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory() as folder:
        found = PARTS[part](size, Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("\n" + json.dumps(found | {"peak MiB": peak, "of it the libraries": before}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--rows", type=int, nargs="+", default=[2000, 20_000])
    parser.add_argument("--classes", type=int, nargs="+", default=[4, 150, 1000])
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.part, args.child)
        return
    for size in args.classes if args.part == "classes" else args.rows:
        command = [sys.executable, __file__, args.part, "--child", str(size)]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
        shown = ", ".join(f"{name} {value:,.4g}" if value < 1e4 else f"{name} {value:,.0f}" for name, value in found.items())
        print(f"{args.part} {size:,}: {shown}", flush=True)


if __name__ == "__main__":
    main()
