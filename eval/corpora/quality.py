"""`prompter evaluate-data`: how good a corpus is, and how close to real texts.

The corpus is read and its metrics are collected in one dictionary, which `--json` writes. The table and the page are made
from that dictionary alone. A metric that needs a missing column, model or reference is listed there with the remedy.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from distill.common.errors import InputError
from distill.common.files import without_nan, write_json, write_text
from distill.common.hub import load_config
from distill.kinds.rows import finite
from distill.teachers.prediction_cache import CachedTeacher
from eval.classifiers.opening import open_named
from eval.corpora.config import CorpusConfig
from eval.corpora.models import embeddings, has_layers, load_encoder, mean_logprobs
from eval.corpora.reading import Corpus, load_corpus, load_reference
from eval.corpora.reference import (
    EMBEDDED,
    FEWEST,
    NEIGHBOURS,
    precision_recall,
    tfidf_embeddings,
    two_sample_test,
    vocabulary_overlap,
)
from eval.corpora.report import render_corpus
from eval.corpora.statistics import (
    Tokens,
    class_balance,
    distinct,
    draw,
    histogram_counts,
    near_duplicates,
    perplexity,
    self_bleu,
    spread,
    tokenize,
    topic_entropy,
    vocabulary_growth,
)
from eval.corpora.verbatim import RUNS, verbatim_overlap
from eval.data.config import PAIR_COLUMN
from eval.toy import located

LIBRARIES = ("prompter", "numpy", "scikit-learn", "sacrebleu", "datasketch", "torch", "transformers")

BINS = 30

SURE = 0.9
"""Confidence from which the teacher counts as sure."""

NOT_SURE = "a number does not say how sure the teacher is"

NO_ANSWERS = "no teacher predictions (teacher_probs) are stored: give --teacher, or export with one"

Say = Callable[[str], None]
"""Receives one line for each step of the work."""


def evaluate_data(config: CorpusConfig, say: Say = lambda line: None) -> dict[str, Any]:
    """Judge a corpus.

    Args:
        config: The corpus, its reference, and the models to use.
        say: Called with each step of the work.

    Returns:
        All metrics: `corpus` (the corpus by itself), `reference` (the reference by itself, with as many texts as the corpus)
        and `comparison` (None without a reference); `alarms` (findings that make the other metrics worthless); `missing`
        (metrics that could not be computed, with the remedy); and the settings and versions used.

    Raises:
        InputError: Anything a user can correct.
    """
    corpus, reference, teacher = _open(config, say)
    vocabulary: dict[str, int] = {}
    tokens = tokenize(corpus.texts, vocabulary)
    missing: dict[str, str] = {}
    metrics = text_metrics(corpus.texts, tokens, config.seed, say)
    metrics |= dataset_metrics(corpus, teacher, missing, say)
    comparison = theirs = None
    chosen: list[str] = []
    if reference is not None:
        reference_tokens = tokenize(reference.texts, vocabulary)
        rows = np.sort(draw(len(reference.texts), len(corpus.texts), config.seed, "reference's own figures"))
        chosen, chosen_tokens = [reference.texts[row] for row in rows], reference_tokens.take(rows)
        theirs = {"name": config.reference, "rows": reference.rows}
        theirs |= text_metrics(chosen, chosen_tokens, config.seed, say)
        _add_distinct_at_equal_words(metrics, theirs, tokens, chosen_tokens, config.seed)
        comparison = compare_corpora(corpus, reference, tokens, reference_tokens, config, teacher, missing, say)
    else:
        missing["comparison"] = "nothing to compare with: give --reference with a file of real texts"
    _add_perplexity(config, corpus, metrics, theirs, chosen, missing, say)
    _add_histograms(metrics, theirs)
    return {
        "data": config.data,
        "rows": corpus.rows,
        "marked": corpus.marked,
        "all_rows": config.all_rows,
        "alarms": _alarms(comparison),
        "missing": missing,
        "corpus": metrics,
        "reference": theirs,
        "comparison": comparison,
        "teacher_queries": 0 if teacher is None else teacher.queries,
        "seed": config.seed,
        "versions": _library_versions(),
    }


def _open(config: CorpusConfig, say: Say) -> tuple[Corpus, Corpus | None, CachedTeacher | None]:
    """Read corpus and reference, open the teacher, and refuse what would otherwise fail after minutes of work."""
    say("reading")
    corpus = load_corpus(config.data, config.text_column, config.all_rows)
    reference = None
    if config.reference is not None:
        reference = load_reference(config.reference, config.reference_column, config.reference_split)
    if config.confidence and corpus.scores is not None:
        raise InputError(f"confidence: in {corpus.name}, {NOT_SURE}; leave --confidence out")
    if config.confidence and corpus.confidence is None and not config.teacher:
        raise InputError(f"confidence: in {corpus.name}, {NO_ANSWERS}")
    for name, setting in ((config.writer, "writer"), (config.encoder, "encoder")):
        if name and not name.startswith("toy"):
            load_config(name, setting)
    teacher = None
    if config.teacher:
        teacher = open_named(config, say)
        if config.confidence and corpus.confidence is None and "confidence" not in teacher.kind.columns:
            raise InputError(f"confidence: of {config.teacher}, {NOT_SURE}; leave --confidence out")
        if teacher.kind.texts == 2 and corpus.confidence is None and corpus.scores is None:
            if corpus.second is None or not all(corpus.second):
                raise InputError(
                    f"teacher: {config.teacher} answers pairs of texts, but {corpus.name} has no second text"
                    f"{'s' if corpus.second is None else ' in each row'}: give data with a column {PAIR_COLUMN}, or leave "
                    "--teacher out."
                )
    return corpus, reference, teacher


def _add_perplexity(
    config: CorpusConfig,
    corpus: Corpus,
    mine: dict[str, Any],
    theirs: dict[str, Any] | None,
    reference_texts: list[str],
    missing: dict[str, str],
    say: Say,
) -> None:
    """Add the log-probabilities of single texts to both sides, from the writer or as the export stored them."""
    if config.writer:
        say(f"perplexity under {config.writer}")
        writer = located(config.writer, "writer")
        for side, texts in ((mine, corpus.texts), (theirs, reference_texts)):
            if side is not None:
                logprobs = mean_logprobs(writer, texts, config.device)
                side["perplexity"] = {"of": f"texts under {config.writer}", "logprob_of_texts": logprobs}
    elif corpus.logprob is not None:
        # An export stores the log-probabilities of the tokens that its writer sampled. The topics come from the prompter.
        mine["perplexity"] = {"of": "continuations", "logprob_of_texts": corpus.logprob}
    else:
        missing["perplexity"] = "no lm_logprob is stored: give --writer"


def text_metrics(texts: list[str], tokens: Tokens, seed: int, say: Say) -> dict[str, Any]:
    """Return the metrics that need nothing but texts."""
    say(f"variety of {len(texts):,} texts")
    order = draw(len(texts), len(texts), seed, "order")
    metrics: dict[str, Any] = {
        "texts": len(texts),
        "words": spread(tokens.lengths.astype(np.float64)) | {"of_texts": tokens.lengths},
        "distinct": {str(n): distinct(tokens, n) for n in (1, 2, 3)},
        "vocabulary": vocabulary_growth(tokens.take(order)),
    }
    say(f"near-duplicates among {len(texts):,} texts")
    metrics["near_duplicates"] = near_duplicates(texts)
    say("self-BLEU")
    metrics["self_bleu"] = self_bleu(texts, seed)
    return metrics


def dataset_metrics(
    corpus: Corpus,
    teacher: CachedTeacher | None,
    missing: dict[str, str],
    say: Say,
) -> dict[str, Any]:
    """Return the metrics of a dataset's columns, or of the teacher's predictions if it is asked instead.

    Args:
        corpus: The corpus.
        teacher: Asked about every text if the corpus has no predictions.
        missing: Receives the metrics that could not be computed.
        say: Called with each step of the work.
    """
    metrics: dict[str, Any] = {}
    classes, labels, classes_are, confidence = corpus.classes, corpus.labels, corpus.classes_are, corpus.confidence
    scores = corpus.scores
    asked = confidence is None and scores is None and teacher is not None
    if asked:
        assert teacher is not None
        say(f"the teacher's predictions for {len(corpus.texts):,} texts")
        kind = teacher.kind
        answers = teacher(corpus.texts, corpus.second if kind.texts == 2 else None)
        usable = finite(answers).tolist()
        cells = [
            kind.cells(row if said else None, text)
            for said, row, text in zip(usable, kind.shown(answers.double()).tolist(), corpus.texts, strict=True)
        ]
        labels, classes_are = kind.targets(teacher.labels), kind.columns[0]
        classes = [labels[one] for row in cells for one in kind.given(row)] + [None] * usable.count(False)
        if "confidence" in kind.columns:
            confidence = np.array([row["confidence"] for row in cells], dtype=np.float64)  # NaN for None
        else:
            scores = np.array([row["score"] for row in cells], dtype=np.float64)
    if scores is not None:
        metrics["scores"] = spread(scores) | {"asked_now": asked}
    if classes is None and scores is not None:
        missing["classes"] = "a stored number does not say its range"
    elif classes is None:
        missing["classes"] = "no label or wanted_label is stored: give --teacher, or an exported dataset"
    else:
        of = "the target labels" if classes_are == "wanted_label" else "the teacher's predictions"
        metrics["classes"] = {"of": of} | class_balance(classes, labels)
    if confidence is None:
        missing["confidence"] = NO_ANSWERS if scores is None else NOT_SURE
    else:
        known = confidence[~np.isnan(confidence)]
        edges = np.linspace(0, 1, 21)
        metrics["confidence"] = spread(confidence) | {
            "asked_now": asked,
            "sure": float((known >= SURE).mean()) if len(known) else float("nan"),
            "histogram": {"edges": edges.tolist(), "counts": histogram_counts(confidence.clip(0, 1), edges)},
        }
    if corpus.second is not None:
        missing["second texts"] = f"of pairs, the first texts are measured: give --text_column {PAIR_COLUMN} for the second"
    if corpus.topics is None:
        missing["topics"] = "no topic is stored: give an exported dataset"
    else:
        metrics["topics"] = topic_entropy(corpus.topics)
    return metrics


def compare_corpora(
    corpus: Corpus,
    reference: Corpus,
    tokens: Tokens,
    reference_tokens: Tokens,
    config: CorpusConfig,
    teacher: CachedTeacher | None,
    missing: dict[str, str],
    say: Say,
) -> dict[str, Any]:
    """Return how close a corpus is to its reference; see `eval.corpora.reference` and `eval.corpora.verbatim`."""
    say("verbatim overlap")
    found: dict[str, Any] = {
        "vocabulary": vocabulary_overlap(tokens, reference_tokens),
        "verbatim": verbatim_overlap(tokens, reference_tokens, corpus.texts, reference.texts, config.seed),
    }
    size = min(len(corpus.texts), len(reference.texts), EMBEDDED)
    if size < FEWEST:
        few = f"{len(corpus.texts)} texts and {len(reference.texts)} reference texts"
        missing["nearness"] = f"{few} are too few for embeddings and a test: give at least {FEWEST} of each"
        return found | {"embedding": None, "classifier": None}
    say("embeddings")
    sides = [[corpus.texts[row] for row in draw(len(corpus.texts), size, config.seed, "embedded corpus")]]
    # If the reference has enough texts, more of them show the metrics that real text would get.
    drawn = draw(len(reference.texts), 2 * size, config.seed, "embedded reference")
    sides += [[reference.texts[row] for row in rows] for rows in (drawn[:size], drawn[size:]) if len(rows) == size]
    if config.encoder:
        space, (model, tokenizer) = config.encoder, load_encoder(config.encoder, config.device)
        placed = [embeddings(model, tokenizer, texts) for texts in sides]
    elif teacher is not None and teacher.white_box is not None and has_layers(teacher.white_box.model):
        space, model = "the teacher", teacher.white_box
        placed = [embeddings(model.model, model.tokenizer, texts) for texts in sides]
    else:
        space = "TF-IDF"
        placed = tfidf_embeddings(sides, config.seed)
    found["embedding"] = {
        **precision_recall(placed[0], placed[1]),
        "space": space,
        "texts": size,
        "neighbours": NEIGHBOURS,
        "real": precision_recall(placed[2], placed[1]) if len(placed) > 2 else None,
    }
    say("classifier two-sample test")
    found["classifier"] = two_sample_test(corpus.texts, reference.texts, config.seed)
    return found


def write_results(results: dict[str, Any], config: CorpusConfig) -> None:
    """Write the files that `--json` and `--html` ask for.

    Raises:
        InputError: A file cannot be written.
    """
    if config.json:
        write_json(config.json, without_nan(results))
    if config.html:
        write_text(config.html, render_corpus(results))


def _add_distinct_at_equal_words(
    mine: dict[str, Any], theirs: dict[str, Any], tokens: Tokens, others: Tokens, seed: int
) -> None:
    """Add distinct-n over the same number of words on both sides, with the texts in random order."""
    count = min(len(tokens.ids), len(others.ids))
    for metrics, side in ((mine, tokens), (theirs, others)):
        shuffled = side.take(draw(len(side.starts) - 1, len(side.starts) - 1, seed, "order")).head(count)
        metrics["distinct_at_equal_words"] = {"words": count} | {str(n): distinct(shuffled, n) for n in (1, 2, 3)}


def _add_histograms(mine: dict[str, Any], theirs: dict[str, Any] | None) -> None:
    """Replace the numbers of single texts by histograms with the same edges on both sides."""
    sides = [mine] if theirs is None else [mine, theirs]
    words = [side["words"].pop("of_texts").astype(np.float64) for side in sides]
    # The longest half percent goes into the last bar. Otherwise one endless text would squeeze all others into one bar.
    most = max(1.0, float(np.percentile(np.concatenate(words), 99.5)))
    width = math.ceil((most + 1) / BINS)
    edges = np.arange(0, most + 1 + width, width)
    for side, lengths in zip(sides, words, strict=True):
        counts = histogram_counts(lengths.clip(max=edges[-1]), edges)
        side["words"]["histogram"] = {"edges": edges.tolist(), "counts": counts}
    sides = [side for side in sides if "perplexity" in side]
    logprobs = [side["perplexity"].pop("logprob_of_texts") for side in sides]
    for side, logprob in zip(sides, logprobs, strict=True):
        side["perplexity"] |= perplexity(logprob)
    known = np.concatenate([np.zeros(0), *(logprob[~np.isnan(logprob)] for logprob in logprobs)])
    if len(known):
        edges = np.linspace(min(0.0, float(np.percentile(known, 0.5))) - 1e-6, max(0.0, float(known.max())), BINS + 1)
        for side, logprob in zip(sides, logprobs, strict=True):
            counts = histogram_counts(logprob.clip(min=edges[0]), edges)
            side["perplexity"]["histogram"] = {"edges": edges.tolist(), "counts": counts}


def _alarms(comparison: dict[str, Any] | None) -> list[str]:
    """Return the findings that make the other metrics worthless."""
    if comparison is None or not comparison["verbatim"]["alarm"]:
        return []
    found = comparison["verbatim"]
    chance = found["by_chance"]["share"][str(RUNS[-1])]
    expected = "" if math.isnan(chance) else f" (two halves of the reference: {100 * chance:.1f} % with such a run)"
    return [
        f"COPIED FROM THE REFERENCE: {100 * found['copied']:.1f} % of the texts are reference texts word for word or share "
        f"{RUNS[-1]} or more words in a row with one{expected}. This corpus is not new text: its closeness to the reference "
        "is not quality, and it must not be published as free of the reference's content."
    ]


def _library_versions() -> dict[str, str]:
    """Return the versions of the installed libraries; this package is `topic-prompter` on the Python index."""
    versions = {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):  # a checkout that was never installed
            versions[name] = version("topic-prompter" if name == "prompter" else name)
    return versions
