"""Settings of `prompter bench`."""

from dataclasses import dataclass

from distill.common.settings import check, setting


@dataclass
class BenchConfig:
    """Which suite, and where.

    Raises:
        InputError: The suite is missing, or a value is out of its range.
    """

    suite: str = setting(
        "",
        "YAML file of the suite, for example configs/bench/toy.yaml.",
        "Texts",
        required="give --suite configs/bench/toy.yaml, or a file of your own",
        path=True,
    )
    set: list[str] = setting([], "Settings of tasks to replace: ag_news.teacher=path/to/teacher.", "Texts")
    only: str = setting("", "Run the cells whose name contains this; the tables hold them alone.", "Texts")
    to: str = setting(
        "", "Folder of results and cells; default: runs/bench-NAME.", "Output", aliases=("output_dir", "to"), path=True
    )
    finished_only: bool = setting(False, "Write the tables of the cells that are finished so far, and run nothing.", "Output")
    jobs: int = setting(0, "Cells at a time; 0: one per processor, at most 4, and a single one with a GPU.", "Run", low=0)
    dry_run: bool = setting(False, "Print the cells and whether they are done, and run nothing.", "Run")
    quiet: bool = setting(False, "Show no bars, only errors and the table.", "Run")

    def __post_init__(self) -> None:
        """Check what can be checked without reading the suite."""
        check(self)
