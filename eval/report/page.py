"""Pages as single HTML files, without scripts or anything from the network: to mail, to archive, and to open years later.

Their content may come from a language model or a stranger's dataset. It is treated as hostile: templates escape everything.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"


def page(template: str, **values: Any) -> str:
    """Fill a template of `eval/report/templates` and return the page, as text that can be encoded as UTF-8."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # JSON can hold a lone surrogate, which UTF-8 cannot encode.
    return environment.get_template(template).render(**values).encode("utf-8", "replace").decode("utf-8")
