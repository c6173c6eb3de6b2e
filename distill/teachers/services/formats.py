"""What classifiers behind HTTP are sent, and how their answers are read: the formats of three servers.

A format is named before the address: `endpoint+https://HOST/`, `vllm+http://HOST/classify`. Without a name, and as `tei+http`,
it is that of `/predict` of text-embeddings-inference.

| name | request | answer, for each text in order |
|---|---|---|
| tei | `{"inputs": [["a"], ["b"]], "truncate": true, "raw_scores": false}` | `[{"label": "x", "score": 0.9}, ...]` |
| tei, for labels or a score | the same with `"raw_scores": true` | the same, with the outputs of the model |
| endpoint | `{"inputs": ["a", "b"], "parameters": {"top_k": null, "truncation": true}}` | the same |
| vllm | `{"input": ["a", "b"], "truncate_prompt_tokens": -1}` | in `data`: `{"index": 0, "label": "x", "probs": [0.9, 0.1]}` |

Sources: the servers' documentation; Inference Endpoints give `parameters` to a pipeline of transformers, and SGLang's
`/v1/classify` follows vLLM's. The first two sort their lists by score, so the names of the labels decide the columns. vLLM
gives probabilities by position and only the name of the likeliest class. text-embeddings-inference scales outputs as if one
class fitted (softmax, and sigmoid where there is one output), whatever the model was made for.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Scores = dict[str, float]
"""The answer to one text: the score of each label."""

Read = tuple[list[Scores | None], str]
"""The expected number of answers, None for each unreadable one; or [] and what is wrong with the whole."""

UNREADABLE = "answers that are not lists of labels and scores"

NUMBERED = re.compile(r"LABEL_(\d+)")
"""The name of a class of a model whose configuration names none."""

SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
"""Half of a character, as JSON may hold it: escaped, or in bytes that UTF-8 does not allow."""


@dataclass(frozen=True)
class Format:
    """One form of requests and answers.

    Attributes:
        title: Whose form it is, for messages.
        expected: An answer to one text, for messages.
        request: Makes the request of inputs (one text or a pair each), the name of a model ("" for none), and whether the
            outputs of the model shall come as they are.
        read: Reads the JSON of an answer, given the number of inputs and the class names.
        pairs: Whether it can hold pairs of texts.
        names: Whether the answers name all classes; else the user has to.
        about: Address, relative to the service's, that names its model.
        raw: Whether it has to be asked for outputs as they are, where they do not stand for one class.
    """

    title: str
    expected: str
    request: Callable[[list[list[str]], str, bool], Any]
    read: Callable[[Any, int, Sequence[str]], Read]
    pairs: bool = True
    names: bool = True
    about: str = "info"
    raw: bool = False


def read_json(body: bytes) -> tuple[Any, str]:
    r"""Return the JSON of an answer, or what is wrong with it. Half a character becomes "?", as no file could hold it.

    Examples:
        >>> read_json(b'{"text": "half \\ud83d, whole \\ud83d\\ude00"}')
        ({'text': 'half ?, whole 😀'}, '')
    """
    try:
        said = json.loads(body)
        if SURROGATE.search(body):
            said = json.loads(json.dumps(said, ensure_ascii=False).encode("utf-8", "replace"))
        return said, ""
    except (ValueError, RecursionError):
        return None, "an answer that is cut off or not JSON"


def _tei_request(inputs: list[list[str]], model: str, raw: bool) -> Any:
    return {"inputs": inputs, "truncate": True, "raw_scores": raw}


def _endpoint_request(inputs: list[list[str]], model: str, raw: bool) -> Any:
    texts = [text[0] if len(text) == 1 else {"text": text[0], "text_pair": text[1]} for text in inputs]
    return {"inputs": texts, "parameters": {"top_k": None, "truncation": True}}


def _vllm_request(inputs: list[list[str]], model: str, raw: bool) -> Any:
    request = {"input": [text for (text,) in inputs], "truncate_prompt_tokens": -1}
    return request | ({"model": model} if model else {})


def _read_lists(said: Any, expected: int, labels: Sequence[str]) -> Read:
    if not isinstance(said, list) or len(said) != expected:
        return [], _wrong_count(said, expected)
    scores = [_scores(answer) for answer in said]
    return scores, UNREADABLE if None in scores else ""


def _scores(answer: Any) -> Scores | None:
    answer = [answer] if isinstance(answer, dict) else answer  # of a pipeline that names the likeliest class alone
    try:
        scores = {str(item["label"]): float(item["score"]) for item in answer}
    except (TypeError, ValueError, KeyError, OverflowError):
        return None
    return scores if len(scores) == len(answer) else None  # a label twice


def _read_vllm(said: Any, expected: int, labels: Sequence[str]) -> Read:
    data = said.get("data") if isinstance(said, dict) else None
    if not isinstance(data, list) or len(data) != expected:
        return [], _wrong_count(said if data is None else data, expected)
    rows: list[Scores | None] = [None] * expected
    for place, item in enumerate(data):
        index = item.get("index", place) if isinstance(item, dict) else None
        if not isinstance(index, int) or not 0 <= index < expected or rows[index] is not None:
            return [], "answers whose 'index' is not the number of a text"
        rows[index] = _probabilities(item, labels)
    return rows, "answers without 'probs'" if None in rows else ""


def _probabilities(item: dict[str, Any], labels: Sequence[str]) -> Scores | None:
    """Return the probabilities by class name. A name that contradicts them takes the place of the user's.

    Classes may be equally likely. So a name contradicts if its own class is less likely than another one, or is none.
    """
    try:
        values = [float(value) for value in item["probs"]]
    except (TypeError, ValueError, KeyError, OverflowError):
        return None
    if len(values) != len(labels):
        return {f"{len(values)} classes": 1.0}
    names, said = list(labels), item.get("label")
    first = max(range(len(values)), key=values.__getitem__)
    if isinstance(said, str):
        number = NUMBERED.fullmatch(said)
        meant = [place for place, name in enumerate(names) if name.casefold() == said.casefold()]
        meant = meant or ([int(number[1])] if number else [])
        if not meant or meant[0] >= len(values) or values[meant[0]] < values[first]:
            names[first] = f"{said} at position {first}"
    return dict(zip(names, values, strict=True))


def _wrong_count(said: Any, expected: int) -> str:
    found = f"{len(said)} answers" if isinstance(said, list) else f"a {type(said).__name__}"
    return f"{found} for {expected} texts"


FORMATS = {
    "tei": Format(
        title="the /predict of text-embeddings-inference",
        expected='[[{"label": "name", "score": 0.9}, ...]]',
        request=_tei_request,
        read=_read_lists,
        raw=True,
    ),
    "endpoint": Format(
        title="a text-classification pipeline of Inference Endpoints",
        expected='[[{"label": "name", "score": 0.9}, ...]]',
        request=_endpoint_request,
        read=_read_lists,
    ),
    "vllm": Format(
        title="the /classify of vLLM",
        expected='{"data": [{"index": 0, "label": "name", "probs": [0.9, ...]}]}',
        request=_vllm_request,
        read=_read_vllm,
        pairs=False,
        names=False,
        about="/v1/models",
    ),
}
"""The formats by the name that stands before an address."""
