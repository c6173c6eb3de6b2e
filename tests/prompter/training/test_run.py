"""Whole runs on tiny models: what they write, and what they refuse."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import pipeline

from distill.common.errors import InputError
from prompter.cli import main
from prompter.rl.scorer import Scorer
from prompter.saved.prompter import Prompter
from prompter.training.baseline_names import BASELINES
from prompter.training.run import train
from prompter.training.settings import parse_settings
from tests.prompter.training.runs import assert_same, outcome


def test_a_run_spends_the_budget_exactly_and_writes_what_it_promises(arguments, labelled: Path, tmp_path: Path) -> None:
    flags = arguments(eval_data=labelled, real_data=labelled, corpus=tmp_path / "corpus.txt", eval_every=2)
    (tmp_path / "corpus.txt").write_text("w1 w2 w3 w4 w5 w6.\nw3 w9 w4 w5 good w6 w7.\n")
    baselines = list(BASELINES)
    assert main(["train", *flags, "--compare", *baselines]) == 0
    run = tmp_path / "run"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["queries"] for row in rows] == [16, 32, 48, 64, 80, 96, 100]
    assert all(0 <= row[f"reward/{term}"] <= 1 for row in rows for term in ("confidence", "disagreement", "novelty"))
    assert {"kl", "entropy", "critic_loss", "student_loss"} <= rows[3].keys()
    assert [row["update"] for row in rows if "accuracy" in row] == [2, 4, 6]
    summary = json.loads((run / "summary.json").read_text())
    assert summary["teacher_queries"] == 100
    assert set(summary["students"]) == {"prompted", *baselines}
    for name, figures in summary["students"].items():
        assert figures["queries"] == (0 if name == "supervised" else 100)
        assert (figures["texts"] < 50) == (name == "selected-topics")
        assert 0 <= figures["agreement"] <= 1
    apart = json.loads((run / "disagreement.json").read_text())
    assert (apart["source"], apart["texts"]) == ("evaluation", 40)
    same = sum(pair["texts"] for pair in apart["pairs"] if pair["teacher"] == pair["student"])
    assert same / 40 == pytest.approx(summary["students"]["prompted"]["agreement"])
    assert "Where teacher and student differ" in (run / "report.html").read_text()
    for name in ("config.yaml", "report.html", "prompter/prompter.json", "prompter/adapter_model.safetensors"):
        assert (run / name).is_file(), name
    rows = pd.read_parquet(run / "dataset" / "data")
    assert 50 < len(rows) <= 100 and rows["text"].is_unique
    samples = {row["text"]: row for row in map(json.loads, (run / "samples.jsonl").read_text().splitlines())}
    logged = rows[rows["text"].isin(samples.keys())]
    assert len(logged) == len(samples)
    assert all(topic == samples[text]["topic"] for text, topic in zip(logged["text"], logged["topic"], strict=True))
    answer = pipeline("text-classification", str(run / "student"))("w1 w2 good")
    assert answer[0]["label"] in ("good", "bad")


def test_a_rollout_without_a_usable_answer_leaves_a_gap(arguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, calls = Scorer.__call__, []

    def second_fails(self, *args):
        calls.append(args)
        teacher = self.teacher
        if len(calls) == 2:
            self.teacher = lambda *texts: teacher(*texts) * torch.nan
        try:
            return whole(self, *args)
        finally:
            self.teacher = teacher

    monkeypatch.setattr(Scorer, "__call__", second_fails)
    assert train(parse_settings([*arguments(budget=64, pilot=False), "--compare", "none"])) is not None
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["reward"] is None for line in lines] == [False, True, False, False]
    assert "NaN" not in lines[1]
    assert (tmp_path / "run" / "prompter" / "README.md").is_file()


def test_texts_from_which_the_policy_does_not_learn_are_timed_as_rounds(arguments, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, running = Scorer.__call__, []

    def watched(self, *args):
        before = self.clock.so_far().get("rounds", 0.0)
        try:
            return whole(self, *args)
        finally:
            running.append((len(args[2]), self.clock.so_far()["rounds"] > before))

    monkeypatch.setattr(Scorer, "__call__", watched)
    train(parse_settings(arguments(budget=31, pilot=False)))
    assert running == [(16, True), (15, True)]


def test_a_low_learning_rate_is_logged_as_it_is(arguments, tmp_path: Path) -> None:
    train(parse_settings(arguments(budget=48, learning_rate=9e-7, pilot=False)))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["learning_rate"] for row in rows] == [6.75e-7, 3.75e-7, 7.5e-8]


@pytest.mark.slow
def test_the_seed_decides_everything(arguments, tmp_path: Path) -> None:
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(parse_settings(arguments(folder, seed=seed, budget=48, teacher_cache=False)))
    assert_same(tmp_path / "a", tmp_path / "b")
    assert outcome(tmp_path / "a")[1] != outcome(tmp_path / "c")[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": "grpo"},
        pytest.param({"algorithm": "rloo"}, marks=pytest.mark.slow),
        {"writes": "text"},
        pytest.param({"lora_rank": 0}, marks=pytest.mark.slow),
        pytest.param({"lora_layers": 0.5}, marks=pytest.mark.slow),
        {"candidates": 3},
    ],
)
def test_variants_run(arguments, tmp_path: Path, changes: dict) -> None:
    summary = train(parse_settings(arguments(budget=48, **changes)))
    assert summary is not None
    if changes.get("writes") == "text":
        samples = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
        assert samples and all(row["text"].startswith(row["topic"]) for row in samples)


def test_without_a_prompter_the_class_prompts_alone_ask(arguments, tmp_path: Path) -> None:
    flags = arguments(budget=48, writes="nothing", task_description="a short text")
    summary = train(parse_settings(flags))
    assert summary is not None and summary["teacher_queries"] == 48
    run = tmp_path / "run"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert not [name for row in rows for name in ("reward/novelty", "distinct_topics", "kl", "critic_loss") if name in row]
    asked = "that a language model wrote when it was asked for each class, without a prompter"
    report = (run / "report.html").read_text()
    assert asked in report and "Most frequent topics" not in report and "Here is a short text about" in report
    assert asked in (run / "dataset" / "README.md").read_text()
    assert ", without a prompter: 4" in (run / "student" / "README.md").read_text()
    card = (run / "prompter" / "README.md").read_text()
    assert card.count("Here is a short text about") == 2 and "## Topics" not in card and "LoRA" not in card
    saved = Prompter.load(run, device="cpu")
    written = saved.write(torch.tensor([0, 1] * 4), seed=0, counter=0)
    assert written.topics == [""] * 8 and len(set(written.texts)) > 1
    alone = saved.writer.write([""] * 8, 0, 0, "saved texts", targets=written.targets)
    assert written.texts == alone.texts


def test_the_students_card_says_that_the_prompter_was_not_trained(arguments, tmp_path: Path) -> None:
    train(parse_settings(arguments(budget=16, algorithm="none", pilot=False)))
    assert ", led by an untrained prompter: 1" in (tmp_path / "run" / "student" / "README.md").read_text()


def brevity(texts: list[str], **known: object) -> list[float]:
    """A reward of one's own: short texts."""
    return [1 / len(text.split()) for text in texts]


def test_rewards_of_ones_own_are_logged_and_reported(arguments, tmp_path: Path) -> None:
    summary = train(parse_settings(arguments(budget=32)), brevity, 2.0)
    assert summary is not None and summary["reward_funcs"] == {"brevity": 2.0}
    run = tmp_path / "run"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert all(0 < row["reward/brevity"] <= 1 for row in rows)
    assert "brevity" in (run / "report.html").read_text()
    assert "brevity" in (run / "prompter" / "README.md").read_text()


def test_a_finished_run_is_left_alone(arguments, tmp_path: Path) -> None:
    train(parse_settings(arguments(budget=32)))
    before = (tmp_path / "run" / "summary.json").stat().st_mtime_ns
    train(parse_settings([*arguments(budget=32), "--resume"]))
    assert (tmp_path / "run" / "summary.json").stat().st_mtime_ns == before
    (tmp_path / "run" / "report.html").unlink()  # as a kill at the last moment leaves it
    train(parse_settings([*arguments(budget=32), "--resume"]))
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"budget": 10}, "budget is 10, expected at least one rollout of 16"),
        ({"teacher": "/nowhere/teacher"}, "teacher"),
        ({"student": "bert:layers=2,hiden=128"}, "hiden"),
        ({"candidates": 4, "writes": "text"}, "candidates is 4, expected 1"),
        ({"writes": "nothing", "policy": "gpt2"}, "policy is 'gpt2', expected none with writes: nothing"),
        ({"writes": "nothing", "in_context": "false"}, "in_context is false, expected true with writes: nothing: the class"),
        ({"candidates": 4, "candidate_tokens": 99}, "candidate_tokens is 99, expected less than writer_max_new_tokens"),
        ({"lr_scheduler_type": "linaer"}, "^lr_scheduler_type is 'linaer', expected one of .*. Did you mean 'linear'"),
        ({"lr_scheduler_type": "greedy"}, "^lr_scheduler_type is 'greedy', expected one of "),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "^lr_scheduler_type is 'cosine_with_min_lr', .* trainer_args"),
        ({"lr_scheduler_type": "warmup_stable_decay", "algorithm": "grpo"}, "^lr_scheduler_type is .* trainer_args"),
        ({"trainer_args": '{"lr_scheduler_kwargs": {"min_lr": 1}}'}, "^lr_scheduler_type is 'linear', .*min_lr"),
        ({"trainer_args": '{"epsilonn": 1}'}, "no field 'epsilonn'. Did you mean 'epsilon'"),
        ({"trainer_args": '{"use_vllm": true}'}, "trainer_args: use_vllm is true, but PPO samples .*: leave it out"),
        ({"trainer_args": '{"gradient_accumulation_steps": 2}'}, "'gradient_accumulation_steps' follows from the settings"),
        ({"trainer_args": '{"save_only_model": true}'}, "'save_only_model' leaves .*, so a stopped run could not go on"),
        ({"trainer_args": '{"ignore_data_skip": true}', "algorithm": "grpo"}, "'ignore_data_skip' gives .*, so a stopped run"),
        ({"trainer_args": '{"sync_ref_model": true}'}, "'sync_ref_model' changes .*, so a stopped run could not go on"),
    ],
)
def test_mistakes_leave_nothing_half_written(arguments, tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        train(parse_settings(arguments(**changes)))
    run = tmp_path / "run"
    assert not [file for file in run.rglob("*") if file.name != ".lock" and file.is_file()] if run.exists() else True


def test_teacher_and_generator_swapped_are_told_apart(arguments, teacher_folder: Path, lm_folder: Path) -> None:
    with pytest.raises(InputError, match="not a sequence classifier"):
        train(parse_settings(arguments(teacher=lm_folder)))
    with pytest.raises(InputError, match="not a causal language model"):
        train(parse_settings(arguments(generator=teacher_folder)))


@pytest.mark.parametrize(
    "algorithm", ["ppo", pytest.param("grpo", marks=pytest.mark.slow), pytest.param("rloo", marks=pytest.mark.slow)]
)
def test_a_chat_model_is_asked_through_its_template(arguments, lm_folder: Path, tmp_path: Path, algorithm: str) -> None:
    folder = tmp_path / "chat model"
    shutil.copytree(lm_folder, folder)
    template = "{% for m in messages %}w1 {{ m['content'] }} w2 {% endfor %}{% if add_generation_prompt %}w3 : {% endif %}"
    (folder / "chat_template.jinja").write_text(template)
    words = {"task_description": "w7 w8", "label_descriptions": "{good: w9}", "request": "w4 {task} w5 {label}"}
    summary = train(parse_settings(arguments(generator=folder, budget=48, algorithm=algorithm, **words)))
    assert summary is not None
    manifest = json.loads((tmp_path / "run" / "prompter" / "prompter.json").read_text())
    assert manifest["controls"] == ["w4 w7 w8 w5 w9", "w4 w7 w8 w5 bad"]
    assert len(Prompter.load(tmp_path / "run").texts("good", 3)) == 3
