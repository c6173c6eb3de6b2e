"""`prompter compress` as a whole, on a tiny teacher."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file, save_file
from scipy.stats import beta

from distill.common.errors import InputError
from distill.common.files import write_json
from prompter.cli import main
from prompter.compressing import planning, result
from tests.distill.tiny import LABELS, random_texts
from tests.prompter.compressing.compressions import run, summary_of, write_teacher
from tests.prompter.saved.hub_server import Hub, hub  # noqa: F401
from tests.prompter.students.distilling import kill_at

pytestmark = pytest.mark.usefixtures("quick")

SMALL = ("--budget", 400, "--export", "none", "--quiet")


def weights(to: Path) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in load_file(to / "student" / "model.safetensors").items()}


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    layered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert run(layered, tmp_path / "small", "--dry_run", "--explain", "--budget", 400) == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in ("3 classes (sea, field, town)", "as-dfd", "teacher-layers:0,2", "400;", "docs/benchmarks/students.md"):
        assert words in said, words
    assert "prompter distill --teacher" in said and "minute" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_a_setting_that_ended_the_first_step_at_once_can_be_corrected(
    layered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small"
    assert run(layered, small, "--budget", 1, "--export", "none", "--quiet") == 2
    assert "or a larger budget" in capsys.readouterr().err and (small / ".student.work" / "config.yaml").is_file()
    assert run(layered, small, *SMALL) == 0
    capsys.readouterr()
    assert run(layered, small, "--budget", 1, "--export", "none", "--quiet") == 2
    assert "begun with other settings (budget: 400 there, 1 here)" in capsys.readouterr().err


def test_a_teacher_becomes_a_student_with_a_report_and_a_second_call_does_nothing(
    layered: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    hub: Hub,  # noqa: F811
) -> None:
    to = tmp_path / "small"
    assert run(layered, to, *SMALL) in (0, 3)  # a random teacher is not easily learnt
    said = "".join(capsys.readouterr().out.split())  # long paths are wrapped
    assert "Agreementwiththeteacher" in said and f"{to}/student" in said and "prompterevaluate" in said
    summary = summary_of(to)
    found = summary["agreement"]
    agreed = round(found["value"] * found["texts"])
    assert found["low"] == pytest.approx(beta.ppf(0.025, agreed, found["texts"] - agreed + 1))
    assert found["high"] == pytest.approx(beta.ppf(0.975, agreed + 1, found["texts"] - agreed))
    assert summary["teacher_queries"] == 400 and list(summary["models"]) == ["teacher", "student"]
    assert summary["models"]["student"]["bytes"] < summary["models"]["teacher"]["bytes"]
    assert "# small" in (to / "student" / "README.md").read_text() and "What was written" in (to / "report.html").read_text()
    assert not list(to.glob(".*.work"))
    made = {file: file.stat().st_mtime_ns for file in to.rglob("*") if file.is_file()}
    assert run(layered, to, *SMALL[:-1]) in (0, 3)
    assert "finished; nothing to do" in " ".join(capsys.readouterr().out.split())
    assert made == {file: file.stat().st_mtime_ns for file in made}
    page = (to / "report.html").read_bytes()
    (to / "report.html").unlink()
    assert main(["report", str(to)]) == 0 and (to / "report.html").read_bytes() == page
    assert run(layered, to, *SMALL, "--push_to_hub", "me/small") in (0, 3)
    assert {"config.json", "model.safetensors", "README.md"} <= set(hub.files("me/small"))
    assert str(tmp_path).encode() not in hub.files("me/small")["README.md"]
    assert run(layered, to, *SMALL, "--push_to_hub", "me/small", "--license", "mit", "--language", "de") in (0, 3)
    head = yaml.safe_load(hub.header("me/small"))
    assert head["license"] == "mit" and head["language"] == ["de"]
    assert run(layered, to, "--budget", 500, "--export", "none", "--quiet") == 2
    assert "budget: 400 there, 500 here" in capsys.readouterr().err


def test_a_killed_call_goes_on_to_the_same_student(
    layered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        kill_at(3, patch)
        run(layered, tmp_path / "killed", *SMALL)
    assert (tmp_path / "killed" / "plan.json").is_file() and not (tmp_path / "killed" / "student").exists()
    for name in ("killed", "whole"):
        assert run(layered, tmp_path / name, *SMALL) in (0, 3)
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


def test_a_later_call_counts_the_time_and_the_programs_of_earlier_ones(
    layered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(student: Path, kinds: list[str], *unused: object) -> dict[str, dict]:
        for kind in kinds:
            write_json(student / kind / "prompter_export.json", {"bytes": 1, "milliseconds": 1.0})
        return {kind: {"bytes": 1, "milliseconds": 1.0} for kind in kinds}

    monkeypatch.setattr(result, "export_new", made)
    to = tmp_path / "small"
    assert run(layered, to, "--budget", 400, "--quiet", "--export", "onnx") in (0, 3)
    learnt = json.loads((to / "student" / "summary.json").read_text())
    write_json(to / "student" / "summary.json", learnt | {"seconds": 1000.0})
    assert run(layered, to, "--budget", 400, "--quiet", "--export", "onnx-int8") in (0, 3)
    summary = summary_of(to)
    assert summary["seconds"] >= 1000
    assert list(summary["programs"]) == ["onnx", "onnx-int8"] and {"onnx", "onnx-int8"} <= summary["models"].keys()


def test_a_teacher_that_changes_on_the_way_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = write_teacher(tmp_path / "teacher")
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        kill_at(2, patch)
        run(teacher, tmp_path / "small", *SMALL)
    write_teacher(teacher, seed=1)
    capsys.readouterr()
    assert run(teacher, tmp_path / "small", *SMALL) == 2
    error = capsys.readouterr().err
    assert "has changed since" in error and error.count("\n") == 1


@pytest.mark.slow
def test_texts_of_a_language_model_are_kept(tmp_path: Path, layered: Path, lm_folder: Path) -> None:
    to = tmp_path / "small"
    assert run(layered, to, "--generator", lm_folder, "--budget", 96, "--export", "none", "--quiet") in (0, 3)
    assert {"student", "dataset", "run", "plan.json", "summary.json", "report.html"} <= {file.name for file in to.iterdir()}
    assert json.loads((to / "run" / "summary.json").read_text())["teacher_queries"] == 96
    assert summary_of(to)["teacher_queries"] == 96 and (to / "dataset" / "recipe.yaml").is_file()


@pytest.mark.slow
def test_as_dfd_and_then_texts_make_one_student_and_its_folder_is_not_to_change_on_the_way(
    tmp_path: Path, layered: Path, lm_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(planning, "FEWEST_EACH", 32)
    to = tmp_path / "small"
    call = ("--generator", lm_folder, "--budget", 133, "--export", "none", "--quiet", "--eval_data", labelled(tmp_path))
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        kill_at(2, patch, within=".student.work")
        run(layered, to, *call)
    plan = json.loads((to / "plan.json").read_text())
    assert plan["plan"]["method"] == "both" and list(plan["finished"]) == ["run", "first_student"]
    assert {"crafting", "teacher", "writing", "student"} == set(plan["seconds"])
    weights_of_first = (to / "first_student" / "model.safetensors").read_bytes()
    for spoil, said in ((gone, "has gone"), (changed, "has changed")):
        spoil(to / "first_student")
        capsys.readouterr()
        assert run(layered, to, *call) == 2
        error = capsys.readouterr().err
        assert f"first_student' {said}, and the student goes on from it: put it back" in error and error.count("\n") == 1
        (to / "aside").exists() and (to / "aside").rename(to / "first_student")
        (to / "first_student" / "model.safetensors").write_bytes(weights_of_first)
    assert run(layered, to, *call) in (0, 3)
    said = "".join(capsys.readouterr().out.split())
    assert "Teacherqueries:133:67forcraftedsamples(as-dfd),66foraprompter'stexts." in said
    assert f"Thestudentwentonfrom{to}/first_student" in said
    summary = summary_of(to)
    assert summary["teacher_queries"] == 133 and [stage["teacher_queries"] for stage in summary["learnt"]] == [67, 66]
    assert set(summary["written"]) == {
        str(to / name) for name in ("student", "first_student", "dataset", "run", "report.html")
    }
    assert 0 <= summary["real"]["accuracy"] <= 1
    card, page = (to / "student" / "README.md").read_text(), (to / "report.html").read_text()
    assert "| teacher queries | 133: 67 for crafted samples (as-dfd), 66 for a prompter's texts |" in card
    assert "| went on from | teacher-layers:0,2, after 5 updates on method as-dfd and 67 teacher queries |" in card
    assert "133: 67 for crafted samples" in page and "went on from" in page
    (to / "report.html").unlink()
    assert main(["report", str(to)]) == 0 and (to / "report.html").read_text() == page


def labelled(folder: Path) -> Path:
    """Write labelled data that the student is only measured on."""
    rows = [{"text": text, "label": row % 3} for row, text in enumerate(random_texts(30, 5))]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "test.jsonl"


def gone(folder: Path) -> None:
    folder.rename(folder.parent / "aside")


def changed(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, folder / "model.safetensors")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_both_methods_killed_in_each_step_go_on_to_the_same_student(
    tmp_path: Path, layered: Path, lm_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "FEWEST_EACH", 32)
    call = ("--generator", lm_folder, "--budget", 700, "--export", "none", "--quiet", "--no_pilot")
    for within in ("run", ".first_student.work", ".student.work"):
        with monkeypatch.context() as patch, pytest.raises(SystemExit):
            kill_at(3, patch, within=within)
            run(layered, tmp_path / "killed", *call)
    for name in ("killed", "whole"):
        assert run(layered, tmp_path / name, *call) in (0, 3)
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    asked = [summary_of(tmp_path / name)["teacher_queries"] for name in ("killed", "whole")]
    assert asked == [700, 700]


def test_own_texts_and_a_function_that_knows_one_answer_end_after_the_pilot(
    tmp_path: Path, lm_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = tmp_path / "mine.txt"
    texts.write_text("\n".join(random_texts(600, 1)))
    call = ["tests.prompter.training.acceptability:nothing", tmp_path / "small", "--texts", texts]
    student = ["--student", "bert:layers=1,hidden=16,heads=1", "--student_tokenizer", lm_folder, *SMALL]
    assert run(*call, *student) == 2
    assert "has no function 'nothing'" in capsys.readouterr().err and not (tmp_path / "small").exists()
    call[0] = "tests.prompter.training.acceptability:acceptability"
    assert run(*call, *student) == 3
    error = capsys.readouterr().err
    assert "pilot of 256 queries" in error and error.count("\n") == 1
    assert not (tmp_path / "small" / "student").exists()


def test_a_language_model_and_a_model_of_entailment_are_planned_with_their_cost(
    layered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    student = ("--student", "bert:layers=1,hidden=16,heads=1", "--student_tokenizer", layered)
    to, more = tmp_path / "small", ("--teacher_labels", "sea", "town", *student, "--dry_run")
    url, writer = "openai+http://127.0.0.1:9/v1#m", ("--texts", tmp_path / "texts.txt", "--explain")
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in random_texts(50, 1)))
    money = ("--teacher_price", 2, "--budget_money", 1.5, "--task_description", "a line")
    assert run(url, to, *more, *writer, *money) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "a language model behind a service, 2 classes (sea, town)" in said
    assert "at most 750, 1.50 at 2 for 1,000" in said and "The text below is a line." in said
    assert run(url, to, "--dry_run", *writer) == 2
    assert "teacher_labels is missing" in capsys.readouterr().err
    nli = write_teacher(tmp_path / "nli", ["contradiction", "neutral", "entailment"])
    assert run(nli, to, *more, *writer) == 0
    assert "an NLI model that is asked about each class, 2 classes (sea, town)" in " ".join(capsys.readouterr().out.split())
    assert run(nli, to, "--dry_run", *writer) == 0
    assert "To ask an NLI model zero-shot, give your own classes" in " ".join(capsys.readouterr().out.split())


def test_a_plan_says_the_kind_of_the_teacher(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = write_teacher(tmp_path / "pairs", ["entailment", "neutral", "contradiction"])
    words = write_teacher(tmp_path / "words", ["O", "B-sea", "I-sea"])
    config = json.loads((words / "config.json").read_text())
    (words / "config.json").write_text(json.dumps(config | {"architectures": ["BertForTokenClassification"]}))
    (tmp_path / "mine.txt").write_text("\n".join(random_texts(900, 1)))
    for teacher, kind, more in ((pairs, "pair", ()), (words, "tokens", ("--texts", tmp_path / "mine.txt"))):
        capsys.readouterr()
        assert run(teacher, tmp_path / "small", *SMALL, "--dry_run", *more) == 0
        assert f"of the kind {kind} none is measured" in " ".join(capsys.readouterr().out.split())
    assert run(tmp_path / "nowhere", tmp_path / "small", *SMALL) == 2
    assert "does not exist" in capsys.readouterr().err
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize(("labels", "problem"), [(LABELS, "multi_label_classification"), (["stars"], "regression")])
def test_labels_and_scores_are_learnt_from_own_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], labels: list[str], problem: str
) -> None:
    teacher, to = write_teacher(tmp_path / "teacher", labels), tmp_path / "small"
    config = json.loads((teacher / "config.json").read_text())
    (teacher / "config.json").write_text(json.dumps(config | {"problem_type": problem}))
    (tmp_path / "mine.txt").write_text("\n".join(random_texts(900, 1)))
    several = len(labels) > 1
    truth = [[1, 0, 1], [0, 1, 0]] if several else [0.5, 0.1]
    column = "labels" if several else "label"
    rows = [{"text": text, column: truth[row % 2]} for row, text in enumerate(random_texts(30, 5))]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    more = ["--score_low", -60, "--score_high", 60] if not several else []
    call = ("--texts", tmp_path / "mine.txt", "--eval_data", tmp_path / "test.jsonl", *more)
    assert run(teacher, to, *call, "--budget", 900, "--export", "none", "--quiet", "--no_pilot") in (0, 3)
    said, summary = " ".join(capsys.readouterr().out.split()), summary_of(to)
    assert summary["teacher"]["answers"] == ("multi_label" if several else "score")
    assert ("each label counts" if several else "the same fifth of the range") in said
    assert (summary["calibration"] is not None) == several == ("--calibrate YOUR_TEXTS.txt" in said)
    assert ("micro-F1" if several else "squared error") in said
    assert "one class for a text" in summary["plan"]["notes"][0]
    assert json.loads((to / "student" / "config.json").read_text())["problem_type"] == problem


def test_a_default_program_that_cannot_be_made_is_a_note(
    layered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*unused: object) -> None:
        raise InputError("onnx: the exporter cannot convert this bert")

    monkeypatch.setattr(result, "export_new", fail)
    to = tmp_path / "small"
    assert run(layered, to, "--budget", 400, "--quiet") in (0, 3)
    assert "No program was written: onnx: the exporter" in " ".join(capsys.readouterr().out.split())
    done = (to / "summary.json").read_bytes()
    assert run(layered, to, "--budget", 400, "--quiet", "--export", "onnx") == 2
    assert capsys.readouterr().err == "prompter: onnx: the exporter cannot convert this bert\n"
    assert (to / "summary.json").read_bytes() == done


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a busy machine, and the toy teacher is trained first
def test_the_toy_task_from_the_command_line_to_a_program_without_torch(tmp_path: Path) -> None:
    to = tmp_path / "small"
    done = subprocess.run(
        [sys.executable, "-m", "prompter", "compress", "toy:sentiment", "--to", str(to), "--eval_data", "toy:sentiment"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "as-dfd" in done.stdout and "Pilot of" in done.stdout
    summary = summary_of(to)
    assert summary["real"]["accuracy"] > 0.85 and summary["programs"]["onnx"]["agreement"] >= 0.99
    script = (
        "import runpy, sys; runpy.run_path('examples/run_without_torch.py', run_name='__main__'); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    program = [sys.executable, "-c", script, str(to / "student" / "onnx"), "the staff was lovely ."]
    assert "positive" in subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert (to / "student" / "README.md").is_file() and (to / "report.html").is_file()
