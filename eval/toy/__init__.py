"""The embedded toy world: an offline stand-in for a private task, a general corpus, and models trained on them.

`world` holds the data, `models` the trained models. Nothing here needs a download. May import the room
`tasks` in this one, and `distill`.
"""


def located(name: str, kind: str, quiet: bool = True) -> str:
    """Return the cached file or folder behind a toy name (see `files.toy_path`); other names are returned unchanged.

    Examples:
        >>> located("models/teacher", "teacher")
        'models/teacher'
    """
    if name.partition(":")[0] != "toy":
        return name
    from eval.toy.files import toy_path  # only runs on the toy world need it

    return str(toy_path(name, kind, quiet=quiet))
