"""Pages as one HTML file each, without scripts or anything from the network: to be mailed, archived, and opened years later.

What stands on them may come from a language model or from anybody's dataset and is treated as hostile: templates escape
everything.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"


def page(template: str, **values: Any) -> str:
    """Fill a template of `eval/templates` and return the page as text that has a UTF-8 form."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # A lone surrogate in a text (JSON can carry one) has no UTF-8 form.
    return environment.get_template(template).render(**values).encode("utf-8", "replace").decode("utf-8")
