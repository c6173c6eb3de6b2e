"""A task file with its data, and a stand-in for the hub."""

import json

import datasets
import yaml

PAIR = {
    "kind": "pair", "labels": ["no", "yes"], "data": "rows.jsonl", "text_columns": ["a", "b"], "label_column": "same",
    "metrics": ["matthews_correlation", "accuracy"], "version": 1,
}  # fmt: skip
ROWS = [{"a": f"text {i}", "b": f"other {i}", "same": i % 2} for i in range(10)]
ASKED: list = []
"""What the hub was asked for last."""


def write(folder, changes=None, rows=ROWS, without=()):
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {key: value for key, value in (PAIR | (changes or {})).items() if key not in without}
    file = folder / "same.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def hub(monkeypatch, table):
    """Stand in for the hub: a table, or the error that it raises."""

    def load(name, config, **named):
        if isinstance(table, Exception):
            raise table
        ASKED[:] = [name, config, named]
        return table

    monkeypatch.setattr(datasets, "load_dataset", load)


def declared(names, labels, **columns):
    features = {name: datasets.Value("string") for name in columns} | {"label": datasets.ClassLabel(names=names)}
    return datasets.Dataset.from_dict(columns | {"label": labels}, features=datasets.Features(features))
