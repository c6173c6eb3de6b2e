"""The reviews of the toy world with what they judge: which thing, praise or blame, and how strongly.

The rules are those of `eval.toy.reviews`, so the general corpus holds texts of the same kind and the toy writer can write
them. Here every rule that judges something gets a mark, a character that no text has. The marks are read from a drawn
sentence and then taken out of it.
"""

import random
import re
from dataclasses import dataclass

from eval.toy.grammar import Grammar
from eval.toy.reviews import KEEPERS, RULES, SHARED_RULES, mirrored, review_grammar

PART, PEOPLE, WHOLE = "item", "staff", "kind"
"""What is judged: a part (plot, soup), people (director, waiter), or the whole (film, restaurant)."""

PERSON, PLACE = "person", "place"
"""What is named and not judged."""

FIRST_MARK = 0xE000  # the first character of Unicode's area for private use

# What a rule says of what. These phrases praise; exchanging `_p` and `_n` everywhere gives those that blame.
PHRASES: dict[str, tuple[str, ...]] = {
    "{item_is_p}": (PART,),
    "{staff_is_p}": (PEOPLE,),
    "{kind_is_p}": (WHOLE,),
    "the {item} was {any_item_p}": (PART,),
    "the {staff} was {any_staff_p}": (PEOPLE,),
    "{like_p} the {item}": (PART,),
    "{like_p} the {staff}": (PEOPLE,),
    "{base_n} the {item}": (PART,),  # after "did not" or "nobody could"
    "{base_n} the {staff}": (PEOPLE,),
    "{base_n} a {kind}": (WHOLE,),  # after "it is hard to"
    "{any_item_p} {item}": (PART,),
    "{any_staff_p} {staff}": (PEOPLE,),
    "{adj_p} {kind}": (WHOLE,),
    "promised a {adj_n} {kind}": (WHOLE,),  # "and they were wrong"
    "the {item} {turns_p} the whole {kind}": (PART, WHOLE),
}
TWO_WORDS = re.compile(r"\{(any_item|any_staff|adj)_[pn]\} (?=\{(item|staff|kind)\})|whole (?=\{kind\})")

STRONG_WORDS = {"very", "really", "so", "truly", "utterly", "always", "simply", "not at all", "never", "far from", *KEEPERS}
MILD_WORDS = {"quite", "rather", "not", "hardly"}
PLAIN, STRONG, MILD = 0.65, 1.0, 0.3
"""How strong a judgement is: of itself, after a strong word, and after a mild one."""


@dataclass(frozen=True)
class Judgement:
    """One judgement of a review.

    Attributes:
        what: `PART`, `PEOPLE` or `WHOLE`.
        praise: Whether it praises.
        strength: In (0, 1].
    """

    what: str
    praise: bool
    strength: float


@dataclass(frozen=True)
class Span:
    """One thing that a review names.

    Attributes:
        start, end: Words from `start` up to, not including, `end`; marks such as "," count as words.
        what: `PART`, `PEOPLE`, `WHOLE`, `PERSON` or `PLACE`.
        praise: Whether it is praised; None where it is not judged.
    """

    start: int
    end: int
    what: str
    praise: bool | None


@dataclass(frozen=True)
class Review:
    """A review and what it says.

    Attributes:
        text: The sentence.
        words: Its words, with each of "." and "," as a word.
        judgements: In the order of the text; at least one.
        spans: In the order of the text.
    """

    text: str
    words: list[str]
    judgements: list[Judgement]
    spans: list[Span]


_NAMED = {PART: PART, PEOPLE: PEOPLE, WHOLE: WHOLE, "name": PERSON, "town": PLACE, "venue": PLACE}
_MEANINGS: list[tuple[object, ...]] = [
    *(("judged", what, praise) for what in (PART, PEOPLE, WHOLE) for praise in (True, False)),
    *(("named", what, words) for what in (*_NAMED,) for words in (1, 2)),
    ("strength", STRONG),
    ("strength", MILD),
]
_MARKS = {meaning: chr(FIRST_MARK + number) for number, meaning in enumerate(_MEANINGS)}
_MEANING = {mark: meaning for meaning, mark in _MARKS.items()}
_ANY_MARK = re.compile(f"[{chr(FIRST_MARK)}-{chr(FIRST_MARK + len(_MARKS) - 1)}]")
_WORD = re.compile(r"[^\s.,:;?!]+|[.,:;?!]")


def judged_grammar(domain: str, rng: random.Random) -> Grammar:
    """Build the grammar of `review_grammar` with marks; `read_review` reads its sentences.

    Args:
        domain: "film" or "restaurant".
        rng: Decides which words are frequent; in the state in which the world makes its own grammar, the same are.
    """
    grammar = review_grammar(domain, rng)
    rules = RULES | mirrored(RULES)
    marked = {name: [_with_marks(rule) for rule in fillings] for name, fillings in rules.items()}
    shared = {name: [_with_names(rule) for rule in fillings] for name, fillings in SHARED_RULES.items()}
    for name in ("degree", "negator", "keeper"):
        shared[name] = [word + _strength_mark(word) for word in SHARED_RULES[name]]
    return Grammar(grammar.symbols | shared | marked)


def read_review(sentence: str) -> Review:
    """Take the marks out of a sentence of `judged_grammar` and return what they said."""
    text = _ANY_MARK.sub("", sentence)
    judgements: list[Judgement] = []
    spans: list[Span] = []
    words: list[str] = []
    strength = PLAIN
    for piece in _WORD.findall(sentence):
        words.append(_ANY_MARK.sub("", piece))
        for mark in _ANY_MARK.findall(piece):
            meaning = _MEANING[mark]
            if meaning[0] == "strength":
                strength = float(str(meaning[1]))
            elif meaning[0] == "named":
                what, length = str(meaning[1]), int(str(meaning[2]))
                spans.append(Span(len(words) - length, len(words), _NAMED[what], None))
            else:
                what, praise = str(meaning[1]), bool(meaning[2])
                judgements.append(Judgement(what, praise, strength))
                strength = PLAIN
                nearest = max(number for number, span in enumerate(spans) if span.what == what)
                spans[nearest] = Span(spans[nearest].start, spans[nearest].end, what, praise)
    return Review(text, words, judgements, spans)


def _with_names(rule: str) -> str:
    """Mark the slots of things, people and places; with the word before them where that belongs to the name."""
    two = {match.end() for match in TWO_WORDS.finditer(rule)}

    def marked(match: re.Match[str]) -> str:
        return match.group() + _MARKS["named", match.group(1), 2 if match.start() in two else 1]

    return re.sub(r"\{(item|staff|kind|name|town|venue)\}", marked, rule)


def _with_marks(rule: str) -> str:
    """Mark a rule of a review."""
    marked: dict[str, str] = {}
    for phrase, judged in PHRASES.items():
        (blame,) = mirrored({phrase: []})
        for said, praise in ((phrase, True), (blame, False)):
            marked[said] = _with_names(said) + "".join(_MARKS["judged", what, praise] for what in judged)
    longest = sorted(marked, key=len, reverse=True)  # "promised a {adj_n} {kind}" before "{adj_n} {kind}"
    parts = re.split("(" + "|".join(map(re.escape, longest)) + ")", rule)
    return "".join(marked.get(part) or _with_names(part) for part in parts)


def _strength_mark(word: str) -> str:
    if word in STRONG_WORDS:
        return _MARKS["strength", STRONG]
    return _MARKS["strength", MILD] if word in MILD_WORDS else ""
