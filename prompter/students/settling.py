"""What all sources of a call and the teacher share: the class names, and the kind of the answers."""

from collections.abc import Sequence

from distill.common.errors import InputError
from distill.kinds.found import kind_of, shown_kind
from distill.kinds.kind import Kind
from distill.kinds.names import AUTO, GivenKind
from prompter.students.sources import DatasetSource, Source


def labels_of(sources: Sequence[Source], teacher_labels: list[str] | None) -> list[str]:
    """Return the class names that all sources and the teacher share.

    Args:
        sources: The sources, possibly none.
        teacher_labels: Class names of the teacher, or those that the user gave. None if no teacher is asked.

    Raises:
        InputError: The names differ or are unknown.
    """
    named = {} if teacher_labels is None else {"the teacher": teacher_labels}
    named |= {source.name: source.labels for source in sources if source.labels is not None}
    if not named:
        raise InputError(
            "from: the class names are unknown: give --teacher_labels with the names in the order of the answers, or --teacher"
        )
    (first, labels), *others = named.items()
    for source in sources:
        if isinstance(source, DatasetSource) and source.classes not in (None, len(labels)):
            raise InputError(f"from: {source.name} has answers for {source.classes} classes, {first} names {len(labels)}")
    for other, names in others:
        if names != labels and not len(names) == len(labels) == 1:  # the name of a single number means nothing
            raise InputError(f"labels differ: {first} has {labels}, {other} has {names}: give sources of one teacher only")
    return labels


def settled_kind(sources: Sequence[Source], teacher: Kind | None, given: GivenKind, labels: Sequence[str]) -> Kind:
    """Return the kind of all answers.

    Args:
        sources: The sources.
        teacher: Kind of the teacher, None if no teacher is asked.
        given: What the user says.
        labels: Class names.

    Raises:
        InputError: The answers of a source are of another kind than the others.
    """
    said = {source.name: source.kind for source in sources if source.kind is not None}
    forms = {source.name: source.form for source in sources if isinstance(source, DatasetSource) and source.answered}
    if teacher is not None:
        said = {"the teacher": teacher} | said
    elif given.name != AUTO and kind_of(given, labels) not in said.values():  # else it may be that of a source
        said = {"--kind": kind_of(given, labels)} | said
    first, kind = next(iter((said | forms).items()), ("", kind_of(given, labels)))
    if first not in said and kind.problem_type is None:
        kind = kind_of(given, labels)  # the names of the classes may be those of pairs
    for other, found in (forms | said).items():
        # Files of one class per text need not say how many texts that is, nor other files the range of a score.
        if found.problem_type != kind.problem_type or (other in said and found.problem_type and found != kind):
            raise InputError(
                f"from: {first} is of the kind {shown_kind(kind)}, {other} of the kind {shown_kind(found)}: give sources of "
                "one teacher only"
            )
    return kind
