"""Files of labelled texts in every format that is read."""

import csv
import gzip
import json

import datasets

from eval.data.labelled import load_labelled

LABELS = ["World", "Sports", "Business"]
ROWS = [("Rates, again", 2), ('He said "go"', 0), ("A late goal", 1), ("Ünïcode 新", 0)]


def load(path, labels=LABELS, split="test", text="text", label="label", **more):
    return load_labelled(path, split, text, label, labels, **more)


def jsonl(path, rows, opener=open):
    with opener(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def objects(rows):
    return [{"text": text, "label": label} for text, label in rows]


def write(folder, kind):
    path = folder / f"test{kind}"
    if ".jsonl" in kind:
        return jsonl(path, objects(ROWS), gzip.open if kind.endswith(".gz") else open)
    if kind == ".parquet":
        datasets.Dataset.from_list(objects(ROWS)).to_parquet(path)
        return path
    with (gzip.open if kind.endswith(".gz") else open)(path, "wt", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *ROWS])
    return path
