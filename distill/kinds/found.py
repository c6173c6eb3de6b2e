"""Find out which kind a classifier is: what the user says, and else what its files say."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from distill.common.errors import InputError
from distill.kinds.classes import PAIR, SINGLE
from distill.kinds.kind import Kind
from distill.kinds.labels import MULTI_LABEL
from distill.kinds.names import AUTO, IOB, NOT_GIVEN, OF_SCORES, GivenKind, fault_of_tags, given_by, reads_pairs
from distill.kinds.scores import Score
from distill.kinds.tokens import Tokens

KIND_KEY = "prompter_kind"
"""Field of a student's config.json, see `store_kind`."""

LIBRARY_KEY, OLDER_KEY, LENGTH_KEY = "sentence_transformers", "sbert_ce_default_activation_function", "prompter_max_length"
"""Fields of a config.json: what sentence-transformers notes in that of a cross-encoder, today and before its version 4; and
how many tokens a student of ours was trained to read, for which a note of the model that it was made from does not hold."""

ACTIVATION = "activation_fn"
"""Key of `LIBRARY_KEY` that names the class of PyTorch which the outputs go through."""

TAGGER = "ForTokenClassification"
"""How the architecture of a model that tags words ends."""

INTERCHANGEABLE = ({"single", "pair"}, {"score", "score_pair"})
"""Kinds that the files of a model do not tell apart."""


def kind_of(given: GivenKind, labels: Sequence[str]) -> Kind:
    """Return the kind of a black box: the given one, else what the names of its classes say."""
    return _kind(_by_names(labels) if given.name == AUTO else given.name, given, labels)


def kind_of_model(config: Any, given: GivenKind, about: str) -> Kind:
    """Return the kind of a Hugging Face model.

    Args:
        config: Its configuration.
        given: What the user says; its `tags` replace the names of a tagger's outputs where they are as many.
        about: Setting and name of the model, for messages.

    Raises:
        InputError: The user says something else than the configuration.
    """
    said, labels = _by_config(config), _labels(config)
    if said in OF_SCORES and config.num_labels > 1:
        raise InputError(
            f"{about} gives {config.num_labels} numbers for a text (problem_type {config.problem_type}); expected a regressor "
            "of one. For several, give a function that returns one of them."
        )
    if said == Tokens.name:
        labels = list(given.tags) if len(given.tags) == len(labels) else labels
        if fault := fault_of_tags(labels):
            raise InputError(
                f"{about}: its tags are {', '.join(labels[:20])}, but {fault}; expected {IOB}: "
                f"name all {len(labels)} so, in this order, with --teacher_labels, or in id2label of its config.json."
            )
    if given.name == AUTO:
        stored = _stored(config)
        return _kind(said, stored if stored and (given.low, given.high) == (0.0, 1.0) else given, labels)
    if given.name == said:
        return _kind(said, given, labels)
    free = not config.problem_type and config.num_labels > 1 and given.name == MULTI_LABEL.name
    if free or any({said, given.name} <= names for names in INTERCHANGEABLE):
        return _kind(given.name, given, labels)
    why = f"problem_type {config.problem_type}" if config.problem_type else f"outputs: {config.num_labels}"
    raise InputError(
        f"kind is {given.name}, but {about} is of the kind {said} ({why}): leave --kind out, or give another model."
    )


def stored_kind(config: Any) -> Kind:
    """Return the kind that the configuration of a model stands for."""
    return _kind(_by_config(config), _stored(config) or NOT_GIVEN, _labels(config))


def activation_of(config: Any) -> str | None:
    """Return the name of what the outputs of a cross-encoder of sentence-transformers go through, None for other models.

    Where its files name nothing, that is a sigmoid for one output, as there.

    Examples:
        >>> from types import SimpleNamespace
        >>> activation_of(SimpleNamespace(sentence_transformers={"version": "5.0.0"}, num_labels=1))
        'Sigmoid'
        >>> activation_of(SimpleNamespace(sentence_transformers={"activation_fn": "torch.nn.modules.linear.Identity"}))
        'Identity'
        >>> activation_of(SimpleNamespace(num_labels=1)) is None
        True
    """
    noted, older = getattr(config, LIBRARY_KEY, None), getattr(config, OLDER_KEY, None)
    if not isinstance(noted, Mapping):
        noted = {}
    if not (noted or older) or _stored(config) or hasattr(config, LENGTH_KEY):
        return None
    named = noted.get(ACTIVATION) or older
    if isinstance(named, str):
        return named.rpartition(".")[2]
    return "Sigmoid" if config.num_labels == 1 else "Identity"


def store_kind(config: Any, kind: Kind) -> None:
    """Write into a student's configuration what that of a model does not say: how many texts, and the range of a score.

    What the library of its teacher noted there is left out: a student answers with its outputs.
    """
    for key in (LIBRARY_KEY, OLDER_KEY):
        if hasattr(config, key):
            delattr(config, key)
    if told := written(kind):
        setattr(config, KIND_KEY, told)
    elif hasattr(config, KIND_KEY):  # of the model that the student was made of
        delattr(config, KIND_KEY)


def written(kind: Kind) -> dict[str, Any]:
    """Return what files hold of a kind: `kind`, of a score `score_low` and `score_high`, and `tags`; {} for `single`."""
    if kind == SINGLE:
        return {}
    if isinstance(kind, Tokens):
        return {"kind": kind.name, "tags": list(kind.tags)}
    return {"kind": kind.name} | ({"score_low": kind.low, "score_high": kind.high} if isinstance(kind, Score) else {})


def kind_by_columns(columns: Container[str]) -> Kind:
    """Return the kind that the columns of a dataset stand for, but for how many texts an answer is about, and its range."""
    kinds = (MULTI_LABEL, Score(), Tokens())
    return next((kind for kind in kinds if kind.columns[0] in columns), SINGLE)


def shown_kind(kind: Kind) -> str:
    """Return a kind in words.

    Examples:
        >>> shown_kind(Score(1.0, 5.0))
        'score from 1 to 5'
        >>> shown_kind(Tokens(("O", "person")))
        'tokens (O, person)'
    """
    if isinstance(kind, Tokens) and kind.tags:
        return f"{kind.name} ({', '.join(kind.tags[:20])}{', ...' * (len(kind.tags) > 20)})"
    return kind.name + (f" from {kind.low:g} to {kind.high:g}" if isinstance(kind, Score) else "")


def kind_in(values: Any) -> Kind:
    """Return the kind that `written` has put into a file: `single` where it has put nothing."""
    given = given_by(values)
    return _kind(given.name, given) if given else SINGLE


def _stored(config: Any) -> GivenKind | None:
    return given_by(getattr(config, KIND_KEY, None))


def _by_config(config: Any) -> str:
    """Return the name of the kind that a configuration stands for."""
    if any(name.endswith(TAGGER) for name in getattr(config, "architectures", None) or []):
        return Tokens.name
    if stored := _stored(config):
        return stored.name
    if config.problem_type == MULTI_LABEL.problem_type:
        return MULTI_LABEL.name
    reads_two = activation_of(config) is not None
    if config.problem_type == Score.problem_type or config.num_labels == 1:
        return "score_pair" if reads_two else "score"
    return PAIR.name if reads_two else _by_names(_labels(config))


def _labels(config: Any) -> list[str]:
    return [str(config.id2label[i]) for i in range(config.num_labels)]


def _by_names(labels: Sequence[str]) -> str:
    return PAIR.name if reads_pairs(labels) else SINGLE.name


def _kind(name: str, given: GivenKind, labels: Sequence[str] = ()) -> Kind:
    """Return the kind of a name."""
    if name == Tokens.name:
        return Tokens(tuple(labels) or given.tags)
    if name in OF_SCORES:
        return Score(given.low, given.high, texts=1 if name == "score" else 2)
    kinds: dict[str, Kind] = {kind.name: kind for kind in (SINGLE, PAIR, MULTI_LABEL)}
    return kinds[name]
