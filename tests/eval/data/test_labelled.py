"""Labelled texts and texts alone: pairs, draws and plain text."""

import pytest

from distill.common.errors import InputError
from eval.data.config import EvaluationDataSettings
from eval.data.labelled import load_evaluation, load_pairs, load_texts, second_texts_for
from tests.eval.data_files import LABELS, jsonl, load, objects


def test_pairs_are_read_and_drawn_together(tmp_path):
    rows = [{"a": f"{i}", "b": f"{i}!", "label": i % 3} for i in range(30)]
    data = load(jsonl(tmp_path / "a.jsonl", rows), text="a", pair_column="b", limit=7)
    assert len(data) == 7 and data.text_pairs == [text + "!" for text in data.texts]
    with pytest.raises(InputError, match="row 1: has no column 'c'"):
        load(tmp_path / "a.jsonl", text="a", pair_column="c")


def test_limit_draws_rows_by_seed_and_keeps_their_order(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", objects([(f"{i:03}", i % 3) for i in range(100)]))
    data = load(path, limit=20, seed=1)
    assert len(data) == 20 and data.texts == sorted(set(data.texts))
    assert data.labels == [int(text) % 3 for text in data.texts]
    assert load(path, limit=20, seed=1).texts == data.texts != load(path, limit=20, seed=2).texts
    assert len(load(path, limit=0)) == len(load(path, limit=1000)) == 100


def test_plain_text_holds_a_text_a_line(tmp_path):
    (tmp_path / "texts.txt").write_text("\ufeffone, two\n\n three \n", encoding="utf-8")
    assert load_texts(tmp_path / "texts.txt", "text") == ["one, two", " three "]
    with pytest.raises(InputError, match="other.txt: there is no such file"):
        load_texts("other.txt", "text")


def test_an_empty_second_text_is_refused(tmp_path):
    rows = [{"a": "x", "b": "y", "label": 0}, {"a": "x", "b": " ", "label": 1}]
    with pytest.raises(InputError, match="row 2: column 'b' is empty, expected a second text; fix or remove the row"):
        load(jsonl(tmp_path / "a.jsonl", rows), text="a", pair_column="b")


def test_settings_name_the_data_of_a_teacher_s_kind(tmp_path):
    rows = [{"text": "x", "text_pair": "y", "other": "z", "label": i % 3} for i in range(4)]
    named = {"eval_data": str(jsonl(tmp_path / "a.jsonl", rows)), "eval_limit": 3}
    single = load_evaluation(EvaluationDataSettings(**named), LABELS)
    assert (single.text_pairs, single.kind, len(single)) == (None, "single", 3)
    pair = load_evaluation(EvaluationDataSettings(**named), LABELS, "pair")
    assert (pair.text_pairs, pair.kind) == (["y"] * 3, "pair")
    other = EvaluationDataSettings(**named, eval_text_pair_column="other")
    assert load_evaluation(other, LABELS, "pair").text_pairs == ["z"] * 3
    with pytest.raises(InputError, match="eval_text_pair_column is 'other', but the teacher classifies single texts"):
        load_evaluation(other, LABELS)
    assert load_evaluation(EvaluationDataSettings(), LABELS) is None


def test_no_text_is_its_own_second_text(tmp_path):
    rows = [{"text": "x", "text_pair": "y", "label": i % 3} for i in range(4)]
    file = str(jsonl(tmp_path / "a.jsonl", rows))
    for named, kind in (
        ({"eval_text_pair_column": "text"}, "pair"),
        ({"eval_text_column": "text_pair"}, "pair"),
        ({"eval_text_column": "text_pair", "eval_text_pair_column": "text_pair"}, "single"),
    ):
        with pytest.raises(InputError, match="eval_text_column and eval_text_pair_column are both 'text"):
            load_evaluation(EvaluationDataSettings(eval_data=file, **named), LABELS, kind)
    one = load_evaluation(EvaluationDataSettings(eval_data=file, eval_text_column="text_pair"), LABELS)
    assert one.texts == ["y"] * 4
    assert load_pairs(file, "text_pair") == (["y"] * 4, None)
    assert load_pairs(file, "text_pair", pair_column="text") == (["y"] * 4, ["x"] * 4)


def test_words_of_texts_are_read_as_texts(tmp_path, caplog):
    rows = [{"tokens": ["Ann", "lives", "here", "."], "tags": [1, 0, 0, 0]}, {"tokens": []}, {"tokens": ["Yes"], "tags": [0]}]
    file = jsonl(tmp_path / "tags.jsonl", rows)
    assert load_texts(file, "tokens") == ["Ann lives here .", "Yes"]
    assert "1 of 3 rows have no word" in caplog.text
    assert load_pairs(file, "tokens") == (["Ann lives here .", "Yes"], None)
    jsonl(file, [{"tokens": ["a"]}, {"tokens": ["b", None]}, {"tokens": ["c"]}])
    with pytest.raises(InputError, match="row 2: column 'tokens' holds .*expected a list of words; fix or remove the row"):
        load_texts(file, "tokens")


def test_a_column_of_second_texts_that_nobody_named_stops_no_classifier_of_single_texts(tmp_path, caplog):
    rows = [{"text": "a", "text_pair": "x"}, {"text": "b", "text_pair": None}, {"text": "c"}, {"text": "d", "text_pair": " "}]
    file = jsonl(tmp_path / "a.jsonl", rows)
    texts, pairs = load_pairs(file, "text")
    assert (texts, pairs) == (["a", "b", "c", "d"], ["x", "", "", ""])
    assert second_texts_for(False, pairs, str(file), "") is None
    assert caplog.messages == [
        f"{file}: its column 'text_pair' is not read: the teacher classifies single texts; if it reads two, give --kind pair "
        "(score_pair, if it gives a number)"
    ]
    assert second_texts_for(False, None, str(file), "") is None and len(caplog.messages) == 1
    with pytest.raises(InputError, match="row 2: column 'text_pair' holds nothing, expected text"):
        second_texts_for(True, pairs, str(file), "")
    with pytest.raises(InputError, match="row 4: column 'text_pair' is empty"):
        second_texts_for(True, pairs[3:], str(file), "")
    with pytest.raises(InputError, match="row 3: has no column 'text_pair'"):
        load_pairs(file, "text", pair_column="text_pair")


def test_a_folder_may_hold_one_text_per_line(tmp_path):
    (tmp_path / "train.txt").write_text("one\ntwo\n")
    assert load_texts(tmp_path, "text") == ["one", "two"] and load_pairs(tmp_path, "text") == (["one", "two"], None)
    with pytest.raises(InputError, match="expected one file named test.jsonl .*, or .txt .*, but it has train.txt"):
        load_texts(tmp_path, "text", "test")
    with pytest.raises(InputError, match="but it has train.txt"):
        load(tmp_path, split="train")
    jsonl(tmp_path / "train.jsonl", [{"text": "three"}])
    assert load_texts(tmp_path, "text") == ["three"]
    (tmp_path / "reviews.md").write_text("one\n")
    with pytest.raises(InputError, match=r"not read; expected \.txt with one text per line, or one of"):
        load_texts(tmp_path / "reviews.md", "text")


def test_lists_of_words_in_a_text_file_are_words(tmp_path):
    (tmp_path / "a.csv").write_text('tokens\n"[\'New\', \'boat\']"\n"[""cow""]"\n[]\n', encoding="utf-8")
    assert load_texts(tmp_path / "a.csv", "tokens") == ["New boat", "cow"]
    (tmp_path / "b.csv").write_text("text\n['New']\n[sic] a boat\n", encoding="utf-8")
    assert load_texts(tmp_path / "b.csv", "text") == ["['New']", "[sic] a boat"]


def test_a_text_in_place_of_its_file_is_not_sought_on_the_hub():
    with pytest.raises(InputError, match=r"^I like this film\. It is good\.: there is no such file; expected a file"):
        load_texts("I like this film. It is good.", "text")
