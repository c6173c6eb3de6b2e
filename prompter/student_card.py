"""The model card of a distilled student, written from the run that made it."""

from pathlib import Path
from typing import Any

import jinja2
import yaml

from distill.files import write_text

CARD = """\
---
{{ header }}
---

# {{ title }}

A small text classifier, distilled without the training data of its teacher{% if teacher %}, `{{ teacher }}`{% endif %}.

| | |
|---|---|
| classes | {{ labels | join(", ") }} |
| student | `{{ figures.spec }}`, {{ "{:,}".format(figures.parameters) }} parameters, \
{{ "%.1f" | format(figures.bytes / 1e6) }} MB |
| learnt from | `{{ sources | join("`, `") }}`: {{ "{:,}".format(texts) }} texts |
| teacher queries | {{ "{:,}".format(teacher_queries) }} |
| updates | {{ "{:,}".format(figures.updates) }} of {{ batch_size }} texts; kept is the state after \
{{ "{:,}".format(figures.selected_update) }} |
{% if figures.held_out_agreement is not none -%}
| agrees with the teacher | on {{ "%.1f" | format(100 * figures.held_out_agreement) }} % of {{ "{:,}".format(held_out) }} \
synthetic texts it was not trained on |
{% endif -%}
{% if figures.accuracy is defined -%}
| accuracy | {{ "%.1f" | format(100 * figures.accuracy) }} % on `{{ eval_data }}` ({{ "{:,}".format(figures.n) }} rows), by \
which nothing was selected |
{% endif %}
```python
from transformers import pipeline

classify = pipeline("text-classification", "{{ path }}")
classify("A text.")
```

## Limits

It imitates its teacher, mistakes included. The texts it was fitted on are not those the teacher was made for: on real text
it may agree less than the figure above says. Text of a kind that the teacher was not made for gets an answer too, which
means nothing.
The terms of the teacher, and of the language model that wrote the texts, may bind this model as well.
"""


def write_student_card(folder: Path, name: str, summary: dict[str, Any]) -> None:
    """Write `README.md` into a student's folder.

    Args:
        folder: The student's folder.
        name: The student's name in the summary.
        summary: As `prompter distill` writes it.

    Raises:
        InputError: The folder cannot be written.
    """
    header = {
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["knowledge-distillation", "data-free", "synthetic"],
    }
    config = summary["config"]
    title = Path(config["to"]).name if len(summary["students"]) == 1 else name
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True).from_string(CARD)
    text = template.render(
        header=yaml.safe_dump(header, sort_keys=False).strip(),
        title=title,
        path=config["to"] if len(summary["students"]) == 1 else f"{config['to']}/{name}",
        teacher=summary["teacher"],
        labels=summary["labels"],
        figures=summary["students"][name],
        sources=summary["sources"],
        texts=summary["texts"],
        teacher_queries=summary["teacher_queries"],
        batch_size=config["student_batch_size"],
        held_out=summary["held_out_texts"],
        eval_data=config["eval_data"],
    )
    write_text(folder / "README.md", text)
