"""Settings from files and flags, and what is refused."""

from pathlib import Path

import pytest
import yaml

from distill.common.errors import InputError
from prompter.runtime.parser import parse
from prompter.runtime.shipped import config_path
from prompter.students.config import StudentsConfig
from prompter.training.settings import parse_settings

NEEDED = {"output_dir": "runs/x", "teacher": "t", "generator": "g"}


def settings_of(tmp_path: Path, content: dict | str, *flags: str):
    file = tmp_path / "config.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(NEEDED | content))
    return parse_settings(["--config", str(file), *flags])


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, {"budget": 300, "seed": 5, "compare": ["unprompted"]}, "--seed", "7", "--quiet")
    assert (settings.run.budget, settings.run.seed, settings.run.quiet) == (300, 7, True)
    assert settings.run.compare == ["unprompted"]
    file = tmp_path / "config.yaml"
    assert parse_settings(["--config", str(file)], {"seed": 1, "save_every": 3}).run.save_every == 3


def test_flags_may_be_written_with_dashes(tmp_path: Path) -> None:
    assert settings_of(tmp_path, {}, "--save-every", "4", "--output-dir", "there").run.save_every == 4


@pytest.mark.parametrize("flag", ["--no_teacher_cache", "--no-teacher-cache", "--teacher_cache=false"])
def test_the_teacher_cache_is_on_unless_a_flag_or_the_file_says_no(tmp_path: Path, flag: str) -> None:
    assert settings_of(tmp_path, {}).run.teacher_cache
    assert not settings_of(tmp_path, {}, flag).run.teacher_cache
    assert not settings_of(tmp_path, {"teacher_cache": False}).run.teacher_cache
    assert settings_of(tmp_path, {"teacher_cache": False}, "--teacher-cache").run.teacher_cache


def test_a_mapping_may_hold_any_character(tmp_path: Path) -> None:
    words = {"a": "good 😀 𠮷 é", "b\u0085": "\\ud83d\\ude00"}
    assert settings_of(tmp_path, {"label_descriptions": words}).policy.descriptions() == words


def test_a_mapping_reaches_the_trainer_arguments(tmp_path: Path) -> None:
    assert settings_of(tmp_path, {"trainer_args": {"epsilon": 0.1}}).policy.trainer_args == '{"epsilon": 0.1}'


@pytest.mark.parametrize(
    "content, flags, said",
    [
        ({"budgte": 5}, [], "unknown key 'budgte'. Did you mean 'budget'?"),
        ({}, ["--lerning_rate", "1"], "unknown argument '--lerning_rate'. Did you mean 'learning_rate'?"),
        ({"budget": "many"}, [], "budget"),
        ({"budget": 1.5}, [], "budget"),
        ({"budget": 0}, [], "budget is 0, expected a whole number >= 1"),
        ({"learning_rate": -1.0}, [], "learning_rate is -1.0"),
        ({"algorithm": "a2c"}, [], "algorithm is 'a2c', expected one of: ppo, grpo, rloo"),
        ({"control": "say"}, [], "control is 'say'"),
        ({"reward_novelty": -1}, [], "reward_novelty"),
        ({"student_temperature": 0}, [], "student_temperature"),
        ({"writer_top_p": 1.5}, [], "writer_top_p"),
        ({"compare": ["reel"]}, [], "compare names 'reel', expected some of: .* Did you mean 'real'?"),
        ({"compare": ["corpus"]}, [], "needs corpus"),
        ({}, ["--compare", "none,unprompted"], "compare names none, unprompted, but none is one of them: leave none out"),
        ({"seed": 2**32}, [], "seed is 4294967296, expected a whole number >= 0 and <= 4294967295"),
        ({"lora_alpha": 0}, [], "lora_alpha is 0, expected a whole number >= 1"),
        ({}, ["--lora_rank", "1e9"], "lora_rank is 1000000000, expected a whole number >= 0 and <= 1024"),
        ({}, ["--candidates", "1e9"], "candidates is 1000000000, expected a whole number >= 1 and <= 1000"),
        ({"topic_max_tokens": 1, "topic_min_tokens": 2}, [], "topic_max_tokens is 1"),
        ({"trainer_args": "[1]"}, [], "trainer_args"),
        ({"report_to": ["mlfow"]}, [], "report_to names 'mlfow', expected some of: .* Did you mean 'mlflow'?"),
        ({"teacher": ""}, [], "teacher is missing"),
        ("- a\n- b\n", [], "expected lines of the form 'key: value'"),
        ("a: [", [], "not valid YAML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, content: dict | str, flags: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said.replace("?", r"\?").replace("(", r"\(")):
        settings_of(tmp_path, content, *flags)


def test_a_missing_config_file_is_named() -> None:
    with pytest.raises(InputError, match="config 'nowhere.yaml' is not a file"):
        parse_settings(["--config", "nowhere.yaml"])


@pytest.mark.parametrize(
    "name",
    [
        "configs/toy/prompted.yaml",
        "configs/ag_news.yaml",
        "configs/sst2.yaml",
        "configs/cola.yaml",
        "configs/bench/ag_news.yaml",
        "configs/bench/sst2.yaml",
    ],
)
def test_the_shipped_configurations_are_valid(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # they are found from anywhere
    settings = parse_settings(["--config", name], NEEDED)
    assert settings.run.budget >= 1000
    assert config_path(name).is_file()


def test_a_list_flag_given_again_adds_to_the_list(tmp_path: Path) -> None:
    file = tmp_path / "students.yaml"
    file.write_text("from: [ignored]\nto: x\nepochs: 2\n")
    flags = ["--config", str(file), "--from", "a", "--student", "s=1", "--seed", "3", "--from=b", "c", "--student", "t"]
    (config,) = parse((StudentsConfig,), "prompter distill", flags)
    assert (config.sources, config.student, config.seed, config.to) == (["a", "b", "c"], ["s=1", "t"], 3, "x")
