"""Settings of `prompter bench`."""

from dataclasses import dataclass, field

from distill.common.errors import InputError


@dataclass
class BenchConfig:
    """Which suite, and where.

    Raises:
        InputError: The suite is missing, or `jobs` is negative.
    """

    suite: str = field(default="", metadata={"help": "YAML file of the suite, for example configs/bench/toy.yaml."})
    to: str = field(default="", metadata={"help": "Folder of results and cells; default: runs/bench-NAME."})
    set: list[str] = field(
        default_factory=list, metadata={"help": "Settings of tasks to replace: ag_news.teacher=path/to/teacher."}
    )
    only: str = field(default="", metadata={"help": "Run the cells whose name contains this; the tables hold them alone."})
    jobs: int = field(
        default=0, metadata={"help": "Cells at a time; 0: one per processor, at most 4, and a single one with a GPU."}
    )
    dry_run: bool = field(default=False, metadata={"help": "Print the cells and whether they are done, and run nothing."})
    finished_only: bool = field(
        default=False, metadata={"help": "Tables of the cells that are finished so far, of a suite that is not; runs nothing."}
    )
    quiet: bool = field(default=False, metadata={"help": "No bars; errors and the table only."})

    def __post_init__(self) -> None:
        """Check what can be checked without reading the suite."""
        if not self.suite:
            raise InputError("suite is missing: give --suite configs/bench/toy.yaml, or a file of your own")
        if self.jobs < 0:
            raise InputError(f"jobs is {self.jobs}, expected 0 (chosen for this machine) or more")
