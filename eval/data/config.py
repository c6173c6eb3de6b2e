"""Settings of labelled data, shared by every command that reports on it, of datasets to write, and the names of metrics.

Settings and task files name metrics. They are read before anything heavy is loaded, so that `--help` answers at once. The
metrics themselves are in `eval.classifiers.metrics`; a test checks that both agree.
"""

from dataclasses import dataclass

from distill.common.errors import InputError
from distill.common.settings import HubSettings, setting

HUB = "hub:"
"""Prefix of a metric that is fetched from the Hugging Face hub."""

OF_CLASSES = ("accuracy", "macro_f1", "matthews_correlation", "expected_calibration_error")

OF_ONE_CLASS = ("single", "pair")
"""The kinds whose answer is one class, so that it has a confidence."""

METRICS_OF_KIND = {
    "single": OF_CLASSES,
    "pair": OF_CLASSES,
    "multi_label": ("micro_f1", "macro_f1", "subset_accuracy"),
    "score": ("pearson", "spearman", "mse"),
    "tokens": ("entity_f1", "token_accuracy"),
}
"""Metrics that compare a classifier of each kind with labels, and so can be named in a task."""

METRIC_NAMES = tuple(dict.fromkeys(name for names in METRICS_OF_KIND.values() for name in names))

PAIR_COLUMN = "text_pair"
"""Column of second texts, in what this package writes and where the user names no other."""

COLUMNS = ("text", "label")
"""Columns of texts and labels where the user names no others."""

OWN_COLUMNS = {"multi_label": ("text", "labels"), "tokens": ("tokens", "tags")}
"""The same of kinds whose data is rarely there."""

LOWER_IS_BETTER = ("expected_calibration_error", "mse")

PAIR_COLUMN_HELP = "Column of the second texts; default: text_pair, if the teacher classifies pairs."


AUTO = "auto"


def check_columns(first: str, second: str, before: str = "") -> None:
    """Check that first and second texts are not read from one column; "" names none.

    Args:
        first: The column of the texts.
        second: The column of the second texts.
        before: How the names of the two settings begin.

    Raises:
        InputError: They are.
    """
    if second and first == second:
        raise InputError(
            f"{before}text_column and {before}text_pair_column are both '{first}', which would pair each text with itself: "
            "name the column of the first texts and that of the second ones"
        )


@dataclass
class EvaluationDataSettings:
    """Labelled data that results are reported on. Nothing is ever selected by it."""

    eval_data: str | None = setting(
        None, "Labelled data to report on, never to select by: file, folder, hub id, or toy:TASK.", "Evaluation", path=True
    )
    eval_split: str = setting("test", "Split to read, where eval_data is a folder, hub id or toy:TASK.", "Evaluation")
    eval_text_column: str = setting(
        "", "Column of the texts (default: text); for a teacher of tokens, of their words (default: tokens).", "Evaluation"
    )
    eval_text_pair_column: str = setting(
        "", "Column of the second texts; default: text_pair, if the teacher classifies pairs.", "Evaluation"
    )
    eval_label_column: str = setting(
        "",
        "Column of the labels (default: label; for a multi_label teacher: labels; for one of tokens: tags); of a multi_label "
        "teacher also one column a label: toxic,insult.",
        "Evaluation",
    )
    eval_limit: int = setting(0, "Rows to use, drawn by seed 0; 0: all.", "Evaluation", low=0)
    eval_metric: str = setting(
        AUTO,
        "Metric that results are compared by: matthews_correlation where classes are unequal; auto: the first that "
        "classifiers of this kind have, which is accuracy for classes.",
        "Evaluation",
        choices=(AUTO, *(name for name in METRIC_NAMES if name not in LOWER_IS_BETTER)),
    )

    def columns(self, kind: str) -> tuple[str, str]:
        """Return the columns of the texts and of the labels for a teacher of a kind; its own where none are named.

        Raises:
            InputError: The column of the second texts is that of the texts.
        """
        text, label = OWN_COLUMNS.get(kind, COLUMNS)
        check_columns(self.eval_text_column or text, self.eval_text_pair_column, "eval_")
        return self.eval_text_column or text, self.eval_label_column or label

    def pair_column(self, pairs: bool) -> str | None:
        """Return the column of the second texts for a teacher of pairs; None for one of single texts.

        Raises:
            InputError: A column is named, but the teacher classifies single texts; or it is that of the texts.
        """
        if self.eval_text_pair_column and not pairs:
            raise InputError(
                f"eval_text_pair_column is '{self.eval_text_pair_column}', but the teacher classifies single texts: leave it "
                "out"
            )
        column = (self.eval_text_pair_column or PAIR_COLUMN) if pairs else None
        check_columns(self.eval_text_column or COLUMNS[0], column or "", "eval_")
        return column


@dataclass
class DatasetSettings(HubSettings):
    """Where a dataset is written, and how long its texts may be."""

    min_words: int = setting(1, "Fewest words of a kept row.", "Texts", low=0)
    max_words: int = setting(0, "Most words of a kept row; 0: no limit.", "Texts", low=0)
    to: str = setting(
        "",
        "Folder of the dataset.",
        "Output",
        aliases=("output_dir", "to"),
        required="give --output_dir (or --to) with the folder of the dataset",
        path=True,
    )
    shard_rows: int = setting(10_000, "Rows per Parquet file.", "Output", low=1)
    jsonl: bool = setting(False, "Write data.jsonl as well.", "Output")
    csv: bool = setting(False, "Write data.csv as well.", "Output")

    def check_words(self) -> None:
        """Check that `max_words` is not below `min_words`.

        Raises:
            InputError: It is.
        """
        if self.max_words and self.max_words < self.min_words:
            raise InputError(f"max_words is {self.max_words}, expected at least min_words = {self.min_words}, or 0")
