"""The model card of a distilled student, written from the run that made it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from distill.common.files import write_text
from prompter.runtime.markdown import render


def write_student_card(folder: Path, name: str, summary: dict[str, Any], samples: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write `README.md` into a student's folder.

    Args:
        folder: The student's folder.
        name: The student's name in the summary.
        summary: As `prompter distill` writes it.
        samples: Rows of `samples.jsonl` that the card shows.

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
    text = render(
        "student_card.md.j2",
        header=yaml.safe_dump(header, sort_keys=False),
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
        samples=samples,
    )
    write_text(folder / "README.md", text)
