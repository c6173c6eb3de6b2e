"""`prompter evaluate-data` as a whole: table, JSON and page, the alarm, and mistakes."""

import json
import math
import re
import time

import numpy as np
import pytest

from distill.common.files import without_nan
from distill.student import load_student
from distill.teachers.loading import load_teacher
from eval.corpora.config import CorpusConfig
from eval.corpora.models import mean_logprobs
from eval.corpora.quality import evaluate_data
from eval.corpora.statistics import perplexity
from prompter.cli import main
from tests.eval.exported import WORDS, other_texts, rows, sentence, write_dataset, write_texts
from tests.prompter.tiny import tiny_gpt2, tiny_teacher, word_tokenizer


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A language model and a classifier, as folders."""
    root = tmp_path_factory.mktemp("models")
    for name, model in (("lm", tiny_gpt2()), ("teacher", tiny_teacher())):
        model.save_pretrained(root / name)
        word_tokenizer(["<eos>", "<pad>", "<unk>", "the", *WORDS]).save_pretrained(root / name)
    return root


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "data-set")


def test_table_json_and_page_agree(dataset, tmp_path, capsys):
    reference = write_texts(tmp_path / "real.jsonl", other_texts())
    flags = ["--reference", reference, "--json", str(tmp_path / "q.json"), "--html", str(tmp_path / "q.html"), "--quiet"]
    assert main(["evaluate-data", str(dataset), *flags]) == 0
    table = capsys.readouterr().out
    assert max(map(len, table.splitlines())) <= 80
    found = json.loads((tmp_path / "q.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    page = (tmp_path / "q.html").read_text()
    kept = [row for row in rows() if row["keep"]]
    assert found["corpus"]["texts"] == 36 and found["rows"] == 40 and found["marked"] == {"near duplicate": 4}
    assert found["reference"]["texts"] == 36 and found["reference"]["rows"] == 60
    assert found["corpus"]["confidence"]["mean"] == pytest.approx(np.mean([row["confidence"] for row in kept]))
    assert found["corpus"]["perplexity"]["perplexity"] == pytest.approx(
        math.exp(-np.mean([row["lm_logprob"] for row in kept])), rel=1e-6
    )
    assert found["comparison"]["verbatim"]["copies"] == 0 and not found["alarms"]
    words = found["corpus"]["distinct_at_equal_words"]["words"]
    assert words == min(found[side]["vocabulary"]["tokens"] for side in ("corpus", "reference"))
    for shown in (
        "36",
        f"{found['corpus']['distinct']['1']:.3f}",
        f"{100 * found['comparison']['vocabulary']['jaccard']:.1f} %",
    ):
        assert shown in table and shown in page
    assert "WARNING" not in table and 'role="alert"' not in page


def test_the_same_seed_gives_the_same_metrics(dataset, tmp_path):
    reference = write_texts(tmp_path / "real.jsonl", other_texts())
    one, again, other = (
        without_nan(evaluate_data(CorpusConfig(data=str(dataset), reference=reference, seed=seed))) for seed in (0, 0, 1)
    )
    assert one == again and one["reference"] != other["reference"]


def test_a_copied_reference_cannot_be_overlooked(dataset, tmp_path, capsys):
    flags = ["--reference", str(dataset), "--json", str(tmp_path / "q.json"), "--html", str(tmp_path / "q.html"), "--quiet"]
    assert main(["evaluate-data", str(dataset), *flags]) == 0
    table = capsys.readouterr().out
    assert "WARNING" in table and "COPIED FROM THE REFERENCE: 100.0 %" in table
    assert json.loads((tmp_path / "q.json").read_text())["alarms"][0].startswith("COPIED FROM THE REFERENCE: 100.0 %")
    assert re.search(r'class="alarm" role="alert">COPIED FROM THE REFERENCE', (tmp_path / "q.html").read_text())


def test_a_reference_that_is_largely_copied_raises_the_alarm_too(tmp_path):
    mine = write_texts(tmp_path / "mine.jsonl", [sentence(number) for number in range(40)])
    some = write_texts(tmp_path / "some.jsonl", [sentence(number) for number in range(8)] + other_texts(40))
    one = write_texts(tmp_path / "one.jsonl", [sentence(0)] + other_texts(40))
    assert evaluate_data(CorpusConfig(data=mine, reference=some))["alarms"]
    assert not evaluate_data(CorpusConfig(data=mine, reference=one))["alarms"]


def test_metrics_that_plain_texts_lack_are_listed_with_the_remedy(tmp_path, capsys):
    assert main(["evaluate-data", write_texts(tmp_path / "texts.jsonl", other_texts(5)), "--quiet"]) == 0
    table = " ".join(capsys.readouterr().out.split())
    for shown in (
        "Not measured: confidence; no teacher predictions (teacher_probs) are stored: give --teacher, or export with one.",
        "Not measured: perplexity; no lm_logprob is stored: give --writer.",
        "Not measured: comparison; nothing to compare with: give --reference",
    ):
        assert shown in table


def test_missing_confidence_is_an_error_if_it_was_asked_for(tmp_path, capsys):
    folder = write_dataset(tmp_path / "data-set", without=("teacher_probs", "confidence", "label"))
    assert main(["evaluate-data", str(folder), "--confidence", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert "no teacher predictions (teacher_probs) are stored: give --teacher" in error and len(error.splitlines()) == 1
    assert main(["evaluate-data", str(folder), "--quiet"]) == 0


def test_models_are_asked_for_predictions_that_are_not_stored(tmp_path, models):
    folder = write_dataset(tmp_path / "data-set", without=("teacher_probs", "confidence", "label", "lm_logprob"))
    reference = write_texts(tmp_path / "real.jsonl", other_texts())
    config = CorpusConfig(
        data=str(folder),
        reference=reference,
        teacher=str(models / "teacher"),
        writer=str(models / "lm"),
        confidence=True,
        device="cpu",
    )
    found = evaluate_data(config)
    kept = [row["text"] for row in rows() if row["keep"]]
    assert found["teacher_queries"] == 36 and found["corpus"]["confidence"]["asked_now"]
    assert set(found["corpus"]["classes"]["counts"]) == {"good", "bad"}
    assert found["comparison"]["embedding"]["space"] == "the teacher"
    logprobs = mean_logprobs(str(models / "lm"), kept, "cpu")
    assert found["corpus"]["perplexity"]["perplexity"] == pytest.approx(perplexity(logprobs)["perplexity"])
    assert found["reference"]["perplexity"]["perplexity"] > 1
    assert found["missing"] == {}
    config.encoder = str(models / "lm")
    assert evaluate_data(config)["comparison"]["embedding"]["space"] == config.encoder


def test_stored_answers_are_not_asked_for_again(dataset, models):
    found = evaluate_data(CorpusConfig(data=str(dataset), teacher=str(models / "teacher"), device="cpu"))
    assert found["teacher_queries"] == 0 and not found["corpus"]["confidence"]["asked_now"]


def test_a_static_student_may_be_the_teacher(models, tmp_path):
    teacher = load_teacher(str(models / "teacher"), device="cpu")
    load_student("static:from-teacher", teacher=teacher, device="cpu").save(tmp_path / "static")
    texts = write_texts(tmp_path / "texts.jsonl", other_texts(20))
    found = evaluate_data(CorpusConfig(data=texts, reference=texts, teacher=str(tmp_path / "static"), device="cpu"))
    assert found["comparison"]["embedding"]["space"] == "TF-IDF" and found["corpus"]["classes"]


def test_a_teacher_of_pairs_is_asked_about_both_texts(tmp_path, capsys):
    file = tmp_path / "pairs.jsonl"
    pairs = [{"text": text, "text_pair": text if number % 4 else "other"} for number, text in enumerate(other_texts(12))]
    file.write_text("".join(json.dumps(row) + "\n" for row in pairs))
    (tmp_path / "same.py").write_text(
        "def f(a, b):\n    return [[0.0, 1.0] if x == y else [1.0, 0.0] for x, y in zip(a, b)]\n"
    )
    flags = ["--teacher", f"{tmp_path}/same.py:f", "--kind", "pair", "--teacher_labels", "other", "same", "--quiet"]
    assert main(["evaluate-data", str(file), *flags, "--json", str(tmp_path / "q.json")]) == 0
    found = json.loads((tmp_path / "q.json").read_text())
    assert found["corpus"]["classes"]["counts"] == {"other": 3, "same": 9}
    assert "first texts are measured" in found["missing"]["second texts"]
    for single in (write_texts(tmp_path / "a.jsonl", other_texts(12)), str(tmp_path / "b.jsonl")):
        if not (tmp_path / "b.jsonl").exists():
            (tmp_path / "b.jsonl").write_text('{"text": "a", "text_pair": ""}\n')
        assert main(["evaluate-data", single, *flags]) == 2
        assert "has no second text" in capsys.readouterr().err


def test_numbers_have_no_confidence_to_ask_for(dataset, tmp_path, capsys):
    (tmp_path / "number.py").write_text("def f(texts):\n    return [0.5 for _ in texts]\n")
    texts = write_texts(tmp_path / "a.jsonl", other_texts(12))
    flags = ["--teacher", f"{tmp_path}/number.py:f", "--kind", "score", "--confidence"]
    assert main(["evaluate-data", texts, *flags]) == 2
    assert "a number does not say how sure the teacher is; leave --confidence out" in capsys.readouterr().err


def test_too_few_texts_for_a_comparison_are_reported(tmp_path):
    few = write_texts(tmp_path / "few.jsonl", other_texts(9))
    found = evaluate_data(CorpusConfig(data=few, reference=few))
    assert found["comparison"]["classifier"] is None and "10 of each" in found["missing"]["nearness"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "data is missing: prompter evaluate-data DIR"),
        (["{data}", "--seed", "-1"], "seed is -1"),
        (["{data}", "--referense", "x"], "Did you mean 'reference'?"),
        (["{data}", "--reference", "nowhere/real.jsonl"], "reference: nowhere/real.jsonl: there is no such"),
        (["{data}", "--writer", "./nowhere"], "writer: folder ./nowhere does not exist"),
        (["{data}", "--encoder", "./nowhere"], "encoder: folder ./nowhere does not exist"),
        (["{data}", "--teacher", "./nowhere"], "teacher: folder ./nowhere does not exist"),
    ],
)
def test_mistakes_end_with_one_line(flags, message, dataset, capsys):
    assert main(["evaluate-data", *(flag.format(data=dataset) for flag in flags)]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


def test_files_that_cannot_be_written_are_named(dataset, tmp_path):
    (tmp_path / "file").write_text("")
    assert main(["evaluate-data", str(dataset), "--json", str(tmp_path / "file" / "q.json"), "--quiet"]) == 2


@pytest.mark.slow
def test_twenty_thousand_texts_take_less_than_a_minute(tmp_path):
    rng = np.random.default_rng(0)
    words = np.array([f"w{number}" for number in range(20_000)])
    common = rng.zipf(1.3, (40_000, 25)) % 20_000
    texts = [" ".join(words[row]) for row in common]
    mine, theirs = write_texts(tmp_path / "a.jsonl", texts[:20_000]), write_texts(tmp_path / "b.jsonl", texts[20_000:])
    begin = time.process_time()
    found = evaluate_data(CorpusConfig(data=mine, reference=theirs))
    assert time.process_time() - begin < 60
    assert abs(found["comparison"]["classifier"]["accuracy"] - 0.5) < 0.05
