"""The model card of a distilled student. The summary of the run supplies its content."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import EvalResult, ModelCardData

from distill.checkpoints.static_model import StaticConfig
from distill.common.files import read_json, write_text
from distill.common.hub import HUB_ID
from distill.kinds.found import kind_in
from distill.kinds.kind import Kind
from distill.kinds.names import OF_PAIRS, OUTSIDE, placed_tags
from distill.kinds.tokens import Tokens
from distill.methods.table import AS_DFD
from distill.student import TEACHER_LAYERS
from distill.students.static import FROM_TEACHER, STATIC
from eval.classifiers.calibration import HELD_OUT
from eval.report.scores import SCORES
from prompter.runtime.markdown import render, render_part, shown
from prompter.saved.hub import holds_prompter, is_hub_id
from prompter.saved.past import earliest


def write_student_card(
    folder: Path,
    name: str,
    summary: Mapping[str, Any],
    samples: Sequence[Mapping[str, Any]] = (),
    title: str = "",
    where: str = "",
) -> None:
    """Write `README.md` into the folder of a student.

    Args:
        folder: Folder of the student.
        name: Name of the student in the summary.
        summary: Content of `summary.json`, as `prompter distill` writes it.
        samples: Rows of `samples.jsonl` to show.
        title: Name of the model; that of its folder if "".
        where: How the user names its folder; as `config` says if "".

    Raises:
        InputError: The file cannot be written.
    """
    config, metrics = summary["config"], summary["students"][name]
    single = len(summary["students"]) == 1
    place = Path(config.get("to", ""))
    if place.name == "student":  # of a compression, whose folder the user has named
        place = place.parent
    title = title or (place.name if single else name)
    kind = kind_in(summary)
    results = evaluation_results(metrics, config, kind.task)
    past = metrics.get("went_on_from", {})
    static = _is_static(folder)
    synthetic = summary.get("synthetic", True)
    crafted = config.get("method") == AS_DFD.name
    base = origin(*earliest(metrics["spec"], summary["teacher"], past))
    datasets = [source for source in summary["sources"] if is_hub_id(source) and not holds_prompter(source)]
    header = ModelCardData(
        base_model=base,
        datasets=datasets or None,
        metrics=sorted({result.metric_type for result in results}) or None,
        library_name="model2vec" if static else "transformers",
        pipeline_tag=kind.task,
        tags=["knowledge-distillation", *(["data-free", "synthetic"] if synthetic else [])],
        model_name=title if results else None,
        eval_results=results or None,
    )
    if base:
        header["base_model_relation"] = "finetune"
    text = render(
        "student_card.md.j2",
        header,
        title=title,
        path=where or (config["to"] if single else f"{config['to']}/{name}"),
        teacher=shown(summary["teacher"]),
        labels=summary["labels"],
        metrics={**metrics, "spec": shown(metrics["spec"]), "bytes": metrics.get("bytes") or _bytes(folder)},
        sources=[shown(source) for source in summary["sources"]],
        past=past and past | {"spec": shown(past["spec"]), "sources": [shown(source) for source in past["sources"]]},
        texts=summary["texts"],
        teacher_queries=summary["teacher_queries"],
        cost=summary if "money_spent" in summary else None,
        batch_size=config["student_batch_size"],
        scores=other_scores(metrics),
        held_out=summary.get("held_out_samples", summary["held_out_texts"]),  # stages of one sample are not counted
        synthetic=synthetic,
        compared_on=("crafted samples" if crafted else "synthetic texts") if synthetic else "texts",
        eval_data=config["eval_data"],
        samples=samples,
        pairs=summary.get("kind") in OF_PAIRS,
        kind=kind,
        static=static,
        joined=isinstance(kind, Tokens) and _joined(kind.tags),
        calibration=calibration_section(metrics.get("calibration"), kind),
        measured_on=None if "held_out_agreement" in metrics else summary.get("health", {}).get("agreement", {}).get(name),
        findings=summary.get("health", {}).get("findings", []),
    )
    write_text(folder / "README.md", text)


HUB_METRICS = {
    "accuracy": ("accuracy", None),
    "macro_f1": ("f1", "macro-F1"),
    "matthews_correlation": ("matthews_correlation", None),
    "micro_f1": ("f1", "micro-F1"),
    "pearson": ("pearsonr", None),
    "spearman": ("spearmanr", None),
    "mse": ("mse", None),
    "entity_f1": ("f1", "entity F1"),
}
"""Metrics as the hub calls them: type and name."""

QUERIES = re.compile(r"^\| teacher queries \|.*$", re.MULTILINE)
"""The row of a card that says how often the teacher was asked."""


def set_queries(folder: Path, words: str) -> None:
    """Write into the card of a finished student how often its teacher was asked in all, by the verbs before `distill` too.

    Args:
        folder: The student's.
        words: How often, and what for.

    Raises:
        InputError: The card cannot be written.
    """
    file = folder / "README.md"
    if file.is_file():
        text = file.read_text(encoding="utf-8")
        write_text(file, QUERIES.sub(lambda _: f"| teacher queries | {words} |", text, count=1))


def origin(spec: str, teacher: str | None) -> str | None:
    """Return the model of the hub that a student's weights come from; None for random weights and local folders."""
    if spec.startswith((TEACHER_LAYERS, FROM_TEACHER)):
        name = teacher or ""
    else:
        name = spec.removeprefix(f"{STATIC}")
    return name if HUB_ID.fullmatch(name) and not Path(name).exists() else None


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("model*.safetensors"))


def _joined(tags: Sequence[str]) -> bool:
    """Return whether `pipeline` joins the words of an entity: it knows B- and I- alone, and joins equal parts of speech."""
    return OUTSIDE in tags and not any(tag[0] in "ES" for tag in placed_tags(tags))


def _is_static(folder: Path) -> bool:
    """Return whether a folder holds a student that `pipeline` does not know: a vector for each token, and a head."""
    file = folder / "config.json"
    return file.is_file() and read_json(file).get("model_type") == StaticConfig.model_type


def calibration_section(calibration: Mapping[str, Any] | None, kind: Kind) -> str:
    """Return the section of a card about a calibration (`eval.classifiers.calibration.Calibration` as a mapping).

    Without one it says so; it is "" for kinds that have none, whose answers do not say how sure the student is.
    """
    if calibration is None and kind.choices(torch.zeros(1, 2)) is None:
        return ""
    synthetic = calibration is not None and calibration["on"] == HELD_OUT
    single = kind.texts == 1
    return render_part("calibration.md.j2", c=calibration, synthetic=synthetic, several=kind.several, single=single)


def other_scores(metrics: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the scores beside the accuracy as text: `name`, `text`, and `without`, what can be had without reading."""
    return [
        {
            "name": shown.name,
            "text": shown.text(metrics[name]) if math.isfinite(metrics[name]) else "–",
            "without": shown.without,
        }
        for name, shown in SCORES.items()
        if name in metrics and name != "macro_f1"
    ]


def evaluation_results(metrics: Mapping[str, Any], config: Mapping[str, Any], task: str) -> list[EvalResult]:
    """Return the scores of a student for the header of its card; none if there was no evaluation data.

    The header names the evaluation data only if it is a dataset of the hub, so it holds no path of the user's machine.

    Args:
        metrics: Scores of the student by name.
        config: Settings of the run.
        task: What the hub calls the student's kind.
    """
    known = {name: metrics[name] for name in HUB_METRICS if math.isfinite(metrics.get(name, math.nan))}
    if not known:
        return []
    data = str(config["eval_data"])
    on_hub = "/" in data and HUB_ID.fullmatch(data) is not None and not Path(data).exists()
    place: dict[str, Any] = {
        "task_type": task,
        "dataset_type": data if on_hub else "unknown",
        "dataset_name": data if on_hub else "labelled texts of the user",
        "dataset_split": config["eval_split"] if on_hub else None,
    }
    return [
        EvalResult(metric_type=HUB_METRICS[name][0], metric_name=HUB_METRICS[name][1], metric_value=round(value, 4), **place)
        for name, value in known.items()
    ]
