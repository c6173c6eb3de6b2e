"""The plan and the result as lines for a person."""

from collections.abc import Mapping, Sequence
from typing import Any

from distill.kinds.classes import PAIR, SINGLE
from distill.kinds.labels import MULTI_LABEL
from eval.classifiers.calibration import Calibration
from prompter.compressing.planning import BOTH, CRAFTED, PROMPTED, TEXTS, Plan
from prompter.compressing.steps import FIRST, RUN, STUDENT, queries_of, updates_of
from prompter.saved.student_card import other_scores


def plan_lines(stored: Mapping[str, Any], explain: bool) -> list[str]:
    """Return the plan, line by line.

    Args:
        stored: Content of `plan.json`.
        explain: Add the commands that do the same.
    """
    teacher, plan, settings = stored["teacher"], stored["plan"], stored["settings"]
    lines = [
        f"Teacher   {teacher['name']}: {teacher_words(teacher)}",
        f"Method    {method_words(plan, settings)}",
        f"Student   {plan['student']}: {stored['student_parameters']:,} parameters, {plan['updates']:,} updates",
        f"Queries   {queries_words(plan, settings)}",
        f"Time      {time_words(stored)}",
        *(f"Step      {words}" for words in step_words(plan, settings)),
    ]
    for reason in plan["reasons"]:
        source = f" [{reason['source']}]" if reason["source"] else ""
        lines.append(f"Why       {reason['words']}{source}")
    lines += [f"Note      {note}" for note in plan["notes"]]
    if explain:
        lines += ["The same by single verbs:", *(f"  {command}" for command in stored["commands"])]
    return lines


NOUNS = {SINGLE.name: "classes", PAIR.name: "classes", MULTI_LABEL.name: "labels", "tokens": "tags"}
"""What the names of a teacher's outputs are; of other kinds there is one, which names a number."""


def teacher_words(teacher: Mapping[str, Any]) -> str:
    """Return what is known of a teacher."""
    parts, answers = [teacher["kind"]], teacher.get("answers", SINGLE.name)
    if answers != SINGLE.name:
        parts.append(f"of the kind {answers}")
    if teacher["labels"]:
        shown = ", ".join(teacher["labels"][:6]) + (", ..." if len(teacher["labels"]) > 6 else "")
        what = NOUNS.get(answers, "value")
        parts.append(f"{len(teacher['labels'])} {what} ({shown})")
    if teacher["layers"]:
        parts.append(f"{teacher['layers']} layers")
    if teacher["parameters"]:
        parts.append(f"{teacher['parameters']:,} parameters")
    if teacher["bytes"]:
        parts.append(f"{teacher['bytes'] / 1e6:.1f} MB")
    if teacher["milliseconds"]:
        parts.append(f"{teacher['milliseconds']:.1f} ms a text here")
    else:
        parts.append("not asked yet, since its answers may cost money")
    return ", ".join(parts)


def method_words(plan: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Return what the student will learn from."""
    if plan["method"] == TEXTS:
        return f"your texts, {settings['texts']}"
    if plan["method"] == CRAFTED:
        return "as-dfd: samples crafted from the teacher's gradients, no text and no language model"
    if plan["method"] == BOTH:
        return (
            "both: half of the queries for samples crafted from the teacher's gradients (as-dfd), then half for texts that "
            f"{plan['generator']} writes, led by a prompter that learns what to ask for"
        )
    return f"prompted: texts that {plan['generator']} writes, led by a prompter that learns what to ask for"


def step_words(plan: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Return what is done one after the other, where the student learns from more than one thing."""
    if plan["method"] != BOTH:
        return []
    (crafted, written), updates = queries_of(Plan.read(dict(plan)), settings["budget"]), updates_of(Plan.read(dict(plan)))
    return [
        f"1: a prompter learns what to ask {plan['generator']} for, {written:,} queries, into {RUN}/",
        f"2: as-dfd, {crafted:,} queries, {updates:,} updates at rate {plan['learning_rate']:g}, into {FIRST}/",
        f"3: that student learns from the texts of step 1, {updates:,} updates at rate {plan['last_rate']:g}, into {STUDENT}/",
    ]


LEARNT = {TEXTS: "your texts", CRAFTED: "crafted samples (as-dfd)", PROMPTED: "a prompter's texts"}
"""What a student learns from, by method."""


def query_words(stages: Sequence[Mapping[str, Any]]) -> str:
    """Return how many queries the student took in all, and what for."""
    total = sum(stage["teacher_queries"] for stage in stages)
    return f"{total:,}: " + ", ".join(f"{stage['teacher_queries']:,} for {LEARNT[stage['method']]}" for stage in stages)


def learnt_words(stages: Sequence[Mapping[str, Any]]) -> str:
    """Return which student the last one went on from, and what each learnt from; "" where there was one stage."""
    if len(stages) < 2:
        return ""
    first, last = stages
    return (
        f"The student went on from {first['folder']}, which had learnt from {first['texts']:,} {LEARNT[first['method']]} in "
        f"{first['updates']:,} updates, and learnt from {last['texts']:,} of {LEARNT[last['method']]} in {last['updates']:,}."
    )


def queries_words(plan: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Return how often the teacher will be asked."""
    most = "at most " if plan["method"] == TEXTS else ""
    price = settings.get("teacher_price")
    cost = f", {settings['budget'] * price / 1000:,.2f} at {price:g} for 1,000" if price else ""
    return f"{most}{settings['budget']:,}{cost}; the first few hundred are a pilot, which may stop the run"


def time_words(stored: Mapping[str, Any]) -> str:
    """Return how long it will take, and what the time goes to."""
    seconds = stored["seconds"]
    parts = ", ".join(f"{name} {in_words(value).removeprefix('about ')}" for name, value in seconds.items())
    black_box = "" if stored["teacher"]["identity"] else "; the time of the teacher's answers comes on top"
    return f"{in_words(sum(seconds.values()))} on this machine, by a short timing ({parts}){black_box}"


def score_words(real: Mapping[str, Any]) -> str:
    """Return the scores on labelled data, and the agreement with the teacher there."""
    parts = [f"accuracy {real['accuracy']:.1%}"] if "accuracy" in real else []
    parts += [f"{score['name']} {score['text']}" for score in other_scores(real)]
    return ", ".join(parts + ([f"agreement {real['agreement']:.1%}"] if "agreement" in real else []))


def result_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return the result, line by line; a table of sizes and times is printed apart."""
    lines = []
    if found := summary["agreement"]:
        lines.append(
            f"Agreement with the teacher: {found['value']:.1%} ({found['low']:.1%} to {found['high']:.1%}, 95 %) on "
            f"{found['texts']:,} {found['on']}. {found['caveat']}"
        )
    if real := summary["real"]:
        lines.append(f"On {real['data']}: {score_words(real)} ({real['n']:,} rows, used for nothing else).")
    if found := summary["calibration"]:
        lines.append(f"When to trust it: {Calibration(**found)}.")
    asked = "" if summary["teacher"]["identity"] else f"; really asked: {summary['teacher_calls']:,}"
    money = f"; spent {summary['money_spent']:,.2f}" if "money_spent" in summary else ""
    stages = summary["learnt"]
    spent = query_words(stages) if len(stages) > 1 else f"{summary['teacher_queries']:,}"
    lines.append(f"Teacher queries: {spent}{asked}{money}.")
    if words := learnt_words(stages):
        lines.append(words)
    lines += summary["notes"]
    lines.append("Written:")
    lines += [f"  {place}  {words}" for place, words in summary["written"].items()]
    lines.append("Next:")
    lines += [f"  {command}" for command in summary["next"]]
    return lines


def in_words(seconds: float) -> str:
    """Return a time as a person says it.

    Examples:
        >>> in_words(42), in_words(400), in_words(9000)
        ('about 1 minute', 'about 7 minutes', 'about 2.5 hours')
    """
    minutes = max(1, round(seconds / 60))
    if minutes >= 90:
        return f"about {seconds / 3600:.1f} hours"
    return f"about {minutes} minute{'s' if minutes > 1 else ''}"
