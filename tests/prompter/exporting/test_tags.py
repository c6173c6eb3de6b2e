"""Datasets of a teacher that tags words: what a run writes, what `datasets` opens, and what a student learns from again."""

import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from distill.batch import SyntheticBatch
from distill.common.errors import InputError
from distill.kinds.tokens import Tokens
from distill.kinds.words import words_of
from distill.replay import Replay
from prompter.exporting.run_dataset import write_run_dataset
from prompter.exporting.shards import read_rows, write_csv, write_jsonl
from prompter.students.sources import DatasetSource, open_source

KIND = Tokens(("O", "B-sea", "I-sea", "B-farm"))
TEXTS = ["Ann saw the sea.", "a cow", "...", "the end, of a long day: \u00e9t\u00e9"]


def run_dataset(folder: Path) -> torch.Tensor:
    answers = torch.zeros(len(TEXTS), 9, 4)
    for row, text in enumerate(TEXTS):
        words = min(7, len(words_of(text)))  # the last text is cut
        answers[row, :words] = (torch.randn(words, 4, generator=torch.Generator().manual_seed(row)) * 3).log_softmax(-1)
    targets = torch.tensor([0, 1, 2, -1])
    replay = Replay(10, 0, kind=KIND)
    replay.add(SyntheticBatch(TEXTS, answers, targets, [""] * len(TEXTS), "prompted", kind=KIND), 0)
    manifest = {
        "name": "x",
        "labels": KIND.targets(KIND.tags),
        "teacher": "models/tagger",
        "seed": 0,
        "base": "toy",
        "policy": {},
    }
    write_run_dataset(folder, replay, manifest)
    return answers


def test_a_run_of_tags_is_opened_by_datasets_and_learnt_from_again(tmp_path: Path) -> None:
    answers = run_dataset(tmp_path / "set")
    opened = datasets.load_dataset(str(tmp_path / "set"), split="train", cache_dir=str(tmp_path / "cache"))
    assert opened.features["tags"].feature.names == list(KIND.tags)
    for row, text in zip(opened, TEXTS, strict=True):
        assert [text[a:b] for a, b in zip(row["starts"], row["ends"], strict=True)] == row["tokens"]
        assert len(row["tokens"]) == len(row["tags"]) == len(row["tag_probs"]) == min(7, len(words_of(text)))
    source = DatasetSource(str(tmp_path / "set"))
    portion = source.portion(0)
    assert source.kind == KIND and source.labels == list(KIND.tags) and portion is not None and portion.logprobs is not None
    torch.testing.assert_close(portion.logprobs, answers[:, :7], atol=1e-4, rtol=1e-4)
    card = (tmp_path / "set" / "README.md").read_text()
    assert "token-classification" in card and "| `confidence` | mean over the words" in card


def test_tags_are_known_without_the_recipe_and_written_by_name(tmp_path: Path) -> None:
    run_dataset(tmp_path / "set")
    (tmp_path / "set" / "recipe.yaml").unlink()
    source = DatasetSource(str(next((tmp_path / "set" / "data").iterdir())))
    assert source.form == KIND and source.labels == list(KIND.tags)
    columns = datasets.Features.from_arrow_schema(pq.read_schema(next((tmp_path / "set" / "data").iterdir())))
    write_jsonl(tmp_path / "set", columns)
    write_csv(tmp_path / "set", columns)
    first = (tmp_path / "set" / "data.jsonl").read_text().splitlines()[0]
    assert '"Ann"' in first and set(KIND.tags) & set(first.replace('"', " ").split())


def test_damaged_answers_about_words_are_named(tmp_path: Path) -> None:
    run_dataset(tmp_path / "set")
    file = next((tmp_path / "set" / "data").iterdir())
    rows = list(read_rows(tmp_path / "set"))
    for change, said in (([[2.0, 0, 0, 0]], "something else than 4 prob"), ([[0.5, 0.5]], "than 4 prob"), (None, "no lists")):
        changed = [row | {"tag_probs": change} for row in rows]
        pq.write_table(pa.Table.from_pylist(changed, schema=pq.read_schema(file)), tmp_path / "bad.parquet")
        with pytest.raises(InputError, match=said):
            DatasetSource(str(tmp_path / "bad.parquet"))


@pytest.mark.parametrize("name", ["data.jsonl", "data.csv"])
def test_json_lines_and_csv_are_the_dataset(name: str, tmp_path: Path) -> None:
    run_dataset(tmp_path / "set")
    shard = next((tmp_path / "set" / "data").iterdir())
    table = pq.read_table(shard)
    columns = datasets.Features.from_arrow_schema(table.schema) | {"keep": datasets.Value("bool")}
    table = table.append_column("keep", pa.array([True] * table.num_rows))
    pq.write_table(table, shard)
    (write_jsonl if name.endswith("jsonl") else write_csv)(tmp_path / "set", columns)
    whole, read = DatasetSource(str(tmp_path / "set")), open_source(str(tmp_path / "set" / name))
    assert isinstance(read, DatasetSource) and read.form == KIND and read.labels == whole.labels
    one, other = whole.portion(0), read.portion(0)
    assert one is not None and other is not None and one.texts == other.texts and torch.equal(one.targets, other.targets)
    torch.testing.assert_close(one.logprobs, other.logprobs, atol=1e-3, rtol=1e-4)
    (tmp_path / "set" / "recipe.yaml").unlink()
    assert open_source(str(tmp_path / "set" / name)).labels == list(KIND.tags)  # by the tags of the rows


def test_json_lines_without_all_tags_need_the_recipe_and_damage_is_named(tmp_path: Path) -> None:
    row = {"text": "Ann sang", "keep": True, "wanted_label": "a", "tokens": ["Ann", "sang"]}
    row |= {"tags": ["O", "O"], "tag_probs": [[0.9, 0.1], [0.8, 0.2]]}
    file = tmp_path / "data.jsonl"
    for tags in (["O", "O"], 7, None):
        file.write_text(json.dumps(row | {"tags": tags}) + "\n")
        with pytest.raises(InputError, match="names of the tags are lost"):
            open_source(str(file))
    file.write_text("".join(json.dumps(row | {"tag_probs": value}) + "\n" for value in (row["tag_probs"], [0.9, 0.1])))
    with pytest.raises(InputError, match=r"row 2: column 'tag_probs' holds '\[0.9, 0.1\]', expected a list of prob"):
        open_source(str(file))
