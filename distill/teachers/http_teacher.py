"""A teacher behind HTTP, in the format of `/predict` of text-embeddings-inference.

A request holds some texts: `{"inputs": [["first text"], ["second text"]], "truncate": true, "raw_scores": false}`; a pair is
`["text", "second text"]`. The answer holds for each input, in order, a list of `{"label": ..., "score": ...}` with
probabilities as scores. The server sorts this list by score, so the names of the labels decide the columns, not their
position.

Failures are of three kinds. A temporary failure (HTTP 429 and 5xx, timeouts, dropped connections) is asked again with growing
pauses, and stops the run when it persists. Texts that the server refuses (too long, empty, too many at once) are sent again in
smaller and smaller portions, so that one such text does not spoil the others. All other failures (answers that are cut off, of
a wrong count, or without probabilities) become rows of NaN, as with every teacher.
"""

import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urljoin, urlsplit

import numpy as np
import requests
import torch
from requests.adapters import HTTPAdapter
from torch import Tensor
from urllib3.util import Retry

from distill.common.errors import InputError
from distill.teachers.probabilities import check_labels, count, log_probabilities

TOKEN_VARIABLE = "PROMPTER_TEACHER_TOKEN"
HOST_VARIABLE = "PROMPTER_TEACHER_HOST"

# How often to ask where the answer cannot be read (cut off, not JSON, a wrong count).
READINGS = 3

# A server answers with one of these where it refuses some texts but may accept others.
REFUSALS = {400, 413, 422, 424}

HTTP_REMEDIES = {
    401: f"set the environment variable {TOKEN_VARIABLE} to the service's token",
    403: f"set the environment variable {TOKEN_VARIABLE} to a token that may use the service",
    404: "give the full address, such as http://host:8080/predict",
    405: "give the address that takes POST requests, such as http://host:8080/predict",
}

Scores = dict[str, float]
"""The answer to one text: the score of each label."""


class HttpTeacher:
    """A classifier behind HTTP as teacher.

    The environment variable PROMPTER_TEACHER_TOKEN may hold a bearer token. It is sent to the given address only: redirects
    are not followed. PROMPTER_TEACHER_HOST names the host that the token belongs to; other hosts do not get it.

    Args:
        url: Address that takes the texts, such as "http://host:8080/predict".
        labels: The K class names, in the order of the columns; the first answer must have these. Default: the service is asked
            about one text (and this query is counted) to learn them, and they are sorted by name.
        batch_size: Texts per request.
        concurrency: Requests at the same time.
        timeout: Seconds to wait for an answer.
        retries: How often a request is sent again after a temporary failure.
        backoff: Seconds of the pause before the second retry (the first has none). The pause doubles each time, and up to as
            many seconds are added at random. A server's `Retry-After` has priority.
        send_token: Send what the user's environment and `.netrc` hold for the service. Off where a file named the address.

    Attributes:
        path: The address without its query.
        address: The whole address. The query goes with every request and may hold a key, so it is never shown or stored.

    Raises:
        InputError: The address holds credentials or has no host, the service does not answer as described, or it has fewer
            than two labels.
    """

    def __init__(
        self,
        url: str,
        labels: Sequence[str] | None = None,
        *,
        batch_size: int = 32,
        concurrency: int = 8,
        timeout: float = 60.0,
        retries: int = 5,
        backoff: float = 0.5,
        send_token: bool = True,
    ) -> None:
        self.path = _checked_address(url)
        self.address = url
        self._token = _token() if send_token and _token_belongs_to(url) else ""
        self.batch_size = batch_size
        self.concurrency = concurrency
        self.timeout = (min(10.0, timeout), timeout)  # to connect, to answer
        self.retries = retries
        self.queries = 0
        self.invalid = 0
        self._session = _session(self._token, send_token, retries, backoff, concurrency)
        self._labels_seen = labels is None
        self.labels = [str(label) for label in labels] if labels is not None else self._ask_for_labels()
        check_labels(self.labels)

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, K) float32 log-probabilities on the CPU; an unusable answer is a row of NaN.

        Each text is one query, however often it is sent.

        Raises:
            InputError: The service cannot be reached or keeps failing, its labels are not the given ones, or too many
                answers are unusable.
        """
        if not len(texts):
            return torch.empty(0, len(self.labels))
        pairs = None if text_pairs is None else zip(texts, text_pairs, strict=True)
        inputs = [[text] for text in texts] if pairs is None else [list(pair) for pair in pairs]
        parts = [inputs[start : start + self.batch_size] for start in range(0, len(inputs), self.batch_size)]
        with ThreadPoolExecutor(self.concurrency) as pool:
            # `map` keeps the order of the parts. An error cancels the parts that have not started.
            rows, problems = zip(*pool.map(self._rows, parts), strict=True)
        predictions, bad_rows = log_probabilities(np.concatenate(rows))
        return count(self, predictions, next(filter(None, problems), bad_rows))

    def info(self) -> dict[str, str]:
        """Return what the service's `/info` says about its model (`model_id`, `model_sha`), or {}."""
        try:
            response = self._session.get(urljoin(self.path, "info"), timeout=self.timeout[0], allow_redirects=False)
            said = response.json() if response.status_code == 200 else {}
        except requests.RequestException:
            return {}
        if not isinstance(said, dict):
            return {}
        return {name: str(said[name]) for name in ("model_id", "model_sha") if said.get(name)}

    def _rows(self, inputs: list[list[str]]) -> tuple[np.ndarray, str]:
        """Return (N, K) float64 probabilities, NaN where there are none, and what was wrong.

        Raises:
            InputError: See `_post`; or the first answer has other labels than the given ones.
        """
        predictions, problem = self._ask(inputs)
        rows = np.full((len(inputs), len(self.labels)), np.nan)
        for row, answer in zip(rows, predictions, strict=True):
            if answer is None:
                continue
            if answer.keys() == set(self.labels):
                row[:] = [answer[label] for label in self.labels]
                self._labels_seen = True
            elif self._labels_seen:
                problem = problem or f"labels {self._quoted(str(sorted(answer)))} instead of {self.labels}"
            else:
                raise InputError(
                    f"teacher_labels: {self.labels} were given, but {self.path} answers with "
                    f"{self._quoted(str(sorted(answer)))}; give these names, in any order, or none."
                )
        return rows, problem

    def _ask_for_labels(self) -> list[str]:
        [answer], problem = self._ask([["A text."]])
        self.queries += 1
        if not answer:
            raise InputError(
                f"teacher: {self.path} did not answer one text with labels and scores ({problem or 'no labels'}); "
                'expected [[{"label": "name", "score": 0.9}, ...]], as the /predict of text-embeddings-inference does.'
            )
        return sorted(answer)

    def _ask(self, inputs: list[list[str]]) -> tuple[list[Scores | None], str]:
        """Return the scores of each input, None where there are none, and what was wrong.

        Raises:
            InputError: See `_post`.
        """
        problem = ""
        for _ in range(READINGS):
            status, body = self._post(inputs)
            if status in REFUSALS and len(inputs) > 1:
                half = len(inputs) // 2
                (first, first_problem), (second, second_problem) = self._ask(inputs[:half]), self._ask(inputs[half:])
                return first + second, first_problem or second_problem
            if status in REFUSALS:
                return [None], f"HTTP {status}{self._quoted(body, ': ')}"
            scores, problem = _scores_of(body, len(inputs))
            if not problem:
                return scores, "" if None not in scores else "answers that are not lists of labels and scores"
        return [None] * len(inputs), f"{problem}{self._quoted(body, ': ')}"

    def _post(self, inputs: list[list[str]]) -> tuple[int, bytes]:
        """Send one request and return status and body; b"" where the body was cut off.

        Raises:
            InputError: The service cannot be reached, keeps failing, or answers with a status that another request would not
                change.
        """
        payload: Any = {"inputs": inputs, "truncate": True, "raw_scores": False}
        try:
            response = self._session.post(self.address, json=payload, timeout=self.timeout, allow_redirects=False, stream=True)
        except requests.RequestException as error:
            reason = getattr(error.args[0], "reason", error) if error.args else error  # the last failure
            raise InputError(
                f"teacher: {self.path} cannot be reached ({self._quoted(str(reason))}), {self.retries + 1} times in a row; "
                "check the address and that the service runs, then start again (a begun run: with --resume)."
            ) from None  # the library's text holds the whole address
        with response:
            try:
                body = response.content
            except requests.RequestException:  # the answer was cut off
                body = b""
        status = response.status_code
        if status == 200 or status in REFUSALS:
            return status, body
        if status == 429 or status >= 500:
            raise InputError(
                f"teacher: {self.path} answered HTTP {status}{self._quoted(body, ': ')} {self.retries + 1} times in a row; "
                "wait until the service works again, then start again (a begun run: with --resume)."
            )
        remedy = HTTP_REMEDIES.get(status, "check the address")
        if status in (401, 403) and not self._token and os.environ.get(TOKEN_VARIABLE):
            remedy = (
                f"{TOKEN_VARIABLE} was not sent, as {HOST_VARIABLE} names another host, or you did not name this address: "
                "give --teacher yourself"
            )
        if response.is_redirect:
            remedy = (
                f"it redirects to {self._quoted(response.headers['Location'])}, which is not followed; give the final address"
            )
        raise InputError(f"teacher: {self.path} answered HTTP {status}{self._quoted(body, ': ')}; {remedy}.")

    def _quoted(self, said: str | bytes, before: str = "") -> str:
        """Return what a server said: short, on one line, and without the token."""
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        if self._token:
            text = text.replace(self._token, "***")
        text = " ".join(text.split())
        return f"{before}{text[:200]}" if text else ""


def _scores_of(body: bytes, expected: int) -> tuple[list[Scores | None], str]:
    """Return the expected number of answers, None for each unreadable one; or [] and what is wrong with the whole."""
    try:
        predictions = json.loads(body)
    except ValueError:
        return [], "an answer that is cut off or not JSON"
    if not isinstance(predictions, list) or len(predictions) != expected:
        found = f"{len(predictions)} answers" if isinstance(predictions, list) else f"a {type(predictions).__name__}"
        return [], f"{found} for {expected} texts"
    return [_scores(answer) for answer in predictions], ""


def _scores(answer: Any) -> Scores | None:
    try:
        scores = {str(item["label"]): float(item["score"]) for item in answer}
    except (TypeError, ValueError, KeyError, OverflowError):
        return None
    return scores if len(scores) == len(answer) else None  # a label twice


def _checked_address(url: str) -> str:
    """Return the address without its query, for messages.

    Raises:
        InputError: There is no host, the port is not a number, or there are credentials, which would get into logs and files.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise InputError("teacher: the URL has no host, or its port is not a number; expected http://host:8080/predict.")
    if "@" in parts.netloc:
        raise InputError(
            f"teacher: the URL of {host} holds a user name or password; leave them out and set the environment variable "
            f"{TOKEN_VARIABLE} to the service's bearer token."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _token() -> str:
    """Return the bearer token, "" where none is set.

    Raises:
        InputError: A header cannot hold the token. The libraries' own error would show it.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not re.fullmatch(r"[\x21-\x7e]*", token):
        raise InputError(f"{TOKEN_VARIABLE}: holds spaces, line breaks or letters beyond ASCII; set it to the token alone.")
    return token


def _token_belongs_to(url: str) -> bool:
    """Return whether the token may be sent to an address.

    Examples:
        >>> os.environ["PROMPTER_TEACHER_HOST"] = "models.example:8080"
        >>> _token_belongs_to("https://models.example:8080/predict"), _token_belongs_to("https://models.example/predict")
        (True, False)
        >>> del os.environ["PROMPTER_TEACHER_HOST"]

    Raises:
        InputError: PROMPTER_TEACHER_HOST is not HOST, HOST:PORT or https://HOST.
    """
    said = os.environ.get(HOST_VARIABLE, "").strip()
    if not said:
        return True
    try:
        host, address = urlsplit(said if "://" in said else f"//{said}"), urlsplit(url)
        wanted = (host.scheme or address.scheme, host.hostname, host.port)
    except ValueError:
        wanted = ("", None, None)
    if not wanted[1] or host.path.strip("/") or "@" in host.netloc:
        raise InputError(f"{HOST_VARIABLE}: expected the host that the token belongs to, such as models.example:8080.")
    return wanted == (address.scheme, address.hostname, address.port)


def _session(token: str, send_own: bool, retries: int, backoff: float, concurrency: int) -> requests.Session:
    """Return a session that sends the token, and sends a request again after a temporary failure."""
    retry = Retry(
        total=retries,
        allowed_methods={"POST"},
        status_forcelist={429, *range(500, 600)},
        backoff_factor=backoff,
        backoff_jitter=backoff,
        raise_on_status=False,  # the error message quotes the last answer
    )
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=concurrency, max_retries=retry))
    if token or not send_own:

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            if token:
                request.headers["Authorization"] = f"Bearer {token}"
            return request

        session.auth = authorize  # without it, an entry of the user's .netrc would be sent
    return session
