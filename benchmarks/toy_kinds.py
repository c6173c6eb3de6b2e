"""What texts are worth on the toy tasks of every kind: a fresh student for each kind of text, seed and task.

    python benchmarks/toy_kinds.py topics score pairs tags --queries 2000 --updates 600

It prints a Markdown table: the mean of the task's metric over the seeds and its standard deviation. Real text is the task's
own; unprompted text is what the toy writer writes by itself; the corpus is what that writer has read; random words are drawn
from the corpus. The second texts of unprompted pairs are what the writer goes on with after "so:", "perhaps:" or "but:". The
students learn from the teacher's answers alone, in a plain loop of this file, so that all kinds are treated alike.
"""

import argparse
import json
import random
import statistics
from pathlib import Path

import torch
from scipy.stats import spearmanr
from seqeval.metrics import f1_score as entity_f1_score
from sklearn.metrics import accuracy_score, f1_score
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, kl_div, log_softmax, mse_loss
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    get_linear_schedule_with_warmup,
)

from distill.common.seeding import random_generator, seeded
from eval.toy import located
from eval.toy.tasks.pair_corpus import CUES
from eval.toy.tasks.table import TASKS
from prompter.generation.config import WriterConfig
from prompter.generation.writer import Writer

METRIC = {"single": "accuracy", "pair": "accuracy", "multi_label": "macro-F1", "score": "Spearman", "tokens": "entity F1"}
ROWS = ("real", "unprompted", "corpus", "random words")
BATCH = 64
Texts = list[tuple[str, str | None]]


def read(name: str, split: str) -> list[dict]:
    return [json.loads(line) for line in Path(located(name, split)).read_text(encoding="utf-8").splitlines()]


def texts_of(row: str, name: str, count: int, seed: int) -> Texts:
    """`count` texts of one row of the table, with second texts for pairs."""
    pair = TASKS[name].kind == "pair"
    draws = random.Random(f"{row} {name} {seed}")
    if row == "real":
        return [(r["text"], r.get("text_pair")) for r in draws.sample(read(f"toy:{name}", "train"), count)]
    if row == "unprompted":
        writer = Writer.load("toy:pairs" if pair else "toy", WriterConfig(writer_max_new_tokens=28), "cpu")
        first = writer.unprompted(count, seed, 0).texts
        if not pair:
            return [(text, None) for text in first]
        asked = [f"{text.split(': ')[0]} {draws.choice(list(CUES.values()))}:" for text in first]
        return [split(text) for text in writer.write(asked, seed, 1).texts]
    lines = Path(located("toy:pairs" if pair else "toy", "corpus")).read_text(encoding="utf-8").splitlines()
    if row == "corpus":
        found = [split(line) if pair else (line, None) for line in draws.sample(lines, len(lines))]
        return [(one, two) for one, two in found if two or not pair][:count]
    words = sorted({word for line in lines for word in line.strip(".?").split()})

    def nonsense() -> str:
        return " ".join(draws.choices(words, k=draws.randint(5, 15))) + "."

    return [(nonsense(), nonsense() if pair else None) for _ in range(count)]


def split(line: str) -> tuple[str, str | None]:
    """The sentences before and after the word that joins them; None where there is no second one."""
    for cue in CUES.values():
        first, found, second = line.partition(f" {cue}: ")
        if found:
            return first, second
    return line, None


class Classifier:
    """A model with its tokenizer."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, kind: str) -> None:
        self.model, self.tokenizer, self.kind = model, tokenizer, kind

    def outputs(self, texts: Texts) -> tuple[Tensor, Tensor]:
        """Logits (N, K) or (N, L, K), and which positions (N, L) are words."""
        pairs = [two or "" for _, two in texts] if self.kind == "pair" else None
        read = self.tokenizer(
            [one for one, _ in texts], pairs, padding=True, truncation=True, max_length=64, return_tensors="pt"
        )
        words = read["attention_mask"].bool() & (read["input_ids"] != self.tokenizer.cls_token_id)
        return self.model(**read).logits, words & (read["input_ids"] != self.tokenizer.sep_token_id)

    @torch.inference_mode()
    def answers(self, texts: Texts) -> list[Tensor]:
        """The logits of each text, of its words alone for tags."""
        self.model.eval()
        found = []
        for start in range(0, len(texts), 256):
            logits, words = self.outputs(texts[start : start + 256])
            found += [row[of] for row, of in zip(logits, words, strict=True)] if self.kind == "tokens" else list(logits)
        return found


def loss(kind: str, student: Tensor, teacher: Tensor) -> Tensor:
    if kind == "multi_label":
        return binary_cross_entropy_with_logits(student, teacher.sigmoid())
    if kind == "score":
        return mse_loss(student, teacher)
    return kl_div(log_softmax(student, -1), log_softmax(teacher, -1), reduction="batchmean", log_target=True)


def taught(teacher: Classifier, texts: Texts, updates: int, seed: int) -> Classifier:
    """A student of the demo's size that has learnt the teacher's answers."""
    config = BertConfig.from_dict(teacher.model.config.to_dict())
    config.update({"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128})
    with seeded(seed, "toy-kinds", "weights"):
        model = type(teacher.model)(config)
    student = Classifier(model, teacher.tokenizer, teacher.kind)
    targets = teacher.answers(texts)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimizer, updates // 5, updates)
    draws = random_generator(seed, "toy-kinds", "batches")
    order: list[int] = []
    for _ in range(updates):
        if len(order) < BATCH:
            order += torch.randperm(len(texts), generator=draws).tolist()
        rows, order = order[:BATCH], order[BATCH:]
        model.train()
        logits, words = student.outputs([texts[row] for row in rows])
        if teacher.kind == "tokens":
            value = loss("tokens", logits[words], torch.cat([targets[row] for row in rows]))
        else:
            value = loss(teacher.kind, logits, torch.stack([targets[row] for row in rows]))
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return student


def measured(classifier: Classifier, name: str) -> float:
    """The task's metric on its test split, times 100."""
    rows, labels = read(f"toy:{name}", "test"), TASKS[name].labels
    answers = classifier.answers([(row["text"], row.get("text_pair")) for row in rows])
    if classifier.kind == "tokens":
        named = [[labels[index] for index in answer.argmax(-1)] for answer in answers]
        return 100 * entity_f1_score([row["tags"] for row in rows], named)
    outputs = torch.stack(answers)
    if classifier.kind == "score":
        return 100 * spearmanr(outputs[:, 0], [row["label"] for row in rows]).statistic
    if classifier.kind == "multi_label":
        truth = [[label in row["labels"] for label in range(len(labels))] for row in rows]
        return 100 * f1_score(truth, (outputs > 0).numpy(), average="macro", zero_division=0)
    return 100 * accuracy_score([row["label"] for row in rows], outputs.argmax(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", choices=sorted(TASKS))
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--updates", type=int, default=600)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    lines = ["| task | metric | teacher | " + " | ".join(args.rows) + " |", "|---|---|---|" + "---|" * len(args.rows)]
    for name in args.tasks:
        kind = TASKS[name].kind
        opened = AutoModelForTokenClassification if kind == "tokens" else AutoModelForSequenceClassification
        folder = located(f"toy:{name}", "teacher")
        model = opened.from_pretrained(folder, dtype=torch.float32)
        teacher = Classifier(model, AutoTokenizer.from_pretrained(folder), kind)
        cells = [f"{measured(teacher, name):.1f}"]
        for row in args.rows:
            values = []
            for seed in args.seeds:
                values.append(measured(taught(teacher, texts_of(row, name, args.queries, seed), args.updates, seed), name))
                print(f"{name}, {row}, seed {seed}: {values[-1]:.1f}", flush=True)
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread}")
        lines.append(f"| `toy:{name}` | {METRIC[kind]} | " + " | ".join(cells) + " |")
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
