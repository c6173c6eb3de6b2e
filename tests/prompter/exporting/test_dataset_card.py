"""The card of a dataset."""

import shutil
from pathlib import Path

import datasets
import pytest
import yaml

from prompter.exporting.dataset_card import dataset_header, write_dataset_card
from prompter.exporting.shards import features, read_rows
from tests.prompter.exporting.exports import run


def test_card_and_recipe(whole: Path, run_folder: Path) -> None:
    recipe = yaml.safe_load((whole / "recipe.yaml").read_text())
    assert recipe["result"]["kept"] == 20 and recipe["result"]["complete"]
    assert recipe["result"]["rows"] == 20 + sum(recipe["result"]["marked"].values())
    assert recipe["export"]["min_confidence"] == 0.6 and recipe["export"]["writer_max_new_tokens"] == 8
    card = (whole / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert "synthetic" in head["tags"] and head["size_categories"] == ["n<1K"]
    assert f"low confidence | {recipe['result']['marked']['low confidence']}" in card
    assert str(whole) not in card and str(run_folder) not in card
    assert "|  |" not in card.split("## How it was made")[1]  # a setting without a value is left out
    for name in ("teacher", "base", "writer"):
        named = recipe["prompter"][name]
        assert named not in card or not Path(named).is_absolute()


def test_what_a_manifest_of_others_says_is_no_markup(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "d"))
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe["prompter"] |= dict.fromkeys(("name", "base", "writer", "base_revision", "writer_revision"), "<img src=x> | *a*")
    write_dataset_card(folder, recipe)
    card = (folder / "README.md").read_text()
    assert "<img" not in card and "| *a*" not in card and "(commit &lt;img src=x&gt;" in card


@pytest.mark.parametrize(
    ("rows", "name"), [(999, "n<1K"), (1_000, "1K<n<10K"), (10_000_000, "10M<n<100M"), (2_000_000_000, "1B<n<10B")]
)
def test_sizes_are_called_as_the_hub_calls_them(tmp_path: Path, rows: int, name: str) -> None:
    assert dataset_header(tmp_path, features(["a", "b"], teacher=True), rows)["size_categories"] == [name]


def test_datasets_in_folders_of_one_name_are_not_mixed_up(run_folder: Path, tmp_path: Path) -> None:
    texts = []
    for seed in ("0", "1"):
        assert run(run_folder, tmp_path / seed / "set", "--seed", seed) == 0
        texts.append(datasets.load_dataset(str(tmp_path / seed / "set"), split="train")["text"][:])
        assert texts[-1] == [row["text"] for row in read_rows(tmp_path / seed / "set")]
    assert texts[0] != texts[1]
