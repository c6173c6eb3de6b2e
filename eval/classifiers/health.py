"""The health of a run: figures of each round in, findings in words out.

A worthless run can look healthy. If the teacher gives one class to nearly all texts, its confidence is high, and a student
that always answers this class agrees with it almost everywhere. The figures here do not hide that. `look` counts a batch,
`findings` judges all batches of a run. Each finding has a code, words and advice, and docs/how-to/when-a-run-fails.md explains
all codes.

Agreement is measured as Cohen's kappa (Cohen 1960, "A Coefficient of Agreement for Nominal Scales"), on texts that the student
has not learnt from: 0 is what answering by chance with the same class shares would give, whatever the majority is.
"""

import math
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from distill.batch import SyntheticBatch
from distill.held_out import cohen_kappa, decided
from eval.classifiers.agreement import MIN_TEXTS, worthless

PILOT = 256
"""Texts of a pilot, at least: the share of a class is then known to 4 points or better (two standard errors at .9)."""

ONE_CLASS = 0.9
"""In the demo the largest class has .50 to .57 of a round; a teacher of acceptability gave one class to .95."""

LEARNING_KAPPA, GROWTH = 0.4, 0.05
"""Below "moderate" agreement, with a growth over half of the run within one standard error of kappa for 200 texts."""

NEW_TEXTS = 0.5
"""Half of the queries buy nothing new. In the demo all texts are new."""

DISTINCT_TOPICS = 0.1
"""A tenth of a round's topics differ. The demo stays above .69; a collapse ends with a handful of topics."""

UNUSABLE = 0.1
"""A tenth of the queries is paid for nothing. A sound teacher has none, a service in trouble a few in a thousand."""

SPREAD = 0.05
"""The demo's teacher has .24 in its first round and .44 in its last; a head without training has about .03."""

MISSING = 0.05
"""A twentieth of a class's equal share: with four classes, 1.25 % of the texts."""


class Code(NamedTuple):
    """What a code stands for.

    Attributes:
        name: Short name.
        advice: What to do.
    """

    name: str
    advice: str


CODES: dict[str, Code] = {
    "H01": Code(
        "one class",
        "Look at the texts: if they are not of the teacher's kind, use a generator or texts nearer to its task; a teacher of "
        "spam or toxicity needs texts of its rare class, and one of grammar needs bad sentences: give --edit_labels with the "
        "class that stands for them. If the texts are sorted by class, shuffle them.",
    ),
    "H02": Code(
        "no agreement",
        "Do not use this student. See to the other findings first; without any, raise student_updates or budget, or take a "
        "larger student.",
    ),
    "H03": Code(
        "few new texts", "Raise writer_temperature or reward_novelty, or give more texts: a repeated text teaches nothing."
    ),
    "H04": Code(
        "unusable answers", "Ask the teacher for one text by hand: each answer must be finite probabilities that sum to 1."
    ),
    "H05": Code(
        "same answer",
        "Check that this is the fine-tuned classifier (not its base model with a new head), and that it reads this language.",
    ),
    "H06": Code(
        "not learning", "Raise student_learning_rate or student_updates, or take a larger student; look at the texts."
    ),
    "H07": Code(
        "missing class", "Check the labels of the teacher; raise reward_confidence or candidates, or add texts of the class."
    ),
    "H08": Code("few topics", "Raise reward_novelty or beta, or lower learning_rate: the prompter has collapsed."),
}
"""All codes."""

WORTHLESS = "H02"
"""The code of a student that is worth nothing."""

STOPS = "H01"
"""The code that stops a run after its pilot: the teacher knows only one answer."""

Look = Mapping[str, Any]


def look(batch: SyntheticBatch, known: Sequence[Container], student_answers: Tensor | None = None) -> dict[str, Any]:
    """Count what the health of a run is judged by, in one batch.

    Args:
        batch: N texts with the teacher's predictions.
        known: What holds the earlier texts of the run, as (text, second text or None).
        student_answers: (N, C) answers of the student, before it learnt from the batch.

    Returns:
        `texts`, `usable` and `new` (counts; a text is new if the run has not had it before), `classes` (count of each class of
        the teacher, or of the texts that each of several labels is given for, or that hold each type where every word has
        one), `alike` (of several labels the most frequent set, and its count; of types of words the most frequent one of the
        texts whose words all have the same), `mean` and `square` (of the teacher's probabilities: per class, and in all),
        `topics` (share of distinct ones, if there are topics); with a student `student_classes` and `same` (counts of its
        decisions, and of those that are the teacher's), and `decisions` where the teacher's are not its classes.
    """
    usable, kind = batch.usable, batch.kind
    answers = batch.teacher_logits[usable]
    teacher = kind.probabilities(answers.double())
    rows = int(usable.sum())
    given = kind.several_given(answers)
    if given is not None:
        # Labels are a text's answer together. Where each word has a type, most texts hold the same few, and each in its place.
        sets = given if kind.several else given[given.sum(dim=1) == 1]
        classes, alike = given.sum(dim=0).tolist(), {"alike": _most_frequent(sets)}
    else:
        classes, alike = torch.bincount(kind.group(answers), minlength=kind.groups(answers.shape[1])).tolist(), {}
    counted: dict[str, Any] = {
        "texts": len(batch),
        "usable": rows,
        "new": _new(batch, known),
        "classes": classes,
        **alike,
        "mean": [round(value, 5) for value in (teacher.sum(dim=0) / max(1, rows)).tolist()],
        "square": round(float(teacher.square().sum()) / max(1, rows), 5),
    }
    if any(batch.topics):
        counted["topics"] = round(len(set(batch.topics)) / len(batch), 4)
    if student_answers is not None:
        same, decisions, chosen_by_student = decided(kind, answers, student_answers[usable])
        counted |= {"student_classes": chosen_by_student, "same": same}
        if decisions != counted["classes"]:  # a text takes several decisions
            counted["decisions"] = decisions
    return counted


def _most_frequent(given: Tensor) -> dict[str, Any]:
    """Return the most frequent row of (N, K) zeros and ones: `labels`, where it has ones, and `texts`, its count."""
    if not len(given):
        return {"labels": [], "texts": 0}
    sets, counts = given.unique(dim=0, return_counts=True)
    most = int(counts.argmax())
    return {"labels": sets[most].nonzero().flatten().tolist(), "texts": int(counts[most])}


def _new(batch: SyntheticBatch, known: Sequence[Container]) -> int:
    if batch.embeddings is not None:
        return len(batch)  # embeddings with the same nearest words are still different samples
    pairs: Sequence[str | None] = batch.text_pairs or [None] * len(batch)
    keys = set(zip(batch.texts, pairs, strict=True))
    return sum(not any(key in held for held in known) for key in keys)


def pooled(looks: Sequence[Look]) -> dict[str, Any]:
    """Return the figures of several batches together.

    Returns:
        Numbers of texts: `texts` and `usable`. Shares: `classes`, `new`, `unusable`, and `majority`, the largest of
        `classes`; of several labels it is the least share of the most frequent set, which is `alike`, and where each word has
        a type that of the texts whose words all have one. `spread` of the teacher's probabilities over the texts, in [0, 0.5]
        for two classes. Where known, `topics`. Where a student was compared, `agreement`, `kappa`, `compared`, the number of
        decisions, and `decided`, the share of the teacher's most frequent one.
    """
    texts, usable = (sum(row[key] for row in looks) for key in ("texts", "usable"))
    found: dict[str, Any] = {"texts": texts, "usable": usable}
    if not texts:
        return found
    found |= {"new": sum(row["new"] for row in looks) / texts, "unusable": 1 - usable / texts}
    if known := [row for row in looks if "topics" in row]:
        found["topics"] = sum(row["topics"] * row["texts"] for row in known) / sum(row["texts"] for row in known)
    if not usable:
        return found
    counts = _summed(looks, "classes")
    numbers = len(looks[0]["mean"])
    mean = [sum(row["mean"][k] * row["usable"] for row in looks) / usable for k in range(numbers)]
    variance = sum(row["square"] * row["usable"] for row in looks) / usable - sum(value * value for value in mean)
    found |= {"classes": [count / usable for count in counts], "majority": max(counts) / usable}
    if all("alike" in row for row in looks):
        sets: Counter[tuple[int, ...]] = Counter()
        for row in looks:
            sets[tuple(row["alike"]["labels"])] += row["alike"]["texts"]
        found["alike"], most = sets.most_common(1)[0]
        found["majority"] = most / usable
    found["spread"] = math.sqrt(max(0.0, variance) / 2)
    compared = [row for row in looks if "same" in row and row["usable"]]
    if compared and any(_summed(compared, "decisions", "classes")):  # no word of a tagger's texts may have an answer
        same, teacher = sum(row["same"] for row in compared), _summed(compared, "decisions", "classes")
        found["compared"], found["decided"] = sum(teacher), max(teacher) / sum(teacher)
        found["agreement"] = same / found["compared"]
        found["kappa"] = cohen_kappa(same, teacher, _summed(compared, "student_classes"))
    return found


def _summed(looks: Sequence[Look], key: str, otherwise: str = "") -> list[int]:
    return [sum(column) for column in zip(*(row.get(key) or row[otherwise] for row in looks), strict=True)]


def pilot(looks: Sequence[Look]) -> list[Look] | None:
    """Return the looks of the pilot: the first ones with `PILOT` texts or more; None while it is not over."""
    texts = 0
    for count, row in enumerate(looks, start=1):
        texts += row["texts"]
        if texts >= PILOT:
            return list(looks[:count])
    return None


def recent(looks: Sequence[Look], least: int = PILOT) -> list[Look]:
    """Return the looks of the last quarter of all texts, and more if they have fewer than `least` texts."""
    wanted = max(least, sum(row["texts"] for row in looks) / 4)
    texts, chosen = 0, []
    for row in reversed(looks):
        if texts >= wanted:
            break
        texts += row["texts"]
        chosen.append(row)
    return chosen[::-1]


def agreement_found(looks: Sequence[Look]) -> dict[str, Any]:
    """Return the agreement on the newest texts, before the student learnt from them; {} if that says nothing yet.

    Returns:
        `kappa`, `agreement`, `majority`, `compared` (number of texts, or of decisions about them) and `on` (what they are).
    """
    quarter = pooled(recent(looks, MIN_TEXTS))
    if sum(row["texts"] for row in looks) < 4 * MIN_TEXTS or quarter.get("compared", 0) < MIN_TEXTS:
        return {}
    figures = {key: quarter[key] for key in ("kappa", "agreement", "compared")}
    of = "decisions about " * any("decisions" in row for row in looks)  # several for each text
    return figures | {"majority": quarter["decided"], "on": f"{of}the newest texts"}


def findings(
    looks: Sequence[Look], labels: Sequence[str], agreements: Mapping[str, Mapping[str, Any]] | None = None
) -> list[dict[str, str]]:
    """Judge a run by its looks.

    Args:
        looks: All looks so far, in order; those of the pilot alone for a verdict on the pilot.
        labels: Names of the classes.
        agreements: Agreement of each student by its name, see `agreement_found`; None while it is too early to judge.

    Returns:
        `code`, `name`, `words` and `advice` of each finding, by code.
    """
    everything, last = pooled(looks), pooled(recent(looks))
    words: dict[str, str] = {}
    if everything["texts"] >= MIN_TEXTS and everything.get("unusable", 0) >= UNUSABLE:
        words["H04"] = f"{everything['unusable']:.0%} of the teacher's answers are unusable."
    if last["usable"] >= MIN_TEXTS:
        words |= _of_teacher(everything, last, labels)
    if last["texts"] >= MIN_TEXTS:
        if last["new"] < NEW_TEXTS:
            words["H03"] = f"Only {last['new']:.0%} of the last {last['texts']:,} texts are new; the others came before."
        if last.get("topics", 1.0) < DISTINCT_TOPICS:
            words["H08"] = f"Only {last['topics']:.0%} of the topics in a round are different."
    if agreements is not None:
        words |= _of_students(looks, agreements)
    return [
        {"code": code, "name": CODES[code].name, "words": words[code], "advice": CODES[code].advice} for code in sorted(words)
    ]


def _of_teacher(everything: Mapping[str, Any], last: Mapping[str, Any], labels: Sequence[str]) -> dict[str, str]:
    """Judge the teacher's answers."""
    words = {}
    largest = max(range(len(labels)), key=lambda k: last["classes"][k])
    if last["majority"] >= ONE_CLASS:
        same = last.get("alike", (largest,))
        said = " and ".join(f"'{_name(labels[k])}'" for k in same[:5]) or "no label"
        words["H01"] = f"The teacher answers {said} for {last['majority']:.1%} of {last['usable']:,} texts."
    if last["spread"] < SPREAD:
        spread = f"(spread {last['spread']:.3f})"
        words["H05"] = f"The teacher gives nearly the same probabilities to all of {last['usable']:,} texts {spread}."
    rare = [k for k, share in enumerate(everything["classes"]) if share < MISSING / len(labels)]
    if rare and "H01" not in words and everything["usable"] >= 2 * PILOT * len(labels):
        named = ", ".join(f"'{_name(labels[k])}'" for k in rare[:5]) + (f" and {len(rare) - 5} more" if len(rare) > 5 else "")
        words["H07"] = f"The teacher hardly ever answers {named}, in {everything['usable']:,} texts."
    return words


def _of_students(looks: Sequence[Look], agreements: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Judge the agreement of the students, and its growth."""
    words = {}
    several = len(agreements) > 1
    bad = {name: found for name, found in agreements.items() if found and worthless(found)}
    lines = [
        f"{_name(name) if several else 'The student'} agrees with its teacher hardly better than chance: kappa "
        f"{found['kappa']:.2f} on {found['on']} ({found['compared']:,}; agreement {found['agreement']:.1%}, and "
        f"{found['majority']:.1%} by always answering the same)."
        for name, found in bad.items()
    ]
    if lines:
        words[WORTHLESS] = " ".join(lines)
    if not lines and (grown := _growth(looks)):
        early, late = grown
        low = early >= GROWTH and late < min(LEARNING_KAPPA, early + GROWTH)
        if low and all(found and found["kappa"] < LEARNING_KAPPA for found in agreements.values()):
            words["H06"] = f"The student's agreement no longer grows: kappa {early:.2f}, then {late:.2f}."
    return words


def _growth(looks: Sequence[Look]) -> tuple[float, float] | None:
    """Return kappa on the texts of the second and of the last quarter; None where they are too few to compare."""
    half, texts, before = sum(row["texts"] for row in looks) / 2, 0, []
    for row in looks:
        texts += row["texts"]
        if texts > half:
            break
        before.append(row)
    early, late = pooled(recent(before)), pooled(recent(looks))
    if min(early.get("compared", 0), late.get("compared", 0)) < PILOT / 2:
        return None
    return early["kappa"], late["kappa"]


def _name(label: str) -> str:
    return label if len(label) <= 40 else label[:40] + " …"


def health(looks: Sequence[Look], labels: Sequence[str], agreements: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the entry `health` of a summary.

    Args:
        looks: All looks of the run.
        labels: Names of the classes.
        agreements: Agreement of each student by its name, see `agreement_found`.

    Returns:
        `codes`, the codes found; `findings`, see there; `agreement` by student; `class_shares`, and `majority`, `spread`,
        `new`, `topics` and `unusable` of the last quarter of the texts.
    """
    found = findings(looks, labels, agreements)
    last = pooled(recent(looks))
    figures: dict[str, Any] = {
        key: round(last[key], 4) for key in ("majority", "spread", "new", "topics", "unusable") if key in last
    }
    rounded = {
        name: {k: round(v, 4) if isinstance(v, float) else v for k, v in one.items()} for name, one in agreements.items()
    }
    return {
        "codes": [finding["code"] for finding in found],
        "findings": found,
        "agreement": rounded,
        "class_shares": {label: round(share, 4) for label, share in zip(labels, last.get("classes", []), strict=False)},
        **figures,
    }


def line(finding: Mapping[str, str]) -> str:
    """Return a finding as one line.

    Examples:
        >>> line({"code": "H08", "name": "few topics", "words": "Few.", "advice": "Raise beta."})
        'H08, few topics: Few. Raise beta.'
    """
    return f"{finding['code']}, {finding['name']}: {finding['words']} {finding['advice']}"


def stops(pilot_looks: Sequence[Look] | None, labels: Sequence[str]) -> list[dict[str, str]]:
    """Return the findings of a pilot if they stop the run; none if it is not over (None), or finds nothing that stops."""
    found = findings(pilot_looks, labels) if pilot_looks else []
    return found if any(finding["code"] == STOPS for finding in found) else []


def pilot_passed(looks: Sequence[Look], labels: Sequence[str]) -> str:
    """Return a line about a pilot that the last look has ended and that stops nothing, or ""."""
    asked = [row for row in looks if row.get("asked", True)]  # answers of a dataset were paid for before
    seen = pilot(asked)
    if seen is None or len(seen) < len(asked) or asked[-1] is not looks[-1] or stops(seen, labels):
        return ""
    figures = pooled(seen)
    shares = sorted(zip(figures.get("classes", []), labels, strict=False), reverse=True)
    none = [f"no label (at least {figures['majority']:.0%})"] if figures.get("alike", shares) == () else []
    named = ", ".join(none + [f"{_name(label)} {share:.0%}" for share, label in shares[:6]]) + ", ..." * (len(shares) > 6)
    return f"Pilot of {figures['texts']:,} queries: the teacher answers {named or 'nothing usable'}. The run goes on."


def pilot_line(found: Sequence[Mapping[str, str]], queries: int) -> str:
    """Return why a run stops after its pilot, in one line."""
    return (
        f"stopped after a pilot of {queries:,} queries, because the result would be worthless. {' '.join(map(line, found))} "
        "All is saved: --resume --no_pilot goes on (docs/how-to/when-a-run-fails.md)"
    )
