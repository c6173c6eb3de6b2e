"""Which texts are marked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.corpora.words import words
from prompter.exporting.filters import fault


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The room was clean and the staff were kind.", None),
        ("Das Zimmer war sauber, und die Leute waren freundlich!", None),
        ("房间很干净，工作人员也很友好。", None),
        ("कमरा साफ था और लोग अच्छे थे", None),
        ("दिल्ली में हिन्दी की मीठी बोली", None),  # more marks than letters
        ("", "too short"),
        ("Good room", "too short"),
        ("!!! ??? ... ---", "not text"),
        ("12 34 56 78 90 a b", "not text"),
        ("abc def ghi 123 456 789", None),  # half of it are letters
        ("no no no no no", "repetitive"),
        ("the same thing the same thing the same thing and more", "repetitive"),
        ("it was good and it was cheap and all of the staff were kind", None),
        ("a" * 40 + " and that was all there was", "repetitive"),
        ("one two three four five six seven eight nine ten eleven", "too long"),
        ("a b a b c a b a c b a c b a b c a c b c", "repetitive"),
    ],
)
def test_faults(text: str, expected: str | None) -> None:
    assert fault(text, min_words=3, max_words=30 if expected != "too long" else 10) == expected


@given(st.text(max_size=80), st.integers(0, 5), st.integers(0, 20))
def test_any_text_gets_one_mark_or_none(text: str, fewest: int, most: int) -> None:
    found = fault(text, fewest, most)
    assert found in (None, "not text", "too short", "too long", "repetitive")
    if found is None:
        assert len(words(text)) >= max(1, fewest) and (not most or len(words(text)) <= most)
    assert fault(text, fewest, most) == found


@given(st.text(alphabet="abcde ", min_size=1, max_size=60))
def test_a_text_said_four_times_is_repetitive(text: str) -> None:
    if 0 < len(words(text)) <= 3:
        assert fault(" ".join([text] * 4), 1) == "repetitive"
