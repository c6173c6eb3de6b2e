"""Datasets of several labels and of scores: what `datasets` opens, and that the answers come back."""

from pathlib import Path

import pytest
import torch
import yaml
from datasets import ClassLabel, List, Value, load_dataset

from distill.batch import SyntheticBatch
from distill.common.errors import InputError
from distill.kinds.found import written
from distill.kinds.kind import Kind
from distill.kinds.labels import MULTI_LABEL
from distill.kinds.names import NOT_GIVEN, GivenKind
from distill.kinds.scores import STEPS, Score
from distill.kinds.tokens import Tokens
from distill.replay import Replay
from eval.corpora.config import CorpusConfig
from eval.corpora.quality import evaluate_data
from eval.corpora.reading import load_corpus
from prompter.exporting.config import ExportConfig
from prompter.exporting.opening import check_confidence, open_teacher_of
from prompter.exporting.run_dataset import write_run_dataset
from prompter.exporting.shards import read_rows, write_csv, write_jsonl
from prompter.students.settling import labels_of, settled_kind
from prompter.students.sources import open_source
from tests.prompter.tiny import WORDS

STARS = Score(1.0, 5.0)
TOPICS = ["food", "staff", "view"]


def answers_of(kind: Kind, rows: int = 40) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    if isinstance(kind, Score):
        return 3.0 + 1.5 * torch.randn(rows, 1, generator=random)
    return 4.0 * torch.randn(rows, 3, generator=random)


def made(kind: Kind, folder: Path, **more: object) -> tuple[Path, torch.Tensor]:
    targets = kind.targets(TOPICS)
    answers = answers_of(kind)
    texts = [f"{WORDS[5 + i % 20]} was {WORDS[6 + i // 2 % 20]} number {i}" for i in range(len(answers))]
    replay = Replay(100, 0, kind=kind)
    wanted = torch.arange(len(answers)) % len(targets)
    replay.add(SyntheticBatch(texts, answers, wanted, [""] * len(texts), "prompted", kind=kind), 0)
    manifest = {
        "name": "run",
        "base": "lm",
        "writer": "lm",
        "teacher": "me/teacher",
        "labels": targets,
        "seed": 5,
        "policy": {},
    }
    write_run_dataset(folder / "dataset", replay, manifest | written(kind) | more)
    return folder / "dataset", answers


@pytest.mark.parametrize("kind", [MULTI_LABEL, STARS])
def test_datasets_opens_the_columns_and_a_source_has_the_same_answers(kind: Kind, tmp_path: Path) -> None:
    folder, answers = made(kind, tmp_path)
    rows = load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    if kind == MULTI_LABEL:
        assert rows.features["labels"] == List(ClassLabel(names=TOPICS)) and rows.features["wanted_label"].names == TOPICS
        assert rows["labels"] == [row.nonzero().flatten().tolist() for row in answers > 0]
        assert torch.allclose(torch.tensor(list(rows["teacher_probs"])), answers.sigmoid())
        sure = torch.maximum(answers.sigmoid(), 1 - answers.sigmoid()).amin(dim=1)
        assert torch.allclose(torch.tensor(rows["confidence"]), sure)
    else:
        assert rows.features["score"] == Value("float32") and rows.features["wanted_label"].names == list(STEPS)
        assert rows["score"] == answers[:, 0].tolist()
        assert not {"teacher_probs", "confidence", "label"} & set(rows.column_names)
    source = open_source(str(folder))
    portion = source.portion(0)
    assert source.answered and source.kind == kind and source.teacher is not None
    assert portion is not None and portion.logprobs is not None
    assert torch.allclose(kind.shown(portion.logprobs), kind.shown(answers), atol=1e-7)
    assert torch.allclose(portion.logprobs, answers, rtol=1e-3, atol=1e-3)
    asked = source.teacher.kind
    assert asked is not None and asked.name == kind.name


@pytest.mark.parametrize("kind", [MULTI_LABEL, STARS])
def test_text_formats_and_tables_without_a_recipe_say_the_kind_by_their_columns(kind: Kind, tmp_path: Path) -> None:
    folder, answers = made(kind, tmp_path)
    features = load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache")).features
    rows = list(read_rows(folder))
    for write in (write_jsonl, write_csv):
        write(folder, features)
    assert (folder / "data.jsonl").read_text().count('"food"' if kind == MULTI_LABEL else '"very low"') > 3
    parquet = folder / "data" / "train-00000.parquet"
    for file in (parquet, *([] if "keep" not in rows[0] else [folder / "data.jsonl", folder / "data.csv"])):
        alone = tmp_path / file.name
        alone.write_bytes(file.read_bytes())
        source = open_source(str(alone))
        portion = source.portion(0)
        assert source.answered and portion is not None and portion.logprobs is not None
        assert torch.allclose(kind.shown(portion.logprobs), kind.shown(answers), atol=1e-6)


def test_the_card_names_labels_and_steps(tmp_path: Path) -> None:
    page = (made(MULTI_LABEL, tmp_path / "labels")[0] / "README.md").read_text()
    assert "| `labels` |" in page and "| label | rows |" in page and "class" not in page.split("## Limits")[0].split("---")[2]
    folder, _ = made(STARS, tmp_path / "score")
    page = (folder / "README.md").read_text()
    assert "| `score` |" in page and "| very high |" in page and "confidence" not in page
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert recipe["prompter"]["kind"] == "score" and recipe["prompter"]["score_high"] == 5.0


def test_sources_of_two_kinds_are_refused_in_one_line(tmp_path: Path) -> None:
    labels, scores = (open_source(str(made(kind, tmp_path / kind.name)[0])) for kind in (MULTI_LABEL, STARS))
    assert labels_of([labels], None) == TOPICS and labels_of([scores], ["stars"]) == ["stars"]
    assert settled_kind([scores], None, NOT_GIVEN, ["score"]) == STARS
    with pytest.raises(InputError, match=r"kind multi_label, .* of the kind score from 1 to 5: give sources of one"):
        settled_kind([labels, scores], None, NOT_GIVEN, TOPICS)
    with pytest.raises(InputError, match="the teacher is of the kind score from 0 to 1"):
        settled_kind([scores], Score(), NOT_GIVEN, ["score"])
    with pytest.raises(InputError, match="--kind is of the kind single"):
        settled_kind([labels], None, GivenKind("single"), TOPICS)
    labels.name, scores.name = "one", "other"
    for source, tags in ((labels, ("O", "B-x")), (scores, ("O", "x"))):
        source.kind = source.form = Tokens(tags)
    with pytest.raises(InputError, match=r"^from: one is of the kind tokens \(O, B-x\), other of the kind tokens \(O, x\): "):
        settled_kind([labels, scores], None, GivenKind("tokens", tags=("O", "B-x")), [])
    with pytest.raises(InputError, match="a number does not say how sure"):
        check_confidence(0.9, STARS)


def test_a_teacher_of_another_kind_than_the_prompters_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one_class.py").write_text("def ask(texts):\n    return [[0.2, 0.3, 0.5]] * len(texts)\n")
    monkeypatch.chdir(tmp_path)
    config = ExportConfig(run="x", to="y", rows=5, teacher="one_class.py:ask", teacher_labels=TOPICS, quiet=True)
    with pytest.raises(
        InputError, match="is of the kind single, but the prompter was trained for multi_label: name a teacher"
    ):
        open_teacher_of(config, {"labels": TOPICS, "kind": "multi_label"}, print)


@pytest.mark.parametrize("kind", [MULTI_LABEL, STARS])
def test_the_quality_of_both_is_judged(kind: Kind, tmp_path: Path) -> None:
    folder, answers = made(kind, tmp_path)
    corpus = load_corpus(str(folder))
    found = evaluate_data(CorpusConfig(data=str(folder), quiet=True))["corpus"]
    if kind == MULTI_LABEL:
        assert corpus.classes_are == "labels" and sum(found["classes"]["counts"].values()) == int((answers > 0).sum())
        assert found["confidence"]["mean"] > 0.5
    else:
        assert found["scores"]["mean"] == pytest.approx(float(answers.mean()), abs=1e-5)
        assert "confidence" not in found
