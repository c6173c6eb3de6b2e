"""Edits that make bad sentences: words swapped, moved, deleted, repeated, inserted, replaced, or in another form.

A language model writes good sentences. A teacher of linguistic acceptability needs bad ones, too, and a class prompt that asks
for them gets good sentences about bad ones. So texts whose wanted class is named by `edit_labels` are edited after the writer
has written them. The teacher answers the edited text, so an opening earns its reward by how sure the teacher is that this one
is bad: an opening that leads to sentences that bear no change is worth more than one that leads to lists of words.

Nothing here knows a language. Inserted and replacing words are words of the texts written together. Another form of a word is
another word of these texts with the same beginning ("walks" and "walked"). A text without spaces between words is edited by
its characters. Punctuation keeps its place, and so does the capital at the beginning of a text, so that neither gives the edit
away. All of this is ours; to drop and move words is common elsewhere (for instance Lample et al., arXiv 1711.00043).
"""

import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from distill.common.errors import InputError, did_you_mean
from distill.common.seeding import derive_seed
from prompter.editing.config import EditSettings

SHARED, ENDING = 3, 3
"""Two words are forms of one if they share at least so many letters at the beginning, at most so many follow in each, and more
than half of the longer word is shared."""

LONG_WORD = 12
"""Mean length of words above which a text is taken to have no spaces between words."""

TRIES = 4
"""How often a text is edited anew if the edits undid each other."""


@dataclass
class Word:
    """A word with the marks around it; the core is empty if there are only marks."""

    before: str
    core: str
    after: str


class Vocabulary:
    """The words of texts that were written together.

    Args:
        texts: N texts.

    Attributes:
        words: All words in their order, as often as they occur. A capital that only the beginning of a text explains is left
            out.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        cores = [[word.core for word in split(text)[0] if word.core] for text in texts]
        self._inner = {core for row in cores for core in row[1:]}
        self.words = [self.plain(core) if place == 0 else core for row in cores for place, core in enumerate(row)]
        self._forms: dict[str, list[str]] = {}
        for word in dict.fromkeys(self.words):
            self._forms.setdefault(word[:SHARED].casefold(), []).append(word)

    def plain(self, core: str) -> str:
        """Return a word that begins a text as it is elsewhere: with a small letter if the texts have it so."""
        small = core[:1].lower() + core[1:]
        return small if small in self._inner else core

    def forms(self, core: str) -> list[str]:
        """Return the other forms of a word."""
        folded = core.casefold()
        return [word for word in self._forms.get(folded[:SHARED], []) if _are_forms(folded, word.casefold())]


def _are_forms(first: str, second: str) -> bool:
    shared = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        shared += 1
    longer = max(len(first), len(second))
    return first != second and shared >= SHARED and longer - shared <= ENDING and 2 * shared > longer


Edit = Callable[[list[Word], Vocabulary, random.Random], bool]
"""Changes words in place; returns whether it could."""


def split(text: str) -> tuple[list[Word], str]:
    """Split a text into words, and return what joins them: a space, or nothing if its words are its characters."""
    words = [_parted(token) for token in text.split()]
    letters = [len(word.core) for word in words if word.core]
    if len(letters) > 1 and sum(letters) <= LONG_WORD * len(letters):
        return words, " "
    characters: list[str] = []
    for mark in text:
        if characters and unicodedata.category(mark).startswith("M"):  # it belongs to the letter before
            characters[-1] += mark
        else:
            characters.append(mark)
    return [_parted(character) for character in characters], ""


def _parted(token: str) -> Word:
    """Part a word from the marks before and after it."""
    inside = [place for place, mark in enumerate(token) if unicodedata.category(mark)[0] not in "PSZ"]
    if not inside:
        return Word(token, "", "")
    return Word(token[: inside[0]], token[inside[0] : inside[-1] + 1], token[inside[-1] + 1 :])


def _places(words: Sequence[Word]) -> list[int]:
    return [place for place, word in enumerate(words) if word.core]


def swap(words: list[Word], _: Vocabulary, draw: random.Random) -> bool:
    """Exchange two neighbouring words."""
    places = _places(words)
    pairs = [(a, b) for a, b in zip(places, places[1:], strict=False) if words[a].core != words[b].core]
    if not pairs:
        return False
    a, b = draw.choice(pairs)
    words[a].core, words[b].core = words[b].core, words[a].core
    return True


def move(words: list[Word], _: Vocabulary, draw: random.Random) -> bool:
    """Move a word by two places or more; the words between give way, and marks stay where they are."""
    places = _places(words)
    if len(places) < 3:
        return False
    start = end = 0
    while abs(start - end) < 2:
        start, end = draw.randrange(len(places)), draw.randrange(len(places))
    cores = [words[place].core for place in places]
    cores.insert(end, cores.pop(start))
    for place, core in zip(places, cores, strict=True):
        words[place].core = core
    return True


def delete(words: list[Word], _: Vocabulary, draw: random.Random) -> bool:
    """Take a word out; marks after it go to the word before, if that has none."""
    places = _places(words)
    if len(places) < 2:
        return False
    place = draw.choice(places)
    gone = words.pop(place)
    if place and not words[place - 1].after:
        words[place - 1].after = gone.after
    return True


def repeat(words: list[Word], _: Vocabulary, draw: random.Random) -> bool:
    """Write a word twice."""
    places = _places(words)
    if not places:
        return False
    place = draw.choice(places)
    words.insert(place + 1, Word("", words[place].core, words[place].after))
    words[place].after = ""
    return True


def insert(words: list[Word], vocabulary: Vocabulary, draw: random.Random) -> bool:
    """Put a word of these texts before another word."""
    places = _places(words)
    if not places or not vocabulary.words:
        return False
    words.insert(draw.choice(places), Word("", draw.choice(vocabulary.words), ""))
    return True


def replace(words: list[Word], vocabulary: Vocabulary, draw: random.Random) -> bool:
    """Put a word of these texts in the place of a word."""
    places = _places(words)
    if not places:
        return False
    place, core = draw.choice(places), draw.choice(vocabulary.words or [""])
    if not core or core == words[place].core:
        return False
    words[place].core = core
    return True


def form(words: list[Word], vocabulary: Vocabulary, draw: random.Random) -> bool:
    """Put another form of a word in its place, if these texts have one."""
    found = [(place, other) for place in _places(words) for other in [vocabulary.forms(words[place].core)] if other]
    if not found:
        return False
    place, others = draw.choice(found)
    words[place].core = draw.choice(others)
    return True


FUNCTIONS: dict[str, Edit] = {
    **{"swap": swap, "move": move, "delete": delete, "repeat": repeat, "insert": insert, "replace": replace},
    "form": form,
}
"""The edits by the names of `prompter.editing.config.EDITS`."""


class Edits:
    """Edits the texts of some classes.

    Args:
        settings: Which classes, which edits, how many.
        labels: Class names of the teacher, in its order.

    Raises:
        InputError: `edit_labels` names a class that the teacher does not have, or all of them.
    """

    def __init__(self, settings: EditSettings, labels: Sequence[str]) -> None:
        self.settings = settings
        for name in settings.edit_labels:
            if name not in labels:
                raise InputError(
                    f"edit_labels: there is no class '{name}', expected some of: {', '.join(labels)}."
                    f"{did_you_mean(name, list(labels))}"
                )
        if settings.edit_labels and len(set(settings.edit_labels)) == len(labels):
            raise InputError(
                f"edit_labels names all classes ({', '.join(labels)}): leave out the class of texts that are as they should be"
            )
        self.classes = {labels.index(name) for name in settings.edit_labels}

    def __call__(self, texts: list[str], targets: Tensor | None, seed: int, counter: int, purpose: str) -> list[str]:
        """Return the texts, those of the named classes edited.

        Args:
            texts: N texts that were written together.
            targets: (N,) class that each was asked for; None for no class.
            seed: Seed of the run.
            counter: Number of the call that wrote them. Seed, counter, purpose, the place of a text and the texts decide the
                edits.
            purpose: Keeps the random numbers of different callers apart.
        """
        if not self.classes or targets is None:
            return texts
        vocabulary = Vocabulary(texts)
        wanted = targets.tolist()
        return [
            self.edited(text, vocabulary, derive_seed(seed, "edits", purpose, counter, row))
            if wanted[row] in self.classes
            else text
            for row, text in enumerate(texts)
        ]

    def edited(self, text: str, vocabulary: Vocabulary, seed: int) -> str:
        """Return an edited text; the same one if it has too few words for any edit."""
        draw = random.Random(seed)
        for _ in range(TRIES):
            words, between = split(text)
            first = next((word.core for word in words if word.core), "")
            for _ in range(draw.randint(self.settings.edits_min, self.settings.edits_max)):
                order = draw.sample(self.settings.edits, len(self.settings.edits))
                any(FUNCTIONS[name](words, vocabulary, draw) for name in order)  # the first one that is possible
            _set_capital(words, first, vocabulary)
            made = between.join(word.before + word.core + word.after for word in words)
            if made != text:
                return made
        return text


UNEDITED = Edits(EditSettings(), [])
"""Leaves all texts as they are."""


def _set_capital(words: Sequence[Word], first: str, vocabulary: Vocabulary) -> None:
    """Let the text begin with a capital if it began with one, and take it from a word that has left the beginning."""
    if not first[:1].isupper():
        return
    cores = [word for word in words if word.core]
    for word in cores[1:]:
        if word.core == first:
            word.core = vocabulary.plain(first)
    for word in cores[:1]:
        word.core = word.core[:1].upper() + word.core[1:]
