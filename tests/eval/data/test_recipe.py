"""A dataset is compared with its recipe: damage is refused, an edit is named, and neither is silent."""

import logging
from pathlib import Path

import pandas
import pytest
import yaml

from distill.common.errors import InputError
from eval.corpora.reading import load_corpus
from eval.data.recipe import check_dataset, file_entry

NAMES = ["data/train-00000.parquet", "data/train-00001.parquet"]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for number, name in enumerate(NAMES):
        pandas.DataFrame({"text": [f"text {number} {row}" * (1 + number) for row in range(50)]}).to_parquet(tmp_path / name)
    recipe = {"export": {}, "files": {name: file_entry(tmp_path / name, 50) for name in NAMES}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def check(folder: Path) -> None:
    check_dataset(folder, sorted((folder / "data").glob("*.parquet")))


def test_a_whole_dataset_and_one_without_checksums_pass(dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    check(dataset)
    (dataset / "recipe.yaml").write_text("export: {}\n")
    (dataset / NAMES[0]).unlink()
    check(dataset)
    (dataset / "recipe.yaml").unlink()
    check(dataset)
    assert not caplog.records


@pytest.mark.parametrize("place", range(0, 1500, 97))
def test_a_wrong_bit_is_refused(dataset: Path, place: int) -> None:
    content = bytearray((dataset / NAMES[1]).read_bytes())
    content[place % len(content)] ^= 16
    (dataset / NAMES[1]).write_bytes(content)
    for read in (check, lambda folder: load_corpus(str(folder))):
        with pytest.raises(InputError, match="train-00001.parquet is damaged: copy or export"):
            read(dataset)


def test_a_lost_file_is_refused(dataset: Path) -> None:
    (dataset / NAMES[0]).unlink()
    with pytest.raises(InputError, match="train-00000.parquet is missing"):
        check(dataset)


def test_an_edited_dataset_is_read_and_named(dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="prompter"):
        pandas.read_parquet(dataset / NAMES[0]).head(20).to_parquet(dataset / NAMES[0])
        assert len(load_corpus(str(dataset)).texts) == 70
        assert "train-00000.parquet was changed or cut off" in caplog.text
        caplog.clear()
        pandas.read_parquet(dataset / "data").sample(frac=1, random_state=0).to_parquet(dataset / NAMES[0])
        (dataset / NAMES[1]).unlink()  # all in one file now
        assert len(load_corpus(str(dataset)).texts) == 70
        assert "train-00001.parquet is missing" in caplog.text
        caplog.clear()
        pandas.read_parquet(dataset / "data").to_parquet(dataset / "data" / "train-00002.parquet")
        check(dataset)
        assert "train-00002.parquet is not in the recipe" in caplog.text


@pytest.mark.parametrize(
    "files", ["x", "{../x: {bytes: 1, rows: 1, sha256: a}}", "{x: 1}", "{x: {bytes: a, rows: 1, sha256: a}}"]
)
def test_a_damaged_list_is_refused(dataset: Path, files: str) -> None:
    (dataset / "recipe.yaml").write_text(f"export: {{}}\nfiles: {files}\n")
    with pytest.raises(InputError, match="'files' is damaged"):
        check(dataset)
