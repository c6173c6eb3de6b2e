"""The report of a run: it claims what was measured, hostile text stays text, and missing values do no harm."""

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.checkpoints.checksums import list_files
from distill.common.errors import InputError
from eval.report.run_report import Record, render_run, run_outcome, write_report
from tests.eval.page import Page
from tests.eval.run_folder import HOSTILE, apart, hostile_run, metrics, samples, summary, write_run


def page_of(folder):
    return Page(write_report(folder).read_text(encoding="utf-8"))


def with_students(**accuracies):
    return {"teacher_queries": 8000, "students": {name: {"accuracy": value} for name, value in accuracies.items()}}


def test_a_whole_run_is_on_the_page(tmp_path):
    page = page_of(write_run(tmp_path / "demo"))
    for expected in (
        "toy:sentiment", "With 8,000 teacher queries and no training data", "87.2 %", "77.1 %", "96.2 %", "13.6 MB",
        "438,018", "1 min 11 s", "Reward", "Accuracy on the evaluation data", "Critic's loss", "Target: negative",
        "First, after 200 queries", "Last, after 8,000 queries", "Mean reward", "teacher and writer", "budget",
        "2.13.0", "8,000 of 8,000", "23,456", "Where teacher and student differ", "Compared on the 2,000 texts of",
        "Both predict the same class for 88.1 %", "teacher: positive 97.1 % · student: negative 88.3 % · labelled positive",
    ):  # fmt: skip
        assert expected in page.text, expected
    assert page.tags.count("svg") == page.tags.count("desc") == 10
    assert ("role", "img") in page.attributes


def test_the_page_of_a_tagger_leaves_texts_without_an_entity_out():
    found = {"labels": ["place", "no entity"], "pairs": [{"teacher": 1, "student": 1, "texts": 70},
             {"teacher": 0, "student": 1, "texts": 30}], "texts": 100, "source": "replay"}  # fmt: skip
    page = Page(render_run(Record("run", summary={"kind": "tokens"}, apart=found)))
    assert "Of the 30 texts in which either finds one, both take the same type for 0.0 %." in page.text
    assert "the same class for" not in page.text


def test_the_page_needs_nothing_but_itself(tmp_path):
    folder = write_run(tmp_path / "demo")
    text = write_report(folder).read_text(encoding="utf-8")
    assert not {"script", "link", "img", "iframe"} & set(Page(text).tags)
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "url(" not in text and "@import" not in text
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text
    assert write_report(folder).read_text(encoding="utf-8") == text  # same files, same page


def test_the_outcome_claims_what_was_measured():
    everything = summary()
    assert run_outcome(everything, []) == (
        "With 8,000 teacher queries and no training data, the prompted student reaches 87.2 % accuracy: 10.1 points "
        "above the same student on unprompted text and 97.9 % of the accuracy that the real training text gives it (89.1 %); "
        "its teacher has 96.2 %."
    )
    assert "3.0 points below the same student" in run_outcome(with_students(prompted=0.7, unprompted=0.73), [])
    matthews = {name: {"accuracy": 0.7, "matthews_correlation": value} for name, value in (("prompted", 0.3), ("real", 0.4))}
    assert run_outcome({"metric": "matthews_correlation", "students": matthews, "teacher": matthews["real"]}, []) == (
        "Without training data, the prompted student reaches a Matthews correlation of 0.300 (0: always one class); its "
        "teacher has 0.400; real training text gives it 0.400."
    )
    tagged = {"prompted": {"entity_f1": 0.4321}, "unprompted": {"entity_f1": 0.2}}
    assert run_outcome({"metric": "entity_f1", "students": tagged}, []).endswith(
        "an entity F1 of 0.432 (0: no entity found; of a tag for each word, the share of right ones); "
        "unprompted text gives the same student 0.200."
    )
    alone = run_outcome(with_students(prompted=0.7), [])
    assert alone.endswith("reaches 70.0 % accuracy.")
    unlabelled = run_outcome({"teacher_queries": 500, "students": {"prompted": {}}}, [{"agreement": 0.5}, {"agreement": 0.83}])
    assert "agrees with its teacher on 83.0 % on the last texts" in unlabelled and "accuracy is unknown" in unlabelled
    assert "is unknown" in run_outcome({"teacher_queries": 500}, [])
    unfinished = "This run is not finished and has no result yet; this page shows it after 1,200 teacher queries."
    assert run_outcome({}, [{"queries": 1200}]) == unfinished


def test_hostile_text_stays_text(tmp_path):
    page = page_of(hostile_run(tmp_path / "run"))
    assert not {"script", "img"} & set(page.tags)
    assert not any(name.startswith("on") or name in ("src", "href") for name, _ in page.attributes)
    assert HOSTILE[:100] in page.text
    assert "lone ? surrogate" in page.text
    assert len(page.text) < 60_000  # texts of 10,000 characters are cut


def test_characters_that_look_like_line_ends_do_not_cut_a_sample(tmp_path):
    row = json.dumps({"update": 1, "wanted": "x", "topic": "a", "text": "a\u2028b\x85c"}, ensure_ascii=False)
    (tmp_path / "samples.jsonl").write_text(row + "\n", encoding="utf-8")
    assert "Target: x" in page_of(tmp_path).text


@pytest.mark.parametrize(
    "ended",
    [
        {},
        {"teacher_queries": 100},
        {"teacher": None, "students": None, "time": None, "labels": None, "config": None, "versions": None},
        {
            "teacher": {"accuracy": None},
            "students": {"prompted": {"accuracy": math.nan}},
            "time": {"a": None},
            "seed": 3,
        },
        {"students": {"prompted": {"queries": 5, "seconds": 0}}, "time": {"a": 0}},
    ],
)
def test_missing_keys_are_left_out(tmp_path, ended):
    page = page_of(write_run(tmp_path / "run", ended, metrics(3), samples(1)))
    assert "Texts before and after" in page.text
    assert not re.search(r"\b(nan|None|null|undefined)\b", page.text)


def test_each_key_of_a_run_may_be_missing():
    def without(tree):
        for key in tree:
            yield {other: value for other, value in tree.items() if other != key}
            if isinstance(tree[key], dict):
                for smaller in without(tree[key]):
                    yield tree | {key: smaller}

    for ended in without(summary()):
        Page(render_run(Record("run", ended)))
    for row in without(metrics(1)[0]):
        Page(render_run(Record("run", metrics=[row, row])))
    for row in without(samples(1)[0]):
        Page(render_run(Record("run", samples=[row, row])))
    for differing in without(apart()):
        Page(render_run(Record("run", apart=differing)))
    for row in without(apart()["apart"][0]):
        Page(render_run(Record("run", apart=apart() | {"apart": [row]})))


anything = st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda s: st.lists(s, max_size=2))


@settings(max_examples=30, deadline=None)
@given(st.fixed_dictionaries({}, optional={key: anything for key in samples(1)[0]}), st.data())
def test_values_of_any_type_do_no_harm(sample, data):
    row = data.draw(st.fixed_dictionaries({}, optional={key: anything for key in metrics(1)[0]}))
    ended = data.draw(st.fixed_dictionaries({}, optional={key: anything for key in summary()}))
    differing = data.draw(st.fixed_dictionaries({}, optional={key: anything for key in apart()}))
    differing["pairs"] = [data.draw(st.fixed_dictionaries({}, optional={key: anything for key in apart()["pairs"][0]}))]
    differing["apart"] = [data.draw(st.fixed_dictionaries({}, optional={key: anything for key in apart()["apart"][0]}))]
    Page(render_run(Record("run", ended, [row], [sample], differing, ended)))


def test_a_killed_run_has_a_page(tmp_path):
    folder = write_run(tmp_path / "run", {}, metrics(4), samples(4), {})
    (folder / "config.yaml").write_text("teacher: my/teacher\nbudget: 8000\n")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"update": 5, "quer')
    text = page_of(folder).text
    assert "has no result yet; this page shows it after 800 teacher queries" in text
    assert "Teacher my/teacher Teacher queries 800 of 8,000 Rollouts 4" in text


def test_a_run_without_a_stored_comparison_has_a_page(tmp_path):
    page = page_of(write_run(tmp_path / "run", apart_={}))
    assert "Texts before and after" in page.text and "Where teacher and student differ" not in page.text


def test_the_page_says_on_which_texts_teacher_and_student_were_compared(tmp_path):
    def text(**changes):
        return Page(render_run(Record("run", apart=apart() | changes))).text

    assert "consider who may see this page" in text()
    drawn = text(source="replay", held=7000)
    assert "Compared on a random sample of 2,000 of the 7,000 texts that the student learnt from" in drawn
    assert "consider who" not in drawn
    assert "Compared on the 2,000 texts that the student learnt from, because no evaluation data" in text(
        source="replay", held=2000
    )


def test_folders_that_are_not_runs_are_refused(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        write_report(tmp_path / "none")
    with pytest.raises(InputError, match="holds none of summary.json, metrics.jsonl, samples.jsonl"):
        write_report(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"update"\n{"update": 2}\n')
    with pytest.raises(InputError, match="metrics.jsonl, row 1: is not valid JSON"):
        write_report(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("[1]\n")
    with pytest.raises(InputError, match="row 1: expected a JSON object"):
        write_report(tmp_path)
    (tmp_path / "summary.json").write_text("[]")
    with pytest.raises(InputError, match="summary.json: expected a JSON object"):
        write_report(tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    (tmp_path / "metrics.jsonl").write_text("")
    for damage in ('{"labels": ["a"', "[" * 100_000):
        (tmp_path / "disagreement.json").write_text(damage)
        with pytest.raises(InputError, match="disagreement.json: is not valid JSON"):
            write_report(tmp_path)
    (tmp_path / "disagreement.json").unlink()
    for damage, message in (("a: [1", "config.yaml: is not valid YAML"), ("text", "config.yaml: expected lines")):
        (tmp_path / "config.yaml").write_text(damage)
        with pytest.raises(InputError, match=message):
            write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_findings_stand_at_the_top_with_their_advice_and_as_text(tmp_path: Path) -> None:
    found = {"code": "H01", "name": "one class", "words": f"It answers '{HOSTILE}' always.", "advice": "Look at the texts."}
    health = {"codes": ["H01"], "findings": [found], "agreement": {"prompted": {"kappa": 0.04, "on": "evaluation texts"}}}
    finished = write_report(write_run(tmp_path / "finished", summary() | {"health": health})).read_text()
    stopped = write_run(tmp_path / "stopped")
    (stopped / "summary.json").unlink()
    (stopped / "health.json").write_text(json.dumps(health))
    for text in (finished, write_report(stopped).read_text()):
        assert "H01, one class" in text and "Look at the texts." in text and "0.04 (evaluation texts)" in text
        assert "<script>" not in text


@pytest.mark.parametrize("health", [None, [], "H01", {"findings": 3}, {"findings": [3, {}], "agreement": {"prompted": []}}])
def test_a_health_that_is_missing_or_odd_is_no_error(tmp_path: Path, health: object) -> None:
    assert write_report(write_run(tmp_path / "run", summary() | {"health": health})).is_file()


def test_a_damaged_file_of_a_finished_run_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = write_run(tmp_path / "run")
    list_files(run, ("summary.json", "metrics.jsonl", "samples.jsonl"))
    write_report(run)
    assert not caplog.records
    text = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(text.replace("1", "2", 1))
    write_report(run)
    assert "metrics.jsonl is damaged" in caplog.text
