"""Words and their tags: names and indices, and tags that do not nest."""

import json
import time

import datasets
import pandas as pd
import pytest

from distill.common.errors import InputError
from distill.kinds.names import fault_of_tags
from eval.data.targets.lists import list_in
from eval.data.tasks import Task, describe
from tests.eval.data_files import jsonl, load

TAGS = ["O", "B-per", "I-per", "B-loc", "I-loc"]
WORDS = [["Ann", "Lee", "in", "Rome"], ["No", "one", "."]]
NAMED = [["B-per", "I-per", "O", "B-loc"], ["O", "O", "O"]]
NUMBERED = [[1, 2, 0, 3], [0, 0, 0]]


def rows(words, tags):
    return [{"text": w, "label": t} for w, t in zip(words, tags, strict=True)]


def read(path):
    return load(path, TAGS, kind="tokens")


def test_tags_are_read_by_name_by_number_and_as_declared(tmp_path):
    for tags in (NAMED, NUMBERED):
        data = read(jsonl(tmp_path / "a.jsonl", rows(WORDS, tags)))
        assert (data.labels, data.words, data.names, data.kind) == (NUMBERED, WORDS, TAGS, "tokens")
        assert data.texts == ["Ann Lee in Rome", "No one ."]
    order = ["B-loc", "I-loc", "B-per", "I-per", "O"]
    features = {"text": datasets.List(datasets.Value("string")), "label": datasets.List(datasets.ClassLabel(names=order))}
    tags = [[order.index(tag) for tag in row] for row in NAMED]
    datasets.Dataset.from_list(rows(WORDS, tags), features=datasets.Features(features)).to_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet").labels == NUMBERED


@pytest.mark.parametrize("spelt", [json.dumps, str])
def test_lists_in_csv_are_json_or_as_python_writes_them(tmp_path, spelt):
    frame = pd.DataFrame({"text": list(map(spelt, WORDS)), "label": list(map(spelt, NAMED))})
    frame.to_csv(tmp_path / "a.csv", index=False)
    data = read(tmp_path / "a.csv")
    assert (data.labels, data.words) == (NUMBERED, WORDS)
    frame.assign(text="['Ann' 'Lee' 'in' 'Rome']").to_csv(tmp_path / "a.csv", index=False)  # numpy's, without commas
    with pytest.raises(InputError, match="row 1: column 'text' holds .*, expected a list of words as JSON"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize("gap", [" ", " ,", ", "])
def test_a_long_cell_that_is_nearly_a_list_takes_no_time_with_its_square(gap):
    begin = time.process_time()
    assert list_in("['a'" + gap * 50_000 + "x") is None
    assert time.process_time() - begin < 2
    assert list_in("['a' , 'b' , ]") == list_in("[ 'a','b',]") == list_in("['a', 'b' ]") == ["a", "b"]
    assert list_in("[ ]") == [] and list_in("[,]") is None


def test_rows_without_words_are_left_out_and_counted(tmp_path, caplog):
    path = jsonl(tmp_path / "a.jsonl", rows([*WORDS, [], [" "]], [*NUMBERED, [], [0]]))
    assert read(path).words == WORDS
    assert "2 of 4 rows have no word and are left out" in caplog.text
    with pytest.raises(InputError, match="no row has a word in column 'text'"):
        read(jsonl(path, rows([[]], [[]])))


def test_rows_are_drawn_with_their_words(tmp_path):
    words = [[f"w{row}", "x"] for row in range(20)]
    data = load(jsonl(tmp_path / "a.jsonl", rows(words, [[row % 2, 0] for row in range(20)])), TAGS, kind="tokens", limit=5)
    assert len(data) == 5 and all(row[0] == text.split()[0] for row, text in zip(data.words, data.texts, strict=True))
    assert [int(row[0][1:]) % 2 for row in data.words] == [row[0] for row in data.labels]


FORMATS = {
    "IOB": ["B-per", "I-per", "I-per", "O", "B-loc", "B-loc", "I-loc", "O"],
    "BIOES": ["B-per", "I-per", "E-per", "O", "S-loc", "B-loc", "E-loc", "O"],
    "BILOU": ["B-per", "I-per", "L-per", "O", "U-loc", "B-loc", "L-loc", "O"],
}


@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("taught", FORMATS)
@pytest.mark.parametrize("written", FORMATS)
def test_the_entities_of_data_are_read_in_the_format_of_the_teacher(tmp_path, caplog, written, taught, declared):
    letters = {"IOB": "BI", "BIOES": "BIES", "BILOU": "BILU"}
    labels, own = (["O", *(f"{x}-{kind}" for kind in ("loc", "per") for x in letters[name])] for name in (taught, written))
    words = [f"w{number}" for number in range(8)]
    if declared:
        features = {"text": datasets.List(datasets.Value("string")), "label": datasets.List(datasets.ClassLabel(names=own))}
        table = datasets.Dataset.from_list(rows([words], [FORMATS[written]]), features=datasets.Features(features))
        path = tmp_path / "a.parquet"
        table.to_parquet(path)
    else:
        path = jsonl(tmp_path / "a.jsonl", rows([words], [FORMATS[written]]))
    data = load(path, labels, kind="tokens")
    assert [data.names[tag] for tag in data.labels[0]] == FORMATS[taught] and data.names == labels
    assert ("their entities are read as O, B-loc" in caplog.text) == (written != taught)


def test_data_in_iob_fits_a_teacher_of_types_alone_and_the_other_way_round(tmp_path):
    plain, words = ["O", "loc", "per"], [[f"w{number}" for number in range(8)]]
    data = load(jsonl(tmp_path / "a.jsonl", rows(words, [FORMATS["IOB"]])), plain, kind="tokens")
    assert data.labels == [[2, 2, 2, 0, 1, 1, 1, 0]]
    data = load(jsonl(tmp_path / "b.jsonl", rows(words, [[plain[tag] for tag in data.labels[0]]])), TAGS, kind="tokens")
    assert [TAGS[tag] for tag in data.labels[0]] == ["B-per", "I-per", "I-per", "O", "B-loc", "I-loc", "I-loc", "O"]
    # as many tags as the teacher has: by their places in the list, I-loc would be a person
    names = ["O", "B-loc", "I-loc"]
    features = {"text": datasets.List(datasets.Value("string")), "label": datasets.List(datasets.ClassLabel(names=names))}
    table = datasets.Dataset.from_list(rows([["New", "York"]], [names[1:]]), features=datasets.Features(features))
    table.to_parquet(tmp_path / "c.parquet")
    assert load(tmp_path / "c.parquet", plain, kind="tokens").labels == [[1, 1]]
    # what the data has no right to say in its own format is refused
    with pytest.raises(InputError, match="holds I-per for word 1 .* after nothing, expected I-per to follow B-per"):
        load(jsonl(tmp_path / "d.jsonl", rows([*words, ["a"]], [FORMATS["IOB"], ["I-per"]])), plain, kind="tokens")
    with pytest.raises(InputError, match="holds 'B-org', expected 0 to 2 or one of O, loc, per"):
        load(jsonl(tmp_path / "e.jsonl", rows([["a"]], [["B-org"]])), plain, kind="tokens")


@pytest.mark.parametrize(
    "words, tags, said",
    [
        (["a", "b"], ["O"], "row 3: column 'label' holds 1 tags for 2 words, expected one for each word"),
        (
            ["a", "b"],
            ["O", "I-per"],
            r"row 3: .* holds I-per for word 2 \('b'\) after O, expected I-per to follow B-per",
        ),
        (["a", "b"], ["B-loc", "I-per"], "holds I-per for word 2 .* after B-loc, .* each entity begins with its B- tag"),
        (["a"], ["I-loc"], "row 3: .* holds I-loc for word 1 .* after nothing"),
        (["a"], ["B-org"], "row 3: column 'label' holds 'B-org', expected 0 to 4 or one of O, B-per"),
        ("a b", ["O", "O"], "row 3: column 'text' holds 'a b', expected a list of words"),
        (["a"], "O", "row 3: column 'label' holds 'O', expected a list of tags"),
        (["a", None], ["O", "O"], "row 3: column 'text' holds .* expected a list of words"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path, words, tags, said):
    with pytest.raises(InputError, match=said):
        read(jsonl(tmp_path / "a.jsonl", rows([*WORDS, words], [*NAMED, tags])))


@pytest.mark.parametrize(
    "labels, said",
    [
        (TAGS, ""),
        (["O", "B-per"], ""),
        (["B-per", "I-per"], "there is no O for words outside of entities"),
        (["O", "I-per"], ""),  # begins where it continues nothing
        (["O"], "there is no type of entity"),
        (["O", "S-per"], ""),
        (["O", "B-per", "B-"], "B- is neither"),
        (["O", "B-per", "NOUN"], "NOUN is neither O nor B-TYPE nor I-TYPE"),
        (["O", "NOUN"], ""),
        (["LABEL_0", "LABEL_1"], "LABEL_0 does not say what it stands for"),
    ],
)
def test_names_of_tags_have_to_nest(labels, said):
    assert fault_of_tags(labels).startswith(said) and bool(said) == bool(fault_of_tags(labels))


def test_types_without_a_tag_that_begins_them_may_start_with_their_inner_tag(tmp_path):
    inner = [["I-per", "I-per", "O", "I-loc"], ["O", "O", "O"]]
    data = load(jsonl(tmp_path / "a.jsonl", rows(WORDS, inner)), ["O", "I-per", "I-loc"], kind="tokens")
    assert data.labels == [[1, 1, 0, 2], [0, 0, 0]]
    about = {"name": "x", "kind": "tokens", "data": "a", "label_column": "label", "metrics": ("entity_f1",), "version": 1}
    task = Task(labels=("O", "I-per", "I-loc"), text_columns=("text",), **about)
    assert describe(data, task)["entities"] == {"per": 1, "loc": 1}
