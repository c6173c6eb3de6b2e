"""Words: the same for every script, without case and punctuation."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.corpora.words import marks, words


def test_case_and_punctuation_do_not_count():
    assert words("It’s GOOD, isn't it? (Yes!)") == ["it’s", "good", "isn't", "it", "yes"]


def test_scripts_without_spaces_are_split_into_characters():
    assert words("数据 is データ") == ["数", "据", "is", "デ", "ー", "タ"]


def test_a_text_may_have_no_words():
    assert words("") == words("... !") == []


def test_combining_marks_belong_to_the_word():
    assert words("लड़की अच्छी है") == ["लड़की", "अच्छी", "है"]
    assert words("সে করে") == ["সে", "করে"]
    assert words("می\u200cخواهم") == ["می\u200cخواهم"]
    assert words("cafe\u0301 noir") == words("café noir") == ["café", "noir"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("लड़का अच्छा है", "लड़की अच्छी है"),
        ("the food 👍", "the food 👎"),
        ("well :)", "well :("),
        ("well:)", "well:("),
        ("😀", "😡"),
        ("I write C++", "I write C#"),
        ("👨‍👩‍👧", "👨‍👩‍👦"),
        ("🇩🇪", "🇫🇷"),
        ("...", "!!"),
        ("I <3 it", "I 3 it"),
        ("5 %", "5 $"),
    ],
)
def test_texts_that_differ_in_a_sign_or_mark_are_not_equal(first, second):
    assert marks(first) != marks(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Good, film!", "good film"),
        ("café", "cafe\u0301"),
        ("I ❤️ it", "I ❤ it"),
        ("note: (see p)", "Note see p."),
        ("a - b; c", "a b c"),
        ("ratio 3:0", "ratio 3 0"),
        ("(item 8)", "item 8"),
        ("... ", "..."),
    ],
)
def test_case_punctuation_and_composition_do_not_tell_texts_apart(first, second):
    assert marks(first) == marks(second)


@given(st.text())
def test_marks_do_not_depend_on_how_a_text_is_composed(text):
    assert marks(text) == marks(unicodedata.normalize("NFD", unicodedata.normalize("NFC", text)))
    assert marks(text)
