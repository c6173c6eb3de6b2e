"""What a run says of what it has made: the card of its student, checkpoints without empty cards, and the hub."""

import json
import shutil
from pathlib import Path

import yaml

from prompter.cli import main
from prompter.saved.prompter import Prompter
from tests.prompter.saved.hub_server import Hub, hub  # noqa: F401
from tests.prompter.training.runs import flags_of


def test_a_runs_student_has_a_card(whole: Path) -> None:
    card = (whole / "student" / "README.md").read_text()
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["pipeline_tag"] == "text-classification" and "base_model" not in head and "model-index" not in head
    summary = json.loads((whole / "summary.json").read_text())
    card = card.replace("\\", "")
    for words in ("# whole student", "good, bad", "bert:layers=1,hidden=16,heads=1", "100 texts", "What it learnt from"):
        assert words in card, words
    teacher = Path(summary["teacher"]["name"])
    assert teacher.name in card and str(teacher) not in card  # the card may be published


def test_checkpoints_have_no_card_that_names_none(whole: Path) -> None:
    assert list(whole.rglob("checkpoint-*")) and not list((whole / "checkpoints").rglob("README.md"))
    assert not [file for file in whole.rglob("README.md") if "fine-tuned version of" in file.read_text()]


def test_a_finished_run_is_uploaded_by_the_same_command(
    hub: Hub,  # noqa: F811
    whole: Path,
    teacher_folder: Path,
    lm_folder: Path,
    tmp_path: Path,
) -> None:
    run = shutil.copytree(whole, tmp_path / "whole")
    flags = flags_of(run, teacher_folder, lm_folder, {})
    line = ["train", *flags, "--resume", "--push_to_hub", "me/small", "--license", "mit", "--language", "en"]
    hub.lost = "/commit/"
    assert main(line) == 2
    hub.lost = ""
    assert main(line) in (0, 3)
    opened = {
        "me/small": 'pipeline("text-classification", "me/small")',
        "me/small-prompter": '_pretrained("me/small-prompter")',
    }
    for name, words in opened.items():
        assert hub.repos["model", name]["private"]
        head = yaml.safe_load(hub.header(name))
        assert head["license"] == "mit" and head["language"] == ["en"]
        card = hub.files(name)["README.md"].decode()
        assert words in card and str(tmp_path) not in card and str(run) not in card
    local = Prompter.load(run, device="cpu").topics("good", 2)
    assert Prompter.from_pretrained("me/small-prompter", device="cpu").topics("good", 2) == local
