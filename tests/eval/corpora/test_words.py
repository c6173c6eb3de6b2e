"""Words: the same for every script, without case and punctuation."""

from eval.corpora.words import words


def test_case_and_punctuation_do_not_count():
    assert words("It’s GOOD, isn't it? (Yes!)") == ["it’s", "good", "isn't", "it", "yes"]


def test_scripts_without_spaces_are_split_into_characters():
    assert words("数据 is データ") == ["数", "据", "is", "デ", "ー", "タ"]


def test_a_text_may_have_no_words():
    assert words("") == words("... !") == []
