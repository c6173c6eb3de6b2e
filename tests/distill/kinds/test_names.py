"""Formats of tags: BIOES and BILOU say the same as IOB, and types alone are entities or, without an `O`, one for each word."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from distill.kinds.names import NO_ENTITY, OUTSIDE, begins, fault_of_tags, placed_tags
from distill.kinds.tokens import Tokens
from distill.teachers.functions.words import read_words
from distill.teachers.loading import load_teacher
from tests.distill.kinds.test_tokens import save_tagger

FORMATS = {"IOB": "BIIB", "BIOES": "BIES", "BILOU": "BILU"}
"""The letters of a first, an inner, a last and a single word of an entity."""

SPEECH = ("NOUN", "VERB", "DET")


def names(letters: str) -> list[str]:
    return [OUTSIDE, *(f"{letter}-{kind}" for kind in ("sea", "farm") for letter in dict.fromkeys(letters))]


def written(entities: list[tuple[str, int]], letters: str) -> list[str]:
    """Write a text as entities of some words each."""
    first, inner, last, single = letters
    tags: list[str] = []
    for kind, words in entities:
        if not kind:
            tags += [OUTSIDE] * words
        else:
            places = single if words == 1 else first + inner * (words - 2) + last
            tags += [f"{place}-{kind}" for place in places]
    return tags


ENTITIES = st.lists(st.tuples(st.sampled_from(["", "sea", "farm"]), st.integers(1, 4)), min_size=1, max_size=6)


@pytest.mark.parametrize("letters", FORMATS.values(), ids=FORMATS)
@given(entities=ENTITIES)
def test_every_format_says_the_same(letters: str, entities: list[tuple[str, int]]) -> None:
    labels = names(letters)
    assert not fault_of_tags(labels)
    place = dict(zip(labels, placed_tags(labels), strict=True))
    tags = [place[tag] for tag in written(entities, letters)]
    assert get_entities(tags) == get_entities(written(entities, FORMATS["IOB"]))
    before = [OUTSIDE, *tags]
    starts = [number for number, tag in enumerate(tags) if tag != OUTSIDE and begins(before[number], tag)]
    assert starts == [start for _, start, _ in get_entities(tags)]

    kind, text = Tokens(tuple(labels)), " ".join(f"w{number}" for number in range(len(tags)))
    cells = kind.cells(np.eye(len(labels))[[labels.index(tag) for tag in written(entities, letters)]].tolist(), text)
    same = Tokens(tuple(names("BIIB")))
    plain = same.cells(np.eye(5)[[same.tags.index(tag) for tag in written(entities, "BIIB")]].tolist(), text)
    assert kind.types == same.types == ["sea", "farm"]
    assert kind.said(cells, []) == same.said(plain, []) and kind.given(cells) == same.given(plain)


@given(entities=ENTITIES)
def test_a_function_may_name_entities_for_every_format(entities: list[tuple[str, int]]) -> None:
    text = " ".join("word" for _, words in entities for _ in range(words))
    found, number = [], 0
    for kind, words in entities:
        if kind:
            found.append({"entity_group": kind, "start": 5 * number, "end": 5 * (number + words) - 1, "score": 0.9})
        number += words
    for letters in FORMATS.values():
        values, problem, _ = read_words([found], [text], names(letters))
        assert values is not None and not problem
        assert [names(letters)[tag] for tag in values[0].argmax(axis=1)] == written(entities, letters)


def test_neighbours_of_one_type_are_one_entity_where_tags_are_types_alone() -> None:
    kind = Tokens((OUTSIDE, "sea", "farm"))
    cells = kind.cells(np.eye(3)[[1, 1, 0, 2, 1]].tolist(), "red coral by cow boat")
    assert kind.said(cells, []) == "red coral: sea, cow: farm, boat: sea" and kind.given(cells) == [0, 1]
    assert kind.targets(kind.tags) == ["sea", "farm", NO_ENTITY]


def test_without_an_outside_every_word_has_a_type() -> None:
    kind = Tokens(SPEECH)
    assert kind.targets(SPEECH) == list(SPEECH) and kind.groups(3) == 3
    answers = torch.tensor([[[0.1, 0.8, 0.1], [0.7, 0.2, 0.1]], [[0.2, 0.2, 0.6], [1 / 3] * 3]]).log()
    assert kind.probabilities(answers).shape == (2, 3)
    torch.testing.assert_close(kind.probabilities(answers)[0], torch.tensor([0.7, 0.8, 0.1]))
    assert kind.group(answers).tolist() == [1, 2]  # of the word nearest to the middle
    assert kind.group(answers.flip(1)).tolist() == [0, 0]
    longer = [torch.zeros(2, 1, 3), answers.flip(1), answers, torch.zeros(2, 2, 3)]
    assert kind.group(torch.cat(longer, dim=1)).tolist() == [1, 2]
    assert 0 <= int(kind.group(torch.zeros(1, 2, 3))) < 3  # no word at all
    terms = (
        kind.confidence(answers, torch.tensor([1, -1])),
        kind.certainty(answers),
        kind.disagreement(answers, answers.flip(1)),
    )
    assert all(((term >= 0) & (term <= 1)).all() for term in terms)
    assert kind.outcomes(answers).shape == (2, 3, 2) and kind.target_loss(answers, torch.tensor([1, 2])).isfinite().all()
    cells = kind.cells(kind.shown(answers)[0].tolist(), "swim cows")
    assert kind.said(cells, []) == "swim: VERB, cows: NOUN" and kind.given(cells) == [0, 1]
    assert kind.given(kind.cells([[0.0, 0.0, 0.0]], "swim")) == []


def test_a_text_belongs_to_the_type_that_the_fewest_of_its_words_have() -> None:
    kind = Tokens(("0", ".", "?"))
    told = torch.eye(3)[torch.tensor([[0, 0, 0, 0, 1], [0, 1, 0, 0, 2], [0, 0, 0, 0, 0]])] * 0.94 + 0.02
    assert kind.group(told.log()).tolist() == [1, 1, 0]  # a mark that only ends a text is nobody's middle
    given = kind.several_given(told.log())
    assert given is not None and given.tolist() == [[1, 1, 0], [1, 1, 1], [1, 0, 0]]
    assert Tokens(("O", "dot")).several_given(told[:, :, :2].log()) is None


@pytest.mark.parametrize(
    "labels",
    [["O", "B_sea", "I_sea"], ["O", "sea-I", "farm-B", "sea-B"], ["o", "b-sea", "i-sea", "b-farm"], ["O", "B.sea", "I.sea"]],
)
def test_places_that_are_written_otherwise_are_no_types_of_their_own(labels: list[str]) -> None:
    fault = fault_of_tags(labels)
    assert "sea" in fault and "say otherwise than B-TYPE and I-TYPE" in fault


def test_types_that_only_look_like_places_stay_types() -> None:
    for labels in (
        ["O", "B_12", "GROUP-B"],
        ["ADJ-B", "NOUN", "VERB-I"],
        [".", ",", "0", "i", "b"],
        ["O", "Plan:B", "I:Plan"],
    ):
        assert fault_of_tags(labels) == ""


@pytest.mark.parametrize("end", ["E", "L"])
def test_an_end_that_a_pipeline_left_apart_belongs_to_the_entity_before(end: str) -> None:
    """`aggregation_strategy` joins B- and I- alone: the last word of an entity comes as one of its own."""
    labels = ["O", "B-sea", "I-sea", f"{end}-sea"]

    def entity(name: str, first: int, last: int) -> dict:
        return {"entity_group": name, "start": 5 * first, "end": 5 * last + 4, "score": 0.85}

    found = [entity("sea", 0, 1), entity(labels[3], 2, 2), entity("sea", 4, 4), entity(labels[3], 5, 5), entity("sea", 6, 7)]
    values, problem, _ = read_words([found], [" ".join(["word"] * 8)], labels)
    assert values is not None and not problem
    assert values[0].argmax(axis=1).tolist() == [1, 2, 3, 0, 1, 3, 1, 3] and np.isclose(values[0, 1, 2], 0.85)


def test_a_note_about_entities_names_an_outside_only_where_there_is_one() -> None:
    word = {"entity": "VERB", "start": 0, "end": 4}
    assert "all other words get O" in read_words([[word]], ["swim"], ["O", "VERB"])[2]
    assert read_words([[word]], ["swim"], ["NOUN", "VERB"])[2].endswith("the other tags share what their scores leave.")


def test_a_function_without_an_outside_has_to_name_every_word() -> None:
    words = [
        {"entity_group": kind, "start": start, "end": start + 4, "score": 0.8} for kind, start in (("VERB", 0), ("NOUN", 5))
    ]
    values, problem, _ = read_words([words, words[:1]], ["swim cows", "swim cows"], list(SPEECH))
    assert values is not None and np.allclose(values[0], [[0.1, 0.8, 0.1], [0.8, 0.1, 0.1]]) and np.isnan(values[1]).all()
    assert problem == "no tag for the word 'cows', and no O among the tags"


def test_a_model_of_parts_of_speech_is_a_teacher(tmp_path: Path) -> None:
    teacher = load_teacher(str(save_tagger(tmp_path / "speech", list(SPEECH))), "cpu")
    assert teacher.kind == Tokens(SPEECH) and teacher.kind.groups(3) == 3
    answers = teacher(["the red boat"])
    torch.testing.assert_close(answers.exp().sum(-1), torch.ones(1, 3))
