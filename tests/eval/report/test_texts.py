"""The texts of a report: first and last, and those with the largest distance between teacher and student."""

from eval.report.texts import before_and_after, most_apart


def test_first_and_last_samples_of_each_class():
    rows = [
        {"update": u, "queries": 10 * u, "wanted": w, "topic": "A b", "text": f"A b {w}{u}"} for u in (1, 2, 3) for w in "xy"
    ]
    classes = before_and_after(rows)["classes"]
    assert [entry["target"] for entry in classes] == ["x", "y"]
    assert [s["rest"] for s in classes[0]["first"]["samples"]] == [" x1"]
    assert [s["rest"] for s in classes[0]["last"]["samples"]] == [" x3"]
    assert classes[0]["last"]["when"] == "after 30 queries"
    (single,) = before_and_after([{"update": 1, "wanted": None, "text": "t", "topic": "else"}])["classes"]
    assert single["target"] == "any class" and single["last"]["samples"] == []
    assert single["first"]["samples"][0] == {"topic": "", "rest": "t", "notes": []}
    many = before_and_after([{"update": 1, "wanted": f"{i:02}", "text": "t"} for i in range(77)])
    assert len(many["classes"]) == 8 and many["out"] == 69


def test_predictions_of_teacher_and_student_are_shown():
    row = {"text": "t", "teacher": "a", "teacher_probability": 0.9, "student": "b", "student_probability": 0.7, "label": "b"}
    (entry,) = most_apart({"apart": [row]})
    assert entry == {
        "topic": "", "rest": "t", "notes": [("teacher:", "a 90.0 %"), ("student:", "b 70.0 %"), ("labelled", "b")],
    }  # fmt: skip
    (entry,) = most_apart({"apart": [{"text": "u" * 1000, "teacher": "a", "label": None}]})
    assert entry["notes"] == [("teacher:", "a")] and len(entry["rest"]) == 402
    assert len(most_apart({"apart": [row] * 50})) == 10
    assert most_apart({}) == []


def test_second_texts_stand_behind_the_first():
    (entry,) = before_and_after([{"update": 1, "wanted": "x", "text": "A b c", "topic": "A", "text_pair": "D"}])["classes"]
    assert entry["first"]["samples"][0]["rest"] == " b c / D"
    (entry,) = most_apart({"apart": [{"text": "t", "text_pair": "u", "teacher": "a"}]})
    assert entry["rest"] == "t / u"
