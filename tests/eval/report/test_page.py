"""Pages: everything is escaped, missing values are bugs, and every text can be encoded."""

import pytest
from jinja2 import UndefinedError

from eval.report.page import page

CONTENT = {"sections": [], "cells": 3, "failed": [], "unhealthy": []}


def test_content_is_escaped_and_can_be_encoded():
    text = page("bench.html.j2", title="<b>\ud83d", **CONTENT)
    assert "<b>" not in text and "&lt;b&gt;?" in text
    assert text.encode("utf-8")


def test_a_forgotten_value_is_an_error():
    with pytest.raises(UndefinedError):
        page("bench.html.j2", **CONTENT)
