"""What is known as an export, and what is a file of the user's own."""

import pyarrow as pa
import pytest

from eval.corpora.exported import is_exported, is_text_export

TEXT, PROBABILITIES = pa.string(), pa.list_(pa.float32())


@pytest.mark.parametrize(
    ("columns", "known"),
    [
        ({"teacher_probs": PROBABILITIES}, True),
        ({"tag_probs": pa.list_(PROBABILITIES)}, True),
        ({"teacher_probs": pa.large_list(pa.float64()), "keep": pa.int64()}, True),
        ({"keep": pa.bool_(), "drop_reason": TEXT}, True),
        ({"keep": pa.bool_(), "wanted_label": pa.int64()}, True),
        ({"score": pa.float32(), "wanted_label": pa.int64()}, True),
        ({"keep": pa.bool_()}, False),
        ({"keep": TEXT, "drop_reason": TEXT}, False),
        ({"teacher_probs": TEXT}, False),
        ({"score": pa.float32(), "keep": pa.bool_()}, False),
        ({"label": pa.int64(), "labels": pa.int64()}, False),
    ],
)
def test_several_columns_and_their_types_say_it(columns, known):
    assert is_exported(pa.schema({"text": TEXT, **columns})) is known
    assert not is_exported(pa.schema({"body": TEXT, **columns}))


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("text,keep,wanted_label", True),
        ("text;keep;drop_reason", True),
        ("text\tlabel\tteacher_probs\tkeep", True),
        ("text,score,keep", False),
        ("text,teacher_probs", False),
        ("body,keep,wanted_label", False),
    ],
)
def test_text_files_are_known_by_their_columns(header, known, tmp_path):
    separator = next(mark for mark in ",;\t" if mark in header)
    (tmp_path / "a.csv").write_text(f"{header}\n{separator.join('x' for _ in header.split(separator))}\n")
    assert is_text_export(tmp_path / "a.csv") is known
