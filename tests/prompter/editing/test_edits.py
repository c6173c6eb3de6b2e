"""Edits: what each does to the words of a text, and that nothing but the place of a text and its words decides them."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill.common.errors import InputError
from prompter.editing.config import EDITS, EditSettings
from prompter.editing.edits import FUNCTIONS, UNEDITED, Edits, Vocabulary, split

TEXTS = [
    "The old cook walks to the market, and he buys bread.",
    "Every cook walked home.",
    "A baker needs the bread (and some flour).",
    "We saw that the old baker was walking.",
] * 5
WANTED = torch.zeros(len(TEXTS), dtype=torch.int64)


def edits(*names: str, count: int = 1, **changes) -> Edits:
    return Edits(EditSettings(edit_labels=["bad"], edits=[*names], edits_max=count, **changes), ["bad", "good"])


def words(text: str) -> list[str]:
    return [word.core.casefold() for word in split(text)[0] if word.core]


def test_every_name_has_a_function() -> None:
    assert tuple(FUNCTIONS) == EDITS


@pytest.mark.parametrize("name", EDITS)
def test_each_edit_does_what_its_name_says(name: str) -> None:
    known = Counter(word for text in TEXTS for word in words(text))
    made = edits(name)(TEXTS, WANTED, 0, 0, "t")
    pairs = [(words(before), words(after)) for before, after in zip(TEXTS, made, strict=True)]
    assert len(set(made)) > len(set(TEXTS))  # equal texts are edited differently
    for before, after in pairs:
        gone, new = Counter(before) - Counter(after), Counter(after) - Counter(before)
        changed = [place for place, (a, b) in enumerate(zip(before, after, strict=False)) if a != b]
        if name == "swap":
            (first, second) = changed
            assert not gone and not new and second == first + 1
        if name == "move":
            assert not gone and not new and changed[-1] - changed[0] >= 2
        if name == "delete":
            assert gone.total() == 1 and not new
        if name in ("repeat", "insert"):
            assert not gone and new.total() == 1 and new <= known
        if name == "repeat":
            assert new <= Counter(before)
            assert any(a == b for a, b in zip(after, after[1:], strict=False))
        if name in ("replace", "form"):
            assert len(before) == len(after) and len(changed) == gone.total() == new.total() <= 1 and new <= known
        if name == "form" and changed:
            assert (gone | new).keys() <= {"walks", "walked", "walking", "bake", "baker"}
    assert name != "form" or any(before != after for before, after in pairs)


def test_marks_and_the_first_capital_do_not_give_an_edit_away() -> None:
    for made in edits("swap", "move", "repeat", "replace", count=3)(TEXTS, WANTED, 0, 0, "t"):
        assert made[0].isupper() and made.endswith(".")
        assert "The" not in made.split()[1:]  # known with a small letter, too
    marks = [[mark for mark in text if not mark.isalnum() and mark != " "] for text in TEXTS]
    made = edits("swap", "replace")(TEXTS, WANTED, 0, 0, "t")
    assert [[mark for mark in text if not mark.isalnum() and mark != " "] for text in made] == marks


def test_seed_counter_purpose_and_place_decide() -> None:
    edit = edits(*EDITS, count=2)
    first = edit(TEXTS, WANTED, 3, 7, "writer")
    assert edits(*EDITS, count=2)(TEXTS, WANTED, 3, 7, "writer") == first
    for other in ((4, 7, "writer"), (3, 8, "writer"), (3, 7, "saved texts")):
        assert edit(TEXTS, WANTED, *other) != first
    # What another row is asked for changes nothing.
    half = WANTED.clone()
    half[::2] = 1
    assert edit(TEXTS, half, 3, 7, "writer")[1::2] == first[1::2]


def test_only_texts_of_the_named_classes_are_edited() -> None:
    wanted = torch.arange(len(TEXTS)) % 2
    made = edits(*EDITS)(TEXTS, wanted, 0, 0, "t")
    assert [a == b for a, b in zip(made, TEXTS, strict=True)] == wanted.bool().tolist()
    assert edits(*EDITS)(TEXTS, None, 0, 0, "t") == TEXTS
    assert UNEDITED(TEXTS, WANTED, 0, 0, "t") == TEXTS
    assert edits(*EDITS)(TEXTS, WANTED - 1, 0, 0, "t") == TEXTS  # -1: no class


def test_the_number_of_edits_is_in_the_range() -> None:
    texts = TEXTS[:1] * 20
    gone = {
        len(words(TEXTS[0])) - len(words(made)) for made in edits("delete", count=4, edits_min=3)(texts, WANTED, 0, 0, "t")
    }
    assert gone == {3, 4}


def test_texts_without_spaces_are_edited_by_characters() -> None:
    texts = ["我喜欢吃苹果，因为它们很甜。", "今天天气很好，我们去公园。"]
    for before, after in zip(texts, edits("swap")(texts, WANTED[:2], 0, 0, "t"), strict=True):
        assert sorted(before) == sorted(after) and before != after and " " not in after
        assert [place for place, mark in enumerate(after) if mark in "，。"] == [
            place for place, mark in enumerate(before) if mark in "，。"
        ]
    (thai,) = edits("repeat")(["ผู้หญิงกินข้าวที่บ้าน"], WANTED[:1], 0, 0, "t")
    assert len(thai) > len("ผู้หญิงกินข้าวที่บ้าน")


@given(st.lists(st.text(max_size=30), max_size=4))
def test_any_text_stays_on_one_line(texts: list[str]) -> None:
    texts = [" ".join(text.split()) for text in texts]
    made = edits(*EDITS, count=3)(texts, torch.zeros(len(texts), dtype=torch.int64), 0, 0, "t")
    assert len(made) == len(texts)
    assert all(" ".join(text.split()) == text for text in made)


def test_a_vocabulary_knows_words_and_their_forms() -> None:
    known = Vocabulary(TEXTS[:4])
    assert known.words.count("the") == 4 and "The" not in known.words  # "The old cook" is "the" elsewhere
    assert known.forms("walked") == ["walks", "walking"] and not known.forms("cook")


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(edit_labels=["bed"]), "there is no class 'bed', expected some of: bad, good. Did you mean 'bad'?"),
        (dict(edit_labels=["bad", "good"]), "names all classes"),
    ],
)
def test_classes_are_checked(changes: dict, words: str) -> None:
    with pytest.raises(InputError, match="edit_labels") as caught:
        Edits(EditSettings(**changes), ["bad", "good"])
    assert words in str(caught.value)
