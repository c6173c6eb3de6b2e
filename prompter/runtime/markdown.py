"""Markdown pages from templates, with text of models and users made harmless."""

import html
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"


MAX_TEXT = 300


def render(template: str, **values: Any) -> str:
    """Fill one of the templates; `cell` is the filter for text that is not ours."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # Markdown; what comes from a model or a user goes through `cell`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = cell
    page = environment.get_template(template).render(**values)
    # A lone surrogate in a text (JSON can carry one) has no UTF-8 form.
    return page.encode("utf-8", "replace").decode("utf-8")


def cell(text: Any, limit: int = MAX_TEXT) -> str:
    r"""Foreign text for a cell of a Markdown table: one line, at most `limit` characters, no markup.

    Examples:
        >>> cell("a | *b* <i>\nc")
        'a \\| \\*b\\* &lt;i&gt; c'
    """
    line = " ".join(str(text).split())
    line = line if len(line) <= limit else line[: limit - 1] + "…"
    return re.sub(r"([\\`*_\[\]|#~$!])", r"\\\1", html.escape(line, quote=False))
