"""The work of `prompter distill`: what students learn, kills, selection."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from transformers import pipeline

from distill.common.seeding import random_generator
from distill.held_out import is_held_out
from distill.student import load_student
from prompter.runtime.markdown import cell
from prompter.students.work import Distillation
from tests.prompter.students.distilling import STUDENT, kill_at, outcome, run, texts


def test_a_student_from_a_dataset_needs_no_teacher(
    exported: Path, teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*arguments: object) -> None:
        raise AssertionError("the teacher was asked")

    monkeypatch.setattr("distill.teachers.loading.TransformersTeacher.__call__", ask)
    to = tmp_path / "students" / "tiny"
    assert run("--from", exported, "--student", STUDENT, "--to", to) == 0
    summary = json.loads((to / "summary.json").read_text())
    assert (summary["texts"], summary["teacher_queries"]) == (540, 0)
    kept = {text for i, text in enumerate(texts(600)) if i % 10}
    assert summary["held_out_texts"] == sum(is_held_out(text, None, 0.05) for text in kept)
    answer = pipeline("text-classification", str(to))("good w3 w4")
    assert answer[0]["label"] in ("good", "bad")
    log = [json.loads(line) for line in (to / "training_log.jsonl").read_text().splitlines()]
    assert [row["update"] for row in log if "update" in row][-1] == 40
    card = (to / "README.md").read_text()
    assert "What it learnt from" not in card and not (to / "samples.jsonl").exists()  # one's own texts are not copied
    assert "pipeline_tag: text-classification" in card and cell(exported.name) in card and str(exported) not in card
    assert "not trained on" in card
    assert not list(to.parent.glob(".*"))


def test_the_best_state_by_held_out_agreement_is_kept(exported: Path, tmp_path: Path) -> None:
    to = tmp_path / "tiny"
    assert run("--from", exported, "--student", STUDENT, "--to", to, "--held_out", 0.2, "--student_learning_rate", 0.02) == 0
    log = [json.loads(line) for line in (to / "training_log.jsonl").read_text().splitlines()]
    rows = [row for row in log if "agreement" in row]
    best = max(rows, key=lambda row: (row["agreement"], -row["kl"]))
    figures = json.loads((to / "summary.json").read_text())["students"]["bert-layers1-hidden16-heads1"]
    assert (figures["selected_update"], figures["held_out_agreement"]) == (best["update"], best["agreement"])
    held = [text for text in {text for i, text in enumerate(texts(600)) if i % 10} if is_held_out(text, None, 0.2)]
    data = Dataset.from_parquet([str(file) for file in sorted((exported / "data").iterdir())])
    teacher = {row["text"]: row["label"] for row in data}
    student = load_student(str(to), labels=["good", "bad"], device="cpu")
    chosen = student.answers(held).argmax(1).tolist()
    agreement = sum(a == teacher[text] for a, text in zip(chosen, held, strict=True)) / len(held)
    assert agreement == pytest.approx(best["agreement"])


def test_several_students_share_texts_and_answers(
    exported: Path, own_text: Path, teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counting.py").write_text(
        "asked = []\ndef answer(texts):\n    asked.extend(texts)\n"
        "    return [[.9, .1] if len(t) % 2 else [.2, .8] for t in texts]\n"
        "answer.labels = ['good', 'bad']\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    both = ["--student", STUDENT, "--student", "bert:layers=1,hidden=32,heads=2"]
    mixed = ["--from", exported, "--from", own_text, "--weights", 1, "--weights", 3]
    tokenizer = ["--student_tokenizer", teacher_folder]
    assert run(*mixed, *both, *tokenizer, "--teacher", "counting:answer", "--to", "pair") == 3  # parity cannot be learnt
    import counting  # type: ignore[import-not-found]

    assert sorted(counting.asked) == sorted(texts(300, 1))
    summary = json.loads(Path("pair/summary.json").read_text())
    assert (summary["texts"], summary["teacher_queries"]) == (840, 300)
    assert set(summary["students"]) == {"bert-layers1-hidden16-heads1", "bert-layers1-hidden32-heads2"}
    for name in summary["students"]:
        assert pipeline("text-classification", f"pair/{name}")("good w3")[0]["label"] in ("good", "bad")


def test_weights_are_the_shares_of_what_is_drawn(
    exported: Path, own_text: Path, teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    original = Distillation.summary

    def note(self: Distillation) -> dict[str, Any]:
        (distiller,) = self.distillers.values()
        for counter in range(40):
            drawn.extend(distiller.replay.sources[i] for i in distiller.replay.sample(16, 1000 + counter).tolist())
        return original(self)

    monkeypatch.setattr(Distillation, "summary", note)
    mixed = ["--from", exported, "--from", own_text, "--weights", 1, 3, "--teacher", teacher_folder]
    assert run(*mixed, "--student", STUDENT, "--to", tmp_path / "tiny") == 0
    assert drawn.count(str(own_text)) / len(drawn) == pytest.approx(0.75, abs=0.06)


@pytest.mark.parametrize("online", [[], pytest.param(["--student_restart", "true"], marks=pytest.mark.slow)])
def test_a_killed_call_ends_as_one_never_killed(
    exported: Path, own_text: Path, teacher_folder: Path, tmp_path: Path, online: list[str]
) -> None:
    students = ["--student", STUDENT, "--student", "bert:layers=1,hidden=32,heads=2"]
    call = ["--from", exported, "--from", own_text, "--teacher", teacher_folder, *students, *online, "--save_seconds", 0]
    assert run(*call, "--to", tmp_path / "whole") == 0
    expected = outcome(tmp_path / "whole")
    steps = len(expected[1]["training_log.jsonl"].splitlines())
    assert steps > 10
    to = tmp_path / "killed"
    for kill in torch.randint(1, 4, (5,), generator=random_generator(0, "kills")).tolist():  # each gets a step or two further
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
            kill_at(kill, patch)
            run(*call, "--to", to, "--resume")
        assert not to.exists()
    assert run(*call, "--to", to, "--resume") == 0
    assert outcome(to) == expected


def test_a_killed_call_does_not_go_on_with_sources_or_a_student_that_have_changed(
    exported: Path, own_text: Path, teacher_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    student = Path(shutil.copytree(teacher_folder, tmp_path / "student"))
    call = ["--from", exported, "--from", own_text, "--teacher", teacher_folder, "--student", student, "--save_seconds", 0]
    call += ["--to", tmp_path / "killed"]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        kill_at(4, patch)
        run(*call)
    shard = exported / "data" / "train-00001.parquet"
    other = Dataset.from_parquet(str(shard), cache_dir=str(tmp_path / "arrow"))
    other = other.map(lambda row: {"teacher_probs": row["teacher_probs"][::-1]}, features=other.features)
    rows = "".join(json.dumps({"text": text}) + "\n" for text in texts(300, 2))
    again = {name: value * 1.01 for name, value in load_file(student / "model.safetensors").items()}
    for what, file, change in (
        (f"from: {own_text}", own_text, lambda file: file.write_text(rows)),
        (f"from: {exported}", shard, lambda file: other.to_parquet(file)),
        (f"student: {student}", student / "model.safetensors", lambda file: save_file(again, file, {"format": "pt"})),
    ):
        former = file.read_bytes()
        change(file)
        assert run(*call, "--resume") == 2
        assert f"{what} has changed since this was begun" in capsys.readouterr().err
        file.write_bytes(former)
    assert run(*call, "--resume") == 0


def test_a_call_that_was_killed_right_after_its_students_leaves_no_work(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ["--from", exported, "--student", STUDENT, "--save_seconds", 0, "--to", tmp_path / "small"]
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(shutil, "rmtree", _killed_at(".small.work", shutil.rmtree))
        run(*call)
    assert (tmp_path / "small" / "summary.json").is_file() and (tmp_path / ".small.work").is_dir()
    assert run(*call) == 0
    assert not (tmp_path / ".small.work").exists()


def _killed_at(name: str, original: Callable[..., None]) -> Callable[..., None]:
    def remove(path: Path, *arguments: object, **settings: object) -> None:
        if Path(path).name == name:
            raise SystemExit
        original(path, *arguments, **settings)

    return remove


def test_trackers_get_the_figures(exported: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    to = tmp_path / "tiny"
    assert run("--from", exported, "--student", STUDENT, "--to", to, "--report_to", "tensorboard") == 0
    assert any(file.stat().st_size > 500 for file in (to / "trackers").rglob("events.*"))


def test_the_saved_student_is_the_one_that_was_measured(exported: Path, tmp_path: Path) -> None:
    call = ["--from", exported, "--student", STUDENT]
    assert run(*call, "--to", tmp_path / "best") == 0
    assert run(*call, "--to", tmp_path / "last", "--select", "last") == 0
    (best,) = json.loads((tmp_path / "best" / "summary.json").read_text())["students"].values()
    (last,) = json.loads((tmp_path / "last" / "summary.json").read_text())["students"].values()
    assert best["held_out_agreement"] >= last["held_out_agreement"] and last["selected_update"] == 40
    same = all(
        torch.equal(a, b)
        for a, b in zip(
            load_file(tmp_path / "best" / "model.safetensors").values(),
            load_file(tmp_path / "last" / "model.safetensors").values(),
            strict=True,
        )
    )
    assert same == (best["selected_update"] == 40)


def test_no_text_is_forgotten_however_the_held_out_share_falls(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    original = Distillation.summary

    def note(self: Distillation) -> dict[str, Any]:
        (distiller,) = self.distillers.values()
        held.append(len(distiller.replay) + len(self.held_out))
        return original(self)

    monkeypatch.setattr(Distillation, "summary", note)
    for share in ("0.003", "0.5"):
        to = tmp_path / share
        assert run("--from", exported, "--student", STUDENT, "--to", to, "--held_out", share, "--select", "last") == 0
    distinct = len({text for i, text in enumerate(texts(600)) if i % 10})
    assert held == [distinct, distinct]


def test_few_texts_of_which_chance_holds_out_none_still_select_a_state(
    teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = tmp_path / "few.txt"
    few.write_text("".join(f"{text}\n" for text in texts(40) if not is_held_out(text, None, 0.05))[:400].rsplit("\n", 1)[0])
    call = ["--from", few, "--teacher", teacher_folder, "--student", STUDENT, "--save_seconds", 0]
    assert run(*call, "--to", tmp_path / "whole") in (0, 3)  # too few texts to learn much
    summary = json.loads((tmp_path / "whole" / "summary.json").read_text())
    assert summary["held_out_texts"] == 1 and summary["texts"] > 5
    for kill in (1, 1, 2):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
            kill_at(kill, patch)
            run(*call, "--to", tmp_path / "killed", "--resume")
    assert run(*call, "--to", tmp_path / "killed", "--resume") in (0, 3)
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")
    one = tmp_path / "one.txt"
    one.write_text("good w1 w2\ngood w1 w2\n")
    assert run("--from", one, "--teacher", teacher_folder, "--student", STUDENT, "--to", tmp_path / "one") == 2
