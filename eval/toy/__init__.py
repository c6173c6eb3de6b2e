"""The embedded toy world: an offline stand-in for a private task, a general corpus, and models trained on them.

`world` holds the data, `models` the teacher and the writer. Nothing here needs a download.
"""


def located(name: str, kind: str, quiet: bool = True) -> str:
    """The name as it is, or the file or folder of the cache that stands for a name of the toy world; see `files.toy_path`.

    Examples:
        >>> located("models/teacher", "teacher")
        'models/teacher'
    """
    if name.partition(":")[0] != "toy":
        return name
    from eval.toy.files import toy_path  # the toy world is of no use to a real run

    return str(toy_path(name, kind, quiet=quiet))
