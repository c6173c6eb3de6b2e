"""Settings that name labelled data, shared by every command that reports on it."""

from dataclasses import dataclass

from distill.common.settings import setting


@dataclass
class EvaluationDataSettings:
    """Labelled data that results are reported on. Nothing is ever selected by it."""

    eval_data: str | None = setting(
        None, "Labelled data to report on, never to select by: file, folder, hub id, or toy:TASK.", "Evaluation", path=True
    )
    eval_split: str = setting("test", "Split to read, where eval_data is a folder or hub id.", "Evaluation")
    eval_text_column: str = setting("text", "Column of the texts.", "Evaluation")
    eval_label_column: str = setting("label", "Column of the labels.", "Evaluation")
    eval_limit: int = setting(0, "Rows to use, drawn by seed 0; 0: all.", "Evaluation", low=0)
