"""The tasks of every kind: their rows are private, balanced, and hold what their kind needs."""

import random
from collections import Counter
from pathlib import Path

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import matthews_corrcoef

from eval.data.tasks import read_task
from eval.toy.tasks import acceptable, pairs, score, tags, topics
from eval.toy.tasks.table import TASKS
from eval.toy.tasks.world import JudgedWorld, Row, private_rows


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[Row]]:
    world = JudgedWorld(0)
    return {
        name: [task.draw(world, number, random.Random(f"{name} {number}")) for number in range(1500)]
        for name, task in TASKS.items()
    }


@pytest.mark.parametrize("name", TASKS)
def test_splits_share_no_text_with_each_other_or_the_public(name):
    draw = TASKS[name].draw
    first = private_rows(name, draw, set(), train=300, test=60)
    assert first == private_rows(name, draw, set(), train=300, test=60)
    texts = [row["text"] + row.get("text_pair", "") for split in first.values() for row in split]
    assert len(set(texts)) == len(texts) == 360
    public = {row["text"] for row in first["train"][:50]}
    kept = private_rows(name, draw, public, train=300, test=60)
    if name != "pairs":  # a public sentence may be the half of a pair
        assert not public & {row["text"] for split in kept.values() for row in split}
    assert private_rows(name, draw, set(), seed=1, train=20, test=5) != private_rows(name, draw, set(), train=20, test=5)


def test_labels_of_topics_are_the_domain_and_what_is_said(drawn):
    rows = drawn["topics"]
    given = Counter(label for row in rows for label in row["labels"])
    assert set(given) == set(range(8)) and min(given.values()) > 300
    for row in rows:
        assert row["label_names"] == [topics.LABELS[label] for label in row["labels"]]
        assert len({0, 1} & set(row["labels"])) == 1 and len(row["labels"]) >= 2
    counts = CountVectorizer(binary=True).fit_transform([row["text"] for row in rows])
    praised = [int(topics.LABELS.index("whole praised") in row["labels"]) for row in rows]
    model = LogisticRegression(max_iter=200).fit(counts[:1000], praised[:1000])
    assert matthews_corrcoef(praised[1000:], model.predict(counts[1000:])) < 0.65  # words alone do not say what is praised


def test_scores_fill_the_range_and_follow_the_mind(drawn):
    scores = [row["label"] for row in drawn["score"]]
    assert min(scores) == score.LOW and max(scores) == score.HIGH
    blame, praise = scores[::2], scores[1::2]
    assert sum(blame) / len(blame) < 2.4 < 3.6 < sum(praise) / len(praise)
    assert len(set(scores)) > 15


def test_tags_nest_and_have_all_types(drawn):
    for row in drawn["tags"]:
        assert len(row["tokens"]) == len(row["tags"])
        for before, tag in zip(["O", *row["tags"]], row["tags"], strict=False):
            assert tag in tags.LABELS and (tag[0] != "I" or before[2:] == tag[2:])
    counts = Counter(tag for row in drawn["tags"] for tag in row["tags"])
    assert all(counts[f"B-{name}"] > 50 for name in tags.TYPES)
    assert counts["I-praised"] > 50 and counts["I-faulted"] > 50


def test_three_of_ten_sentences_are_damaged_and_words_alone_do_not_say_which(drawn):
    rows = drawn["acceptable"]
    labels = [row["label"] for row in rows]
    assert Counter(labels) == {0: 450, 1: 1050}
    assert all(
        (row["label_name"], row["text"]) == (acceptable.LABELS[row["label"]], " ".join(row["text"].split())) for row in rows
    )
    counts = CountVectorizer(binary=True).fit_transform([row["text"] for row in rows])
    model = LogisticRegression(max_iter=200, class_weight="balanced").fit(counts[:1000], labels[:1000])
    assert matthews_corrcoef(labels[1000:], model.predict(counts[1000:])) < 0.35
    good, bad = (counts[[place for place, one in enumerate(labels) if one == label]].sum(0).A1 for label in (1, 0))
    assert not ((bad > 10) & (good == 0)).any()  # no word that damaged sentences alone have


def test_some_subjects_are_plural_and_their_verbs_agree():
    draw = random.Random(0)
    for text, several in {
        "the soup was bland.": "the soups were bland.",
        "this fine bistro is dull.": "these fine bistros are dull.",
        "yet the comedy saves the whole film.": "yet the comedies save the whole film.",
        "the actress was not poor.": "the actresses were not poor.",
    }.items():
        made = [acceptable.SUBJECT.sub(lambda found: acceptable.plural(found, draw), text) for _ in range(60)]
        assert set(made) == {text, several} and 5 < made.count(several) < 35
    assert not acceptable.SUBJECT.search("a film that is dull, and it is hard to like.")


@pytest.mark.parametrize("seed", range(3))
def test_damage_changes_order_agreement_or_leaves_a_word_out(seed):
    text, draw = "the soup was bland, but we tried a pie.", random.Random(seed)
    made = {acceptable.damaged(text, draw) for _ in range(60)}
    assert {"soup was bland, but we tried a pie.", "the soup were bland, but we tried a pie."} <= made
    assert {"soup the was bland, but we tried a pie.", "the soup was bland, but we tried an pie."} <= made
    assert text not in made and acceptable.damaged("fine.", draw) == ""


def test_neither_half_of_a_pair_alone_says_the_answer(drawn):
    rows = drawn["pairs"]
    labels = [row["label"] for row in rows]
    assert Counter(labels) == {0: 500, 1: 500, 2: 500} and len(pairs.LABELS) == 3
    for column in ("text", "text_pair"):
        counts = CountVectorizer(ngram_range=(1, 2)).fit_transform([row[column] for row in rows])
        model = LogisticRegression(max_iter=200).fit(counts[:1000], labels[:1000])
        assert model.score(counts[1000:], labels[1000:]) < 0.75


@pytest.mark.parametrize("name", TASKS)
def test_task_file_says_what_the_table_says(name):
    task = read_task(Path(__file__).parents[4] / "configs" / "tasks" / f"toy_{name}.yaml")
    assert (task.kind, list(task.labels), task.data) == (TASKS[name].kind, TASKS[name].labels, f"toy:{name}")
    assert name != "score" or task.range == (score.LOW, score.HIGH)
