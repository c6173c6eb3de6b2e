"""The report: what it claims, that hostile text stays text, that missing figures do no harm, how it looks."""

import html
import json
import math
import re
import shutil
import subprocess
import zlib
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.errors import InputError
from eval.report import before_and_after, headline, render, topic_table, verdict, write_report
from tests.eval.run_folder import metrics, samples, summary, write_run

VOID = {"meta", "br", "line", "circle", "path", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Checks nesting and collects tags and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.attributes = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def page_of(folder):
    return Page(write_report(folder).read_text(encoding="utf-8"))


def with_students(**accuracies):
    return {"teacher_queries": 8000, "students": {name: {"accuracy": value} for name, value in accuracies.items()}}


def test_a_whole_run_is_told(tmp_path):
    page = page_of(write_run(tmp_path / "demo"))
    for expected in (
        "toy:sentiment", "With 8,000 teacher queries and no training data", "87.2 %", "77.1 %", "96.2 %", "13.6 MB",
        "438,018", "1 min 11 s", "Reward", "Accuracy on the evaluation data", "Critic's loss", "Wanted: negative",
        "First, after 200 queries", "Last, after 8,000 queries", "Mean reward", "teacher and writer", "budget",
        "2.13.0",
    ):  # fmt: skip
        assert expected in page.text, expected
    assert page.tags.count("svg") == page.tags.count("desc") == 8
    assert ("role", "img") in page.attributes


def test_the_page_needs_nothing_but_itself(tmp_path):
    folder = write_run(tmp_path / "demo")
    text = write_report(folder).read_text(encoding="utf-8")
    assert not {"script", "link", "img", "iframe"} & set(Page(text).tags)
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "url(" not in text and "@import" not in text
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text
    assert write_report(folder).read_text(encoding="utf-8") == text  # same files, same page


def test_the_verdict_claims_what_was_measured():
    everything = summary()
    assert verdict(everything, []) == (
        "With 8,000 teacher queries and no training data, the prompted student reaches 87.2 % accuracy: 10.1 points "
        "above the same student on unprompted text and 97.9 % of what the real training text gives it (89.1 %); "
        "its teacher has 96.2 %."
    )
    assert "3.0 points below the same student" in verdict(with_students(prompted=0.7, unprompted=0.73), [])
    alone = verdict(with_students(prompted=0.7), [])
    assert alone.endswith("reaches 70.0 % accuracy.")
    unlabelled = verdict({"teacher_queries": 500, "students": {"prompted": {}}}, [{"agreement": 0.5}, {"agreement": 0.83}])
    assert "agree with its teacher on 83.0 % on the last texts" in unlabelled and "accuracy is not known" in unlabelled
    assert "is not known" in verdict({"teacher_queries": 500}, [])
    assert verdict({}, [{"queries": 1200}]).startswith("This run is not finished: the page shows it as it stood after 1,200")


def test_the_table_leaves_out_what_no_row_has_and_orders_the_students():
    table = headline({"students": {"mine": {"accuracy": 0.5}, "real": {"accuracy": 0.9}, "prompted": {"accuracy": None}}})
    assert table["columns"] == ["Accuracy"]
    assert [(row["name"], row["cells"]) for row in table["rows"]] == [("real", ["90.0 %"]), ("mine", ["50.0 %"])]


def test_first_and_last_samples_of_each_class():
    rows = [
        {"update": u, "queries": 10 * u, "wanted": w, "topic": "A b", "text": f"A b {w}{u}"} for u in (1, 2, 3) for w in "xy"
    ]
    classes = before_and_after(rows)["classes"]
    assert [entry["wanted"] for entry in classes] == ["x", "y"]
    assert [s["rest"] for s in classes[0]["first"]["samples"]] == [" x1"]
    assert [s["rest"] for s in classes[0]["last"]["samples"]] == [" x3"]
    assert classes[0]["last"]["when"] == "after 30 queries"
    (single,) = before_and_after([{"update": 1, "wanted": None, "text": "t", "topic": "else"}])["classes"]
    assert single["wanted"] == "any class" and single["last"]["samples"] == []
    assert single["first"]["samples"][0] == {"topic": "", "rest": "t", "told": []}
    many = before_and_after([{"update": 1, "wanted": f"{i:02}", "text": "t"} for i in range(77)])
    assert len(many["classes"]) == 8 and many["out"] == 69


def test_topics_are_counted_with_their_mean_reward():
    rows = [{"topic": t, "reward": r} for t, r in [("a  b", 0.2), ("a b", 0.6), ("c", 0.9), ("d", 0.1), ("", None)]]
    table = topic_table(rows)
    assert table[0] == {"topic": "a b", "count": "2", "reward": "0.40"}
    assert [row["topic"] for row in table[1:]] == ["c", "d", "(no topic)"]
    assert table[-1]["reward"] == "–"


def test_hostile_text_stays_text(tmp_path):
    hostile = "</blockquote></svg></style><script>alert(1)</script><img src=x onerror=alert(1)>"
    hostile += "{{ 7*7 }}{% raw %}&amp;\u202e\x00"
    rows = [{**row, "topic": hostile, "text": hostile + " and more", "wanted": hostile} for row in samples(3)]
    rows.append({**rows[0], "text": "lone \ud800 surrogate", "wanted": None})
    ended = summary()
    ended["task"] = ended["labels"][0] = hostile
    ended["students"][hostile] = {"accuracy": 0.5}
    ended["time"][hostile] = 1.0
    ended["config"][hostile] = [hostile]
    ended["versions"][hostile] = hostile
    logged = [{**row, f"reward/{hostile}": 0.5} for row in metrics(5)]
    page = page_of(write_run(tmp_path / "run", ended, logged, rows))
    assert not {"script", "img"} & set(page.tags)
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "{{ 7*7 }}" in page.text and "<script>alert(1)</script>" in page.text
    assert "lone ? surrogate" in page.text


def test_characters_that_look_like_line_ends_do_not_cut_a_sample(tmp_path):
    row = json.dumps({"update": 1, "wanted": "x", "topic": "a", "text": "a\u2028b\x85c"}, ensure_ascii=False)
    (tmp_path / "samples.jsonl").write_text(row + "\n", encoding="utf-8")
    assert "Wanted: x" in page_of(tmp_path).text


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
        Page(render(ended, [], [], "run"))
    for row in without(metrics(1)[0]):
        Page(render({}, [row, row], [], "run"))
    for row in without(samples(1)[0]):
        Page(render({}, [], [row, row], "run"))


anything = st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda s: st.lists(s, max_size=2))


@settings(max_examples=30, deadline=None)
@given(st.fixed_dictionaries({}, optional={key: anything for key in samples(1)[0]}), st.data())
def test_values_of_any_type_do_no_harm(sample, data):
    row = data.draw(st.fixed_dictionaries({}, optional={key: anything for key in metrics(1)[0]}))
    ended = data.draw(st.fixed_dictionaries({}, optional={key: anything for key in summary()}))
    Page(render(ended, [row], [sample], "run"))


def test_a_run_that_was_killed_can_be_told(tmp_path):
    folder = write_run(tmp_path / "run", {}, metrics(4), samples(4))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"update": 5, "quer')
    assert "This run is not finished: the page shows it as it stood after 800 teacher queries" in page_of(folder).text


def test_what_is_no_run_is_refused(tmp_path):
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
    assert not (tmp_path / "report.html").exists()


# In a browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium installed")


def chromium(tmp_path, *arguments):
    quiet = (
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--hide-scrollbars", f"--user-data-dir={tmp_path / 'profile'}",
    )  # fmt: skip
    return subprocess.run([CHROMIUM, *quiet, *arguments], capture_output=True, text=True, timeout=120, check=True).stdout


def corner(png):
    """Red, green and blue of a PNG's first pixel: no row filter changes it."""
    data, at = png.read_bytes(), 8
    pixels = b""
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            pixels += data[at + 8 : at + 8 + size]
        at += 12 + size
    return tuple(zlib.decompress(pixels)[1:4])


@in_browser
def test_a_browser_shows_it_light_and_dark(tmp_path):
    page = write_report(write_run(tmp_path / "run"))
    colours = {}
    for name, more in (("light", []), ("dark", ["--blink-settings=preferredColorScheme=0"])):
        picture = tmp_path / f"{name}.png"
        chromium(tmp_path, *more, "--window-size=1100,1200", f"--screenshot={picture}", page.as_uri())
        colours[name] = corner(picture)
    assert colours == {"light": (0xF6, 0xF7, 0xF9), "dark": (0x12, 0x16, 0x1C)}


@in_browser
def test_nothing_sticks_out_on_a_phone(tmp_path):
    rows = [{**row, "topic": "w" * 200, "text": "w" * 600} for row in samples(2)]
    page = write_report(write_run(tmp_path / "run", samples_=rows)).read_text(encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe id="f" style="width:360px;height:800px;border:0" srcdoc="{html.escape(page)}"></iframe>'
        '<p id="w"></p>'
        "<script>f.onload = () => w.textContent = 'width ' + f.contentDocument.documentElement.scrollWidth</script>"
    )
    assert "width 360<" in chromium(tmp_path, "--virtual-time-budget=5000", "--dump-dom", frame.as_uri())
