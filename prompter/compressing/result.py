"""What a compression gave: agreement with its interval, size and latency beside the teacher's, what was written, what next."""

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.common.errors import InputError
from distill.common.files import replace_folder, write_text
from distill.kinds.classes import SINGLE
from distill.kinds.labels import MULTI_LABEL
from distill.kinds.names import OF_SCORES
from distill.portable.formats import FORMATS, RECORD, check_installed
from eval.classifiers.calibration import Calibration
from eval.classifiers.scoring import size_and_speed
from eval.data.labelled import load_texts
from eval.data.recipe import RECIPE_FILE
from eval.report.page import page
from eval.report.scores import SCORES
from eval.report.tables import settings_table
from prompter.compressing.config import DEFAULT_FORMAT, NO_EXPORT, CompressConfig
from prompter.compressing.looking import SENTENCE, TIMED, open_local, second_texts
from prompter.compressing.planning import BOTH, CRAFTED, PROMPTED, TEXTS
from prompter.compressing.steps import DATASET, FIRST, RUN, STUDENT
from prompter.compressing.words import learnt_words, method_words, plan_lines, query_words, score_words
from prompter.deploying.export import export_new, open_student
from prompter.runtime.console import Console
from prompter.saved.student_card import set_queries
from prompter.students.sources import DatasetSource

REPORT = "report.html"

ROUNDS = 5

CAVEATS = {
    TEXTS: "They are yours; the best state was chosen on them too, so take the lower end.",
    CRAFTED: "They are no text, and the best state was chosen on these too. Real text is another matter: measure on yours.",
    PROMPTED: "Real text will be harder, and the best state was chosen on these too: measure on yours.",
}
"""What a reader of the agreement has to know, by what the student learnt from last."""

KEPT = ("accuracy", *SCORES, "agreement", "n")
"""What is kept of the scores on labelled data."""

AGREED = {MULTI_LABEL.name: " (each label counts)"} | dict.fromkeys(OF_SCORES, " (the same fifth of the range)")
"""What the agreement counts, by the kind of answers; for classes it need not be said."""

HELD_OUT = {
    TEXTS: "of your texts that were held out",
    CRAFTED: "crafted samples that were held out",
    PROMPTED: "synthetic texts that were held out",
}


def summarise(config: CompressConfig, stored: dict[str, Any], done: Mapping[str, Any], console: Console) -> dict[str, Any]:
    """Measure and convert the student, and return the content of `summary.json`.

    Args:
        config: The call.
        stored: Content of `plan.json`.
        done: Summary of each step, by folder.
        console: Shows bars.

    Raises:
        InputError: A format that was asked for cannot be written; everything else is complete.
    """
    folder, plan, learnt = Path(config.to), stored["plan"], done[STUDENT]
    (figures,) = learnt["students"].values()
    last = PROMPTED if plan["method"] == BOTH else plan["method"]
    stages = _stages(folder, plan, done)
    if last == PROMPTED:
        _copy_dataset(folder / RUN / DATASET, folder / DATASET)
        set_queries(folder / STUDENT, query_words(stages))
    texts, pairs = _texts_to_time_on(config, folder, last)
    held_out = learnt.get("held_out_samples", learnt["held_out_texts"])
    programs, notes = _programs(config, folder / STUDENT, console)
    return {
        "plan": plan,
        "teacher": stored["teacher"],
        "labels": learnt["labels"],
        "agreement": _agreement(figures, held_out, last, stored["teacher"].get("answers", SINGLE.name)),
        "real": _real(config, figures),
        "models": _models(config, stored, done, texts, pairs, programs),
        "programs": programs,
        "calibration": figures.get("calibration"),
        "learnt": stages,
        "teacher_queries": sum(stage["teacher_queries"] for stage in stages),
        **config.cost(sum(summary["teacher_calls"] for summary in done.values())),
        "health": learnt["health"],
        "notes": notes,
        "written": written_places(folder, plan["method"], programs),
        "next": next_commands(folder, stored["teacher"], programs),
        "settings": stored["settings"],
        "versions": stored["versions"],
    }


def _stages(folder: Path, plan: Mapping[str, Any], done: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the student learnt from, in order: `method`, `texts`, `teacher_queries` for them, `updates`, `folder`."""
    stages = []
    for name in (FIRST, STUDENT):
        if name not in done:
            continue
        (figures,) = done[name]["students"].values()
        method = CRAFTED if name == FIRST else PROMPTED if plan["method"] == BOTH else plan["method"]
        asked = done[RUN] if method == PROMPTED else done[name]
        stages.append(
            {
                "method": method,
                "texts": done[name]["texts"],
                "teacher_queries": asked["teacher_queries"],
                "updates": figures["updates"],
                "folder": str(folder / name),
            }
        )
    return stages


def _agreement(figures: Mapping[str, Any], texts: int, method: str, answers: str) -> dict[str, Any]:
    """Return the agreement on held-out texts with its Clopper-Pearson interval; {} where no text was held out.

    Stages of one crafted sample resemble each other, so all of them count as one text.
    """
    value = figures.get("held_out_agreement")
    if value is None or not texts:
        return {}
    from scipy.stats import binomtest  # here, since it takes a while to import

    interval = binomtest(round(value * texts), texts).proportion_ci(method="exact")
    return {
        "value": value,
        "kappa": figures.get("held_out_kappa"),
        "low": float(interval.low),
        "high": float(interval.high),
        "texts": texts,
        "on": HELD_OUT[method] + AGREED.get(answers, ""),
        "caveat": CAVEATS[method],
    }


def _real(config: CompressConfig, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scores on the user's labelled data; {} where there is none."""
    scores = {name: figures[name] for name in KEPT if name in figures}
    if not config.eval_data or not scores:
        return {}
    return {"data": config.eval_data, **scores}


def _copy_dataset(source: Path, target: Path) -> None:
    """Copy the texts of a run to where a user looks for them; a copy that is there is kept."""
    if not (target / RECIPE_FILE).is_file():
        with replace_folder(target, marker=RECIPE_FILE) as temporary:
            shutil.copytree(source, temporary, dirs_exist_ok=True)


def _texts_to_time_on(config: CompressConfig, folder: Path, method: str) -> tuple[list[str], list[str] | None]:
    """Return texts such as the student learnt from, or sentences of their usual length; and second texts where known."""
    if method == PROMPTED and (portion := DatasetSource(str(folder / DATASET)).portion(0)):
        return portion.texts, portion.text_pairs
    if method == TEXTS:
        return load_texts(str(config.texts), config.text_column, config.text_split)[:TIMED], None
    return [SENTENCE] * TIMED, None


def _programs(config: CompressConfig, student: Path, console: Console) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Convert the student, and return what came of it and notes.

    Raises:
        InputError: A format that the user named cannot be written.
    """
    if config.export == [NO_EXPORT]:
        return {}, []
    try:
        if not config.export:
            check_installed([DEFAULT_FORMAT], "export")
        made = [kind for kind in FORMATS if (student / kind / RECORD).is_file()]  # by an earlier call
        return export_new(student, list(dict.fromkeys([*made, *(config.export or [DEFAULT_FORMAT])])), [], console), []
    except InputError as error:
        if config.export:
            raise
        return {}, [f"No program was written: {error}"]


def _models(
    config: CompressConfig,
    stored: Mapping[str, Any],
    done: Mapping[str, Any],
    texts: list[str],
    pairs: list[str] | None,
    programs: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """Return size and time of a call with one text for teacher, student and programs."""
    student = open_student(str(Path(config.to) / STUDENT))
    models: dict[str, Any] = {"student": student}
    if stored["teacher"]["identity"] is not None:
        with Console(True) as silent:
            models = {"teacher": open_local(config, silent).teacher} | models
    pairs = pairs or second_texts(student.kind, len(texts))
    measured = size_and_speed(models, texts, batch=1, text_pairs=pairs, rounds=ROUNDS, limit=TIMED)
    found = {
        name: {key: row[key] for key in ("parameters", "bytes")} | {"milliseconds": row["milliseconds_per_call"]}
        for name, row in measured.items()
    }
    if "teacher" not in found:
        found = {"teacher": _black_box(done)} | found
    return found | {
        kind: {"parameters": None, "bytes": record["bytes"], "milliseconds": record["milliseconds"]}
        for kind, record in programs.items()
    }


def _black_box(done: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a black box needed for a text in the run, where that is known."""
    run = done.get(RUN, {})
    seconds, calls = run.get("time", {}).get("teacher"), run.get("teacher_calls")
    return {"parameters": None, "bytes": None, "milliseconds": 1000 * seconds / calls if seconds and calls else None}


def written_places(folder: Path, method: str, programs: Mapping[str, Any]) -> dict[str, str]:
    """Return what lies where, by path."""
    written = {f"{folder / STUDENT}": "the student, an ordinary Hugging Face folder, with its card (README.md)"}
    written |= {
        f"{folder / STUDENT / kind}": f"the student as {kind}: runs without torch and transformers" for kind in programs
    }
    if method == BOTH:
        written[f"{folder / FIRST}"] = "the student of as-dfd, which the student began as"
    if method in (PROMPTED, BOTH):
        written[f"{folder / DATASET}"] = "the texts with the teacher's answers"
        written[f"{folder / RUN}"] = "the prompter that wrote them, and its report"
    return written | {f"{folder / REPORT}": "this result as a page"}


def next_commands(folder: Path, teacher: Mapping[str, Any], programs: Mapping[str, Any]) -> list[str]:
    """Return the next commands."""
    student = folder / STUDENT
    name = teacher["name"]
    task = f"toy_{name.partition(':')[2]}" if name.startswith("toy:") else "YOUR_TASK.yaml"
    models = shlex.join([str(student), *(str(student / kind) for kind in programs)])
    lines = [f"prompter evaluate {models} --task {task} --teacher {shlex.quote(name)}"]
    answers = teacher.get("answers", SINGLE.name)
    if answers in (SINGLE.name, MULTI_LABEL.name):  # others do not say how sure they are of a text, or read two
        again = f"prompter evaluate {shlex.quote(str(student))} --teacher {shlex.quote(name)} --calibrate YOUR_TEXTS.txt"
        lines.append(again)
    if DEFAULT_FORMAT in programs and answers in (SINGLE.name, MULTI_LABEL.name, "score"):
        lines.append(f"python examples/run_without_torch.py {shlex.quote(str(student / DEFAULT_FORMAT))} 'A text.'")
    return lines


def write_result(folder: Path, summary: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Write the page of the result.

    Raises:
        InputError: The file cannot be written.
    """
    lines, stages = [line.split(None, 1) for line in plan_lines(stored, False)], summary.get("learnt", [])
    text = page(
        "compress.html.j2",
        title=folder.resolve().name,
        method=method_words(summary["plan"], summary["settings"]),
        learnt=learnt_words(stages),
        queries=query_words(stages) if len(stages) > 1 else f"{summary['teacher_queries']:,}",
        summary=summary,
        agreement=summary["agreement"],
        real=summary["real"],
        scores=score_words(summary["real"]),
        trust=f"When to trust it: {Calibration(**found)}." if (found := summary["calibration"]) else "",
        models=summary["models"],
        health=summary["health"].get("findings", []),
        reasons=summary["plan"]["reasons"],
        plan=[(name, words) for name, words in lines if name != "Why"],
        settings=settings_table(summary["settings"]),
        versions=settings_table(summary["versions"]),
    )
    write_text(folder / REPORT, text)
