"""The table of kinds in README.md: every cell is true.

A cell says whether a kind of classifier works with a way of using it. What it says is tried with the command line on tiny
models: it works, or it is refused in one line that names the kind.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification

from distill.common.seeding import seeded
from prompter.cli import main
from prompter.exporting.folder import ExportFolder
from prompter.students.sources import open_source
from tests.distill.rewriters import save_rewriter_base
from tests.distill.tiny import make_tokenizer, random_texts, save_masked_lm
from tests.prompter.exporting.exports import contents
from tests.prompter.tiny import LETTERS, tiny_gpt2, word_tokenizer

README = Path(__file__).parents[1] / "README.md"
YES, NO = "yes", "–"

LABELS = {
    "single": ["sea", "farm", "town"],
    "pair": ["entailment", "not_entailment"],
    "multi_label": ["sea", "farm", "town"],
    "score": ["score"],
    "tokens": ["O", "B-place", "I-place"],
}
STUDENT = [
    "--student",
    "teacher-layers:0",
    "--student_updates",
    "6",
    "--student_batch_size",
    "8",
    "--device",
    "cpu",
    "--quiet",
]
DONE = (0, 3)
"""The call is complete; a student of six updates may be worth nothing."""


def table() -> list[tuple[str, str, str]]:
    """Return kind, way and content of each cell."""
    lines = README.read_text(encoding="utf-8").splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("| kind of classifier |"))
    ways = [cell.strip(" `") for cell in lines[begin].split("|")[3:-1]]
    cells = []
    for line in lines[begin + 2 :]:
        if not line.startswith("|"):
            break
        kind, _, *said = (cell.strip() for cell in line.split("|")[1:-1])
        kind = kind.split("`")[1]
        cells += [(kind, way, cell) for way, cell in zip(ways, said, strict=True)]
    return cells


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny teachers of every kind, a language model, a corpus, and what the methods need."""
    root = tmp_path_factory.mktemp("kinds")
    for kind, labels in LABELS.items():
        config = BertConfig(
            vocab_size=len(make_tokenizer()), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=64, pad_token_id=0, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
            id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)},
            problem_type={"multi_label": "multi_label_classification", "score": "regression"}.get(kind),
        )  # fmt: skip
        with seeded(0, "test", "kinds"):
            model = (BertForTokenClassification if kind == "tokens" else BertForSequenceClassification)(config)
        with torch.no_grad():  # so that answers differ from text to text
            model.bert.embeddings.word_embeddings.weight.mul_(20)
            model.classifier.weight.mul_(8 if kind != "score" else 1)
        model.save_pretrained(root / kind)
        make_tokenizer().save_pretrained(root / kind)
    tiny_gpt2().save_pretrained(root / "lm")
    word_tokenizer(LETTERS).save_pretrained(root / "lm")
    (root / "corpus.txt").write_text("".join(text + "\n" for text in random_texts(120, 1, shortest=6, longest=12)))
    rows = zip(random_texts(100, 2, shortest=3), random_texts(100, 3, shortest=3), strict=True)
    (root / "pair.jsonl").write_text("".join(json.dumps({"text": a, "text_pair": b}) + "\n" for a, b in rows))
    (root / "one.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in random_texts(100, 2, shortest=3)))
    save_masked_lm(root / "masked-lm")
    save_rewriter_base(root / "t5")
    return root


def own(world: Path, kind: str) -> list[str]:
    return ["--teacher", str(world / kind), *(["--score_low", "-2", "--score_high", "2"] if kind == "score" else [])]


def train(world: Path, kind: str, to: Path) -> int:
    small = ["--budget", "48", "--rollout_size", "16", "--minibatch_size", "8", "--topic_max_tokens", "3", "--no_pilot"]
    writing = ["--generator", str(world / "lm"), "--writer_max_new_tokens", "6", "--writer_min_new_tokens", "2"]
    return main(["train", *own(world, kind), *STUDENT, *small, *writing, "--output_dir", str(to / "run")])


def export(world: Path, kind: str, to: Path) -> int:
    """Export rows of a run's prompter, and distil from them."""
    if (status := train(world, kind, to)) not in DONE:
        return status
    rows = ["--rows", "24", "--batch_size", "12", "--device", "cpu", "--quiet", "--to", str(to / "data")]
    if (status := main(["export", str(to / "run"), *rows])) not in DONE:
        return status
    few = ["--held_out", "0.3", "--no_pilot"]  # of so few texts
    return main(["distill", "--from", str(to / "data"), *STUDENT, *few, "--to", str(to / "student")])


def texts(world: Path, kind: str, to: Path) -> int:
    """Distil from texts of one's own."""
    file = str(world / ("pair.jsonl" if kind == "pair" else "one.jsonl"))
    return main(["distill", "--from", file, *own(world, kind), *STUDENT, "--no_pilot", "--to", str(to / "student")])


def label(world: Path, kind: str, to: Path) -> int:
    file = str(world / ("pair.jsonl" if kind == "pair" else "one.jsonl"))
    return main(["label", "--texts", file, *own(world, kind), "--device", "cpu", "--quiet", "--to", str(to / "labelled")])


def method(name: str, *flags: str, needs: tuple[str, ...] = ()) -> Callable[[Path, str, Path], int]:
    def run(world: Path, kind: str, to: Path) -> int:
        files = {"corpus": "corpus.txt", "masked_lm": "masked-lm", "rewriter": "t5"}
        given = [item for name in needs for item in (f"--{name}", str(world / files[name]))]
        pairs = ["--sentence_pairs"] if kind == "pair" and name == "zero-shot" else []
        call = ["distill", "--method", name, *own(world, kind), *STUDENT, *flags, *given, *pairs]
        return main([*call, "--budget", "48", "--no_pilot", "--to", str(to / "student")])

    return run


def compress(world: Path, kind: str, to: Path) -> int:
    """Compress from texts of one's own, with an ONNX program."""
    file = str(world / ("pair.jsonl" if kind == "pair" else "one.jsonl"))
    teacher, *more = own(world, kind)[1:]
    small = ["--texts", file, "--budget", "100", "--export", "none", "--no_pilot", "--device", "cpu", "--quiet"]
    return main(["compress", teacher, *more, *small, "--to", str(to / "small")])


WAYS: dict[str, Callable[[Path, str, Path], int]] = {
    "train": train,
    "export": export,
    "distill --from": texts,
    "label": label,
    "as-dfd": method("as-dfd", "--embeddings_batch_size", "16", "--embeddings_max_length", "8"),
    "zero-shot": method("zero-shot", "--fill_batch_size", "8", "--fill_steps", "1", needs=("corpus", "masked_lm")),
    "t3": method("t3", "--rewriter_batch_size", "16", "--rewriter_updates", "1", "--rewriter_max_length", "10",
                 needs=("corpus", "rewriter")),
    "compress": compress,
}  # fmt: skip


def test_the_table_names_all_kinds_and_ways() -> None:
    cells = table()
    assert {kind for kind, _, _ in cells} == set(LABELS)
    assert {way for _, way, _ in cells} == set(WAYS)
    assert {said for _, _, said in cells} <= {YES, NO}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "way", "said"), table())
def test_a_cell_is_true(
    kind: str, way: str, said: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = WAYS[way](world, kind, tmp_path)
    error = capsys.readouterr().err
    if said == YES:
        assert status in DONE, error
    else:
        assert status == 2 and len(error.strip().splitlines()) == 1, error
        assert re.search(rf"\b{kind}\b", error), error


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", LABELS)
def test_an_export_that_was_killed_ends_with_the_same_bytes_and_its_json_lines_teach_the_same(
    kind: str, world: Path, tmp_path: Path
) -> None:
    assert train(world, kind, tmp_path) in DONE
    rows = ["--rows", "24", "--batch_size", "6", "--shard_rows", "10", "--jsonl", "--device", "cpu", "--quiet"]
    call = ["export", str(tmp_path / "run"), *rows, "--no_teacher_cache"]
    assert main([*call, "--to", str(tmp_path / "whole")]) in DONE
    commit, calls = ExportFolder.commit, []

    def killed(folder: ExportFolder, progress: Any) -> None:
        commit(folder, progress)
        calls.append(progress)
        if len(calls) == 2:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ExportFolder, "commit", killed)
        main([*call, "--to", str(tmp_path / "killed")])
    assert main([*call, "--to", str(tmp_path / "killed")]) in DONE
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    one, other = (open_source(str(tmp_path / "whole" / name)) for name in ("", "data.jsonl"))
    assert one.kind == other.kind and one.labels == other.labels and one.rows == other.rows
    first, second = one.portion(0), other.portion(0)
    assert first is not None and second is not None
    assert first.texts == second.texts and first.text_pairs == second.text_pairs
    torch.testing.assert_close(first.logprobs, second.logprobs, atol=1e-3, rtol=1e-3)
