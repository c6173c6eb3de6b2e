"""The dataset of a run: exactly the texts that it asked about, in a form that everything reads."""

from pathlib import Path

import pytest
import torch
import yaml
from datasets import load_dataset

from distill.batch import SyntheticBatch
from distill.common.errors import InputError
from distill.replay import Replay
from eval.corpora.reading import load_corpus
from prompter.exporting.run_dataset import write_run_dataset
from prompter.exporting.shards import read_rows
from prompter.students.sources import DatasetSource, open_source

MANIFEST = {
    "name": "run", "base": "lm", "writer": "lm", "teacher": "me/teacher", "labels": ["no", "yes"], "seed": 5,
    "policy": {"writes": "topic", "algorithm": "ppo"},
}  # fmt: skip


def replay_of(texts: list[str], probabilities: list[list[float]], targets: list[int]) -> Replay:
    replay = Replay(100, 0)
    topics = [text.split()[0] for text in texts]
    batch = SyntheticBatch(texts, torch.tensor(probabilities).log(), torch.tensor(targets), topics, "prompted")
    replay.add(batch, 0)
    return replay


@pytest.fixture
def written(tmp_path: Path) -> Path:
    nan = float("nan")
    texts = ["a one", "b = two", "a one", "c | three", "d four"]
    predictions = [[0.9, 0.1], [0.25, 0.75], [0.9, 0.1], [nan, nan], [0.4, 0.6]]
    write_run_dataset(tmp_path / "dataset", replay_of(texts, predictions, [0, 0, 1, 1, 1]), MANIFEST)
    return tmp_path / "dataset"


def test_rows_are_the_texts_once_with_their_answers(written: Path, tmp_path: Path) -> None:
    rows = load_dataset(str(written), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["text"] == ["a one", "b = two", "d four"]  # the repetition and the unusable answer are no rows
    assert rows["topic"] == ["a", "b", "d"]
    assert rows["label"] == [0, 1, 1] and rows["wanted_label"] == [0, 0, 1]
    assert rows.features["label"].names == ["no", "yes"]
    for found, expected in zip(rows["teacher_probs"], [[0.9, 0.1], [0.25, 0.75], [0.4, 0.6]], strict=True):
        assert found == pytest.approx(expected, abs=1e-6)
    assert rows["confidence"] == pytest.approx([0.9, 0.75, 0.6])


def test_rows_stand_in_the_order_of_writing_where_the_first_were_dropped(tmp_path: Path) -> None:
    replay, texts = Replay(3, 0), [f"{name} text" for name in "abcde"]
    for number, text in enumerate(texts):
        answer = torch.tensor([[0.1 * (number + 1), 0.9 - 0.1 * number]]).log()
        replay.add(SyntheticBatch([text], answer, torch.tensor([number % 2]), [text[0]], "prompted"), 0)
    write_run_dataset(tmp_path / "dataset", replay, MANIFEST)
    rows = list(read_rows(tmp_path / "dataset"))
    assert [row["text"] for row in rows] == texts[2:] and [row["wanted_label"] for row in rows] == [0, 1, 0]
    assert [row["topic"] for row in rows] == ["c", "d", "e"]
    assert [row["teacher_probs"][0] for row in rows] == pytest.approx([0.3, 0.4, 0.5])


def test_it_is_a_source_that_answers_for_its_teacher(written: Path) -> None:
    source = open_source(str(written))
    assert isinstance(source, DatasetSource)
    assert (source.answered, source.rows, source.labels) == (True, 3, ["no", "yes"])
    assert source.teacher is not None and source.teacher.name == "me/teacher"
    portion = source.portion(0)
    assert portion is not None and portion.logprobs is not None
    assert torch.allclose(portion.logprobs.exp(), torch.tensor([[0.9, 0.1], [0.25, 0.75], [0.4, 0.6]]), atol=1e-6)


def test_its_quality_can_be_judged(written: Path) -> None:
    corpus = load_corpus(str(written))
    assert corpus.classes == ["no", "yes", "yes"] and corpus.logprob is None and corpus.marked == {}


def test_the_card_counts_and_holds_no_text(written: Path) -> None:
    page = (written / "README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(page.split("---\n")[1])
    assert head["dataset_info"]["splits"][0]["num_examples"] == 3
    assert all(part in page for part in ("| yes | 2 |", "| all | 3 |", "answered as asked for 66.7%", "confidence 0.750"))


def test_a_folder_of_someone_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not replaced"):
        write_run_dataset(tmp_path / "dataset", replay_of(["a b"], [[0.9, 0.1]], [0]), MANIFEST)
    assert [file.name for file in (tmp_path / "dataset").iterdir()] == ["mine.txt"]
