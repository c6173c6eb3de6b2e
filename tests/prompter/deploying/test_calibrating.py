"""Calibrated when it is made, calibrated again on texts of the user: in config.json, in the card, and in what is printed."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, pipeline

from distill.checkpoints.checksums import faults
from distill.portable.formats import RECORD
from distill.teachers.loading import load_teacher
from eval.classifiers.calibration import calibrate, stored_calibration
from prompter import Cascade, evaluate
from prompter.cli import main
from tests.prompter.deploying.conftest import WORDS, some_texts
from tests.prompter.tiny import tiny_teacher, word_tokenizer

TRAINING = ["--student_updates", "60", "--student_batch_size", "16", "--measure_every", "20"]


def lines(count: int, seed: int) -> list[str]:
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 9, (count,), generator=random).tolist()
    drawn = (" ".join(WORDS[i] for i in torch.randint(27, (n,), generator=random).tolist()) for n in lengths)
    return list(dict.fromkeys(drawn))


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher with two classes that are about equally frequent."""
    folder = tmp_path_factory.mktemp("varied")
    tiny_teacher(2, scale=60.0).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory, teacher_folder: Path) -> Path:
    """A student of the teacher's first layer, with 700 held-out texts."""
    place = tmp_path_factory.mktemp("calibrated")
    (place / "texts.txt").write_text("\n".join(lines(1500, 0)))
    line = ["distill", "--from", str(place / "texts.txt"), "--teacher", str(teacher_folder), "--budget", "1500", *TRAINING]
    line += [
        "--student",
        "bert:layers=1,hidden=32,heads=1",
        "--held_out",
        "0.5",
        "--calibrate_to",
        "0.6",
        "--to",
        str(place / "student"),
        "--device",
        "cpu",
        "--quiet",
    ]
    assert main(line) == 0
    return place / "student"


def test_distil_calibrates_on_held_out_texts(distilled: Path) -> None:
    summary = json.loads((distilled / "summary.json").read_text())
    (figures,) = summary["students"].values()
    found = stored_calibration(AutoConfig.from_pretrained(distilled), "")
    measured = sum("kappa" in line for line in (distilled / "training_log.jsonl").read_text().splitlines())
    stored = json.loads((distilled / "config.json").read_text())["prompter_calibration"]
    assert found is not None and figures["calibration"] == stored
    assert found.states == measured > 1 and found.rate == 0.6 and found.on == "held-out texts"
    assert found.texts == summary["held_out_texts"] > 600 and found.threshold is not None and found.at_least >= 0.6
    card = " ".join((distilled / "README.md").read_text().split())
    assert (
        "at least 60.0 % of texts of the kind below, at 95 % confidence" in card
        and "texts of another kind the student may agree less" in card
    )
    assert pipeline("text-classification", str(distilled))("good w1")[0]["label"] in ("good", "bad")


def test_without_enough_texts_there_is_no_calibration(
    distilled: Path, teacher_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A student that starts from a calibrated one does not inherit what was said of that."""
    (tmp_path / "few.txt").write_text("\n".join(some_texts(80)))
    line = ["distill", "--from", str(tmp_path / "few.txt"), "--teacher", str(teacher_folder), "--budget", "80", *TRAINING]
    line += ["--student", str(distilled), "--held_out", "0.2", "--to", str(tmp_path / "new"), "--device", "cpu"]
    assert main(line) == 0
    assert "held-out texts with an answer are too few, 40 would be the least" in " ".join(capsys.readouterr().out.split())
    assert "prompter_calibration" not in json.loads((tmp_path / "new" / "config.json").read_text())
    assert "It is not calibrated" in (tmp_path / "new" / "README.md").read_text()


def test_calibrated_again_on_texts_of_the_user(
    distilled: Path, teacher_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(distilled, tmp_path / "student")
    texts = lines(400, 9)
    (tmp_path / "mine.txt").write_text("\n".join([*texts, texts[0]]))
    line = ["evaluate", str(folder), "--teacher", str(teacher_folder), "--calibrate", str(tmp_path / "mine.txt")]
    assert main([*line, "--calibrate_to", "0.97", "--device", "cpu", "--quiet"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    own, taught = load_teacher(str(folder), "cpu")(texts), load_teacher(str(teacher_folder), "cpu")(texts)
    expected = calibrate(own, taught, "texts of mine.txt", 0.97)
    found = stored_calibration(AutoConfig.from_pretrained(folder), "")
    assert found == expected and found is not None and found.states == 1 and found.threshold is not None
    assert f"sure from {found.threshold:.3f} on" in shown and f"{len(texts)} texts" in shown and "50%" in shown
    config = (folder / "config.json").read_bytes()
    listed = json.loads((folder / "checksums.json").read_text())["config.json"]
    assert not faults(folder) and listed == [len(config), hashlib.sha256(config).hexdigest()]  # written again
    card = (folder / "README.md").read_text()
    assert card.count("When to trust it") == 1 and "texts of mine.txt" in card and "held-out synthetic texts" not in card
    assert card.index("When to trust it") < card.index("## Limits") and str(tmp_path) not in card
    cascade = Cascade(folder, teacher_folder, device="cpu")
    answers = cascade(texts)
    right = [answer.label == ["good", "bad"][row] for answer, row in zip(answers, taught.argmax(dim=1).tolist(), strict=True)]
    assert all(same for same, answer in zip(right, answers, strict=True) if answer.by == "teacher")
    assert 0 < cascade.share < 1 and sum(right) / len(right) >= 0.97


def test_the_teachers_classes_may_stand_in_another_order(distilled: Path, teacher_folder: Path, tmp_path: Path) -> None:
    folder, turned = (shutil.copytree(source, tmp_path / source.name) for source in (distilled, teacher_folder))
    config = json.loads((turned / "config.json").read_text())
    config["id2label"], config["label2id"] = {"0": "bad", "1": "good"}, {"bad": 0, "good": 1}
    (turned / "config.json").write_text(json.dumps(config))
    texts = lines(300, 9)
    (tmp_path / "mine.txt").write_text("\n".join(texts))
    evaluate(folder, teacher=turned, calibrate=tmp_path / "mine.txt", calibrate_to=0.6, device="cpu", quiet=True)
    own, taught = load_teacher(str(folder), "cpu")(texts), load_teacher(str(turned), "cpu")(texts)
    expected = calibrate(own, taught[:, [1, 0]], "texts of mine.txt", 0.6)
    assert stored_calibration(AutoConfig.from_pretrained(folder), "") == expected


def test_programs_that_keep_their_calibration_are_named(
    distilled: Path, teacher_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(distilled, tmp_path / "student")
    (tmp_path / "mine.txt").write_text("\n".join(lines(300, 9)))
    options = {"teacher": teacher_folder, "calibrate": tmp_path / "mine.txt", "device": "cpu"}
    evaluate(folder, **options)
    assert "keep the calibration" not in capsys.readouterr().out
    (folder / "onnx").mkdir()
    (folder / "onnx" / RECORD).write_text("{}")
    evaluate(folder, **options)
    said = "".join(capsys.readouterr().out.split())  # the console breaks lines, also within a long path
    assert f"unlesstheyarenamedaswell:{folder}/onnx" in said


def test_where_no_threshold_is_found_it_says_so(
    distilled: Path, teacher_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(distilled, tmp_path / "student")
    (tmp_path / "mine.txt").write_text("\n".join(lines(300, 9)))
    result = evaluate(
        folder, teacher=teacher_folder, calibrate=tmp_path / "mine.txt", calibrate_to=0.999, device="cpu", quiet=True
    )
    (found,) = result["calibrated"].values()
    assert found["calibration"]["threshold"] is None and len(found["coverage"]["surest"]) == 6
    assert "Too few texts to state a threshold for 99.9 % agreement" in (folder / "README.md").read_text()


def test_what_cannot_be_calibrated_is_named(
    distilled: Path, teacher_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "few.txt").write_text("good\nbad\ngood\n")
    before = (distilled / "config.json").read_bytes()

    def refused(*arguments: str) -> str:
        capsys.readouterr()
        assert main(["evaluate", *arguments, "--device", "cpu", "--quiet"]) == 2
        return capsys.readouterr().err

    line = [str(distilled), "--calibrate", str(tmp_path / "few.txt")]
    assert "calibrate: 2 different texts, expected at least 40" in refused(*line, "--teacher", str(teacher_folder))
    assert "teacher is missing: calibrate asks it about each text" in refused(*line)
    assert "leave --task and --data out" in refused(*line, "--teacher", str(teacher_folder), "--task", "toy_sentiment")
    other = refused("org/model", "--calibrate", str(tmp_path / "few.txt"), "--teacher", str(teacher_folder))
    assert "models names org/model, which is no folder here" in other
    assert "task is missing" in refused(str(distilled))
    assert "calibrate_to is 1.5, expected a number > 0.5 and < 1" in refused(*line, "--teacher", "x", "--calibrate_to", "1.5")
    assert (distilled / "config.json").read_bytes() == before
