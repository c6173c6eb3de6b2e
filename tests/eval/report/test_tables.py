"""The tables of a report: what they show, and what they omit."""

from eval.report.tables import budget, confusion, headline, time_split, topic_table
from tests.eval.run_folder import summary


def test_the_table_omits_empty_columns_and_orders_the_students():
    table = headline({"students": {"mine": {"accuracy": 0.5}, "real": {"accuracy": 0.9}, "prompted": {"accuracy": None}}})
    assert table["columns"] == ["Accuracy"]
    assert [(row["name"], row["cells"]) for row in table["rows"]] == [("real", ["90.0 %"]), ("mine", ["50.0 %"])]


def test_topics_are_counted_with_their_mean_reward():
    rows = [{"topic": t, "reward": r} for t, r in [("a  b", 0.2), ("a b", 0.6), ("c", 0.9), ("d", 0.1), ("", None)]]
    table = topic_table(rows)
    assert table[0] == {"topic": "a b", "count": "2", "reward": "0.40"}
    assert [row["topic"] for row in table[1:]] == ["c", "d", "(no topic)"]
    assert table[-1]["reward"] == "–"


def pairs_of(*counts):
    return [{"teacher": teacher, "student": student, "texts": texts} for teacher, student, texts in counts]


def test_the_matrix_has_the_teachers_classes_as_rows_and_shares_of_each_row():
    shown = confusion({"labels": ["a", "b", "c"], "pairs": pairs_of((0, 0, 6), (0, 1, 2), (1, 1, 1200))})
    assert shown["says"] == "Both predict the same class for 99.8 % of them." and shown["mistaken"] == []
    first, second, third = shown["rows"]
    assert (first["name"], first["texts"]) == ("a", "8")
    assert [(cell["texts"], cell["share"], cell["same"]) for cell in first["cells"]] == [
        ("6", "75.0 %", True), ("2", "25.0 %", False), ("0", "", False),
    ]  # fmt: skip
    assert [cell["tint"] for cell in second["cells"]] == [0, 1, 0] and second["texts"] == "1,200"
    assert third["texts"] == "0" and {cell["share"] for cell in third["cells"]} == {""}


def test_what_is_the_same_is_said_of_each_kind():
    found = {"labels": ["place", "person", "no entity"], "pairs": pairs_of((0, 0, 6), (0, 1, 2), (1, 2, 2), (2, 2, 90))}
    said = confusion(found, "tokens")["says"]
    assert "Of the 10 texts in which either finds one, both take the same type for 60.0 %." in said and "96" not in said
    nothing = {"labels": ["place", "no entity"], "pairs": pairs_of((1, 1, 9))}
    assert confusion(nothing, "tokens")["says"].endswith("Neither finds an entity.")
    marks = {"labels": ["comma", "stop"], "pairs": pairs_of((0, 0, 3), (1, 0, 1))}
    for kind, words in (
        ("tokens", "the type that the fewest of its words have, whatever the others are: both take the same one for 75.0 %"),
        ("multi_label", "A text counts as its likeliest label: both take the same one for 75.0 %"),
        ("score_pair", "Both give a number in the same fifth of the range for 75.0 %"),
        ("pair", "Both predict the same class for 75.0 %"),
    ):
        assert words in confusion(marks, kind)["says"]


def test_many_classes_are_shown_as_the_most_confused_pairs():
    right = [(number, number, 50) for number in range(40)]
    wrong = [(number, number + 1, number) for number in range(1, 39)]
    shown = confusion({"labels": [f"c{number}" for number in range(40)], "pairs": pairs_of(*right, *wrong)})
    assert shown["rows"] == [] and len(shown["mistaken"]) == 15
    assert shown["mistaken"][0] == {"teacher": "c38", "student": "c39", "texts": "38", "share": "43.2 %"}
    assert confusion({"labels": [str(number) for number in range(13)], "pairs": pairs_of(*right[:13])})["mistaken"] == []


def test_invalid_comparisons_are_not_shown():
    for differing in ({}, {"labels": []}, {"labels": "ab", "pairs": pairs_of((0, 0, 1))}, {"labels": ["a"]}):
        assert confusion(differing) is None
    for pair in ((0, 1, 3), (0.5, 0, 2), (0, 0, 0.5), (0, 0, -1), (0, 0, None)):
        assert confusion({"labels": ["a"], "pairs": pairs_of(pair)}) is None


def test_the_budget_shows_queries_by_purpose():
    assert budget({}) == []
    assert budget({"teacher_queries": 100}) == [("For the prompted student", "100")]
    shown = budget(summary() | {"unusable_answers": 3})
    assert [texts for _, texts in shown] == ["8,000 of 8,000", "16,000", "2,000", "23,456", "2,544", "3"]
    assert shown[-2][0] == "Predictions known already, from this run or an earlier one"  # one run may write a text twice
    resumed = budget(summary() | {"teacher_calls": 27_000})
    assert resumed[-1] == ("Texts really sent to the teacher", "27,000")


def test_shares_of_the_time_are_shown_if_parts_do_not_overlap():
    shown = time_split({"time": {"writer": 10, "policy": 30, "else": None}})
    assert [(row["name"], row["text"], row["share"], row["width"]) for row in shown] == [
        ("policy", "30.0 s", "75 %", 100), ("writer", "10.0 s", "25 %", 33.3),
    ]  # fmt: skip
    assert all(row["what"] for row in shown)
    assert [row["share"] for row in time_split({"time": {"rounds": 40, "writer": 10}})] == ["", ""]


def test_the_headline_shows_the_metrics_of_each_kind():
    rows = {"teacher": {"pearson": 0.9123, "mse": 0.5}, "students": {"prompted": {"pearson": 0.8, "mse": 0.75}}}
    table = headline(rows)
    assert table["columns"] == ["Pearson", "Squared error"]
    assert [row["cells"] for row in table["rows"]] == [["0.912", "0.5"], ["0.800", "0.75"]]
