"""The table and the page of `prompter evaluate-data`: hostile text stays text, odd corpora do no harm."""

import json
import math
import re

from distill.common.files import without_nan
from distill.common.terminal import printable
from eval.corpora.config import CorpusConfig
from eval.corpora.quality import evaluate_data
from eval.corpora.report import corpus_summary, p_value, print_results, render_corpus, share
from tests.eval.exported import other_texts, rows, write_dataset, write_texts

HOSTILE = '<script>alert("1")</script><img src=x onerror=alert(1)> \x1b[2J [bold]'


def test_foreign_text_does_no_harm(tmp_path, capsys):
    made = [row | {"text": f"{HOSTILE} {row['text']}", "topic": HOSTILE} for row in rows(12)]
    folder = write_dataset(tmp_path / HOSTILE.replace("/", "_"), made)
    found = evaluate_data(CorpusConfig(data=str(folder), reference=str(folder)))
    page = render_corpus(found)
    assert "<script" not in page and "<img" not in page and "&lt;script&gt;" in page
    assert not re.search(r'(src|href)="', page)
    found["corpus"]["perplexity"]["of"] = "texts under [/a] model"  # closes a markup that nobody opened
    print_results(found)
    table = capsys.readouterr().out
    assert "\x1b[2J" not in table and "[/a]" in table


def test_long_names_of_classes_leave_the_names_of_the_metrics_whole(tmp_path, capsys):
    texts = write_texts(tmp_path / "a.jsonl", other_texts(12))
    found = evaluate_data(CorpusConfig(data=texts, reference=texts))
    counts = {"a_question_about_the_delivery_of_an_order_that_was_late": 5, "b": 7}
    found["corpus"]["classes"] = {"of": "the teacher's predictions", "counts": counts, "entropy": 0.68, "normalised": 0.98}
    print_results(found)
    table = capsys.readouterr().out
    for name in (
        "the corpus by itself",
        "words, median (5 to 95 %)",
        "classes (teacher's predictions)",
        "  entropy (share of the maximum) ",
    ):
        assert name in table
    assert max(map(len, table.splitlines())) <= 80


def test_the_page_says_that_it_draws_a_part_of_the_classes(tmp_path):
    found = evaluate_data(CorpusConfig(data=str(write_dataset(tmp_path / "data-set"))))
    assert "The first" not in render_corpus(found)
    found["corpus"]["classes"]["counts"] |= {f"class {number}": 1 for number in range(20)}
    assert "By the teacher&#39;s predictions. The first 20 of 22." in render_corpus(found)


def test_endless_empty_and_single_texts_do_no_harm(tmp_path):
    for texts in (["..."], [""], ["one"], ["", "a b c d " * 3000, *other_texts(12)], ["数据", "很好的数据"]):
        found = evaluate_data(
            CorpusConfig(data=write_texts(tmp_path / "a.jsonl", texts), reference=write_texts(tmp_path / "b.jsonl", texts))
        )
        json.dumps(without_nan(found), allow_nan=False)
        assert "<svg" in render_corpus(found)
        print_results(found)


def test_control_characters_do_not_reach_the_terminal():
    assert printable("a" + chr(27) + "[2J\nb") == "a\ufffd[2J\nb"


def test_unknown_values_are_dashes_and_tiny_ones_are_bounds():
    assert share(None) == share(math.nan) == "–" and share(0.5) == "50.0 %"
    assert p_value(1e-30) == "< 1e-06"


def test_the_summary_claims_what_was_measured(tmp_path):
    texts = write_texts(tmp_path / "a.jsonl", other_texts(12))
    alone = corpus_summary(evaluate_data(CorpusConfig(data=texts)))
    assert alone.startswith("12 texts with ") and "classifier" not in alone
    compared = corpus_summary(evaluate_data(CorpusConfig(data=texts, reference=texts)))
    assert "a classifier between them and the reference is right" in compared and "100.0 % share 13 or more" not in compared
