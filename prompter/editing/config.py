"""Settings of the edits. They belong to the writer's: a saved prompter, an export and a baseline have both."""

from dataclasses import dataclass

from distill.common.errors import InputError
from distill.common.settings import setting

EDITS = ("swap", "move", "delete", "repeat", "insert", "replace", "form")
"""Names of all edits; `prompter.editing.edits` says what each does."""


@dataclass
class EditSettings:
    """Which texts are edited after they are written, and how."""

    edit_labels: list[str] = setting(
        [],
        "Classes whose texts are edited after they are written: for a teacher of grammar, the class of bad sentences.",
        "Writer",
        commas="alone",
    )
    edits: list[str] = setting(
        [*EDITS],
        f"Edits to draw from: {', '.join(EDITS)}.",
        "Writer",
        commas="always",
        choices=EDITS,
    )
    edits_min: int = setting(1, "Fewest edits of such a text.", "Writer", low=1)
    edits_max: int = setting(2, "Most edits of such a text.", "Writer", low=1)

    def check_edits(self) -> None:
        """Check that the settings fit each other.

        Raises:
            InputError: The range is empty, or no edit is named.
        """
        if self.edits_max < self.edits_min:
            raise InputError(f"edits_max is {self.edits_max}, expected at least edits_min = {self.edits_min}")
        if self.edit_labels and not self.edits:
            raise InputError(f"edits is empty, but edit_labels names classes: give some of {', '.join(EDITS)}")
