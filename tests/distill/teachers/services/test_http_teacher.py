"""The HTTP teacher against a real server on this machine, which misbehaves when a test tells it to."""

import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from urllib3 import HTTPSConnectionPool
from urllib3.exceptions import LocationParseError, MaxRetryError, SSLError

from distill.common.errors import InputError
from distill.teachers.base import Teacher
from distill.teachers.loading import load_teacher
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.services import connection
from distill.teachers.services.http_teacher import HttpTeacher
from distill.teachers.services.pace import Pace
from tests.distill.service import Service, cut_off, dropped, fine, not_json, reply, saying, share, slow

TOKEN = "s3cret-token"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.delenv("PROMPTER_TEACHER_TOKEN", raising=False)
    service = Service()
    yield service
    service.close()


@pytest.fixture(scope="module")
def good_service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


def connect(service: Service, labels: list[str] | None = ["long", "short"], **settings: Any) -> HttpTeacher:  # noqa: B006
    return HttpTeacher(service.url, labels, **({"backoff": 0.001, "retries": 3, "timeout": 10.0} | settings))


def assert_right(predictions: torch.Tensor, texts: list[str]) -> None:
    torch.testing.assert_close(predictions[:, 0].exp(), torch.tensor([share(text) for text in texts]))
    torch.testing.assert_close(predictions.exp().sum(1), torch.ones(len(texts)))


def test_labels_are_learnt_from_one_text_and_sorted_by_name(service: Service) -> None:
    teacher: Teacher = load_teacher(service.url)
    assert isinstance(teacher, HttpTeacher)
    assert (teacher.labels, teacher.queries, len(service.requests)) == (["long", "short"], 1, 1)
    predictions = teacher(["", "x" * 10])
    assert (predictions.dtype, predictions.shape) == (torch.float32, (2, 2))
    assert_right(predictions, ["", "x" * 10])
    assert (teacher.queries, teacher.invalid) == (3, 0)


def test_given_labels_decide_the_columns_and_cost_nothing(service: Service) -> None:
    teacher = connect(service, ["short", "long"])
    assert (teacher.queries, service.requests) == (0, [])
    assert_right(teacher(["xyz"]).flip(1), ["xyz"])


def test_given_labels_that_the_service_has_not_are_refused(service: Service) -> None:
    teacher = connect(service, ["good", "bad"], batch_size=1, concurrency=2)
    with pytest.raises(InputError, match=r"teacher_labels: \['good', 'bad'\] were given.*\['long', 'short'\]"):
        teacher([str(i) for i in range(100)])
    assert len(service.requests) < 10  # the rest was not paid for
    with pytest.raises(InputError, match="two or more different names"):
        connect(service, ["one"])


def test_pairs_are_sent_as_pairs(service: Service) -> None:
    predictions = connect(service)(["abc", "d"], ["x", "y"])
    assert service.requests == [[["abc", "x"], ["d", "y"]]]
    torch.testing.assert_close(predictions[:, 0].exp(), torch.tensor([share("abc"), share("d")]) / 2)


def test_order_is_kept_and_nothing_lost_under_concurrency(service: Service) -> None:
    service.script = [slow, fine, saying("busy", 503), dropped, fine, slow]
    texts = ["x" * (i * 7 % 101) for i in range(203)]
    teacher = connect(service, batch_size=8, concurrency=5)
    assert_right(teacher(texts), texts)
    assert (teacher.queries, teacher.invalid) == (203, 0)
    assert 2 <= service.most_at_once <= 5
    assert max(map(len, service.requests)) == 8
    assert not Counter(texts) - Counter(service.texts)
    assert len(service.texts) == 203 + 2 * 8  # two portions were sent again


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(max_size=8), max_size=20), st.integers(1, 7), st.integers(1, 4))
def test_any_texts_in_any_portions(good_service: Service, texts: list[str], batch_size: int, concurrency: int) -> None:
    before = len(good_service.texts)
    teacher = connect(good_service, batch_size=batch_size, concurrency=concurrency)
    assert_right(teacher(texts), texts)
    assert sorted(good_service.texts[before:]) == sorted(texts)
    assert teacher.queries == len(texts)


@pytest.mark.parametrize(
    "trouble",
    [
        slow,
        dropped,
        saying("busy", 503),
        saying("slowly", 429),
        saying("too late", 408),
        saying("in conflict", 409),
        saying("too early", 425),
        saying("", 500),
        cut_off,
        not_json,
        saying(lambda good: good[1:]),
    ],
)
def test_what_passes_is_asked_again(service: Service, trouble: Callable) -> None:
    teacher = connect(service, timeout=0.2)
    service.script = [trouble, trouble]
    assert_right(teacher(["a", "bcd"]), ["a", "bcd"])
    assert (teacher.queries, teacher.invalid, len(service.requests)) == (2, 0, 3)


def test_an_answer_that_is_cut_off_is_asked_again_as_often_as_any_dropped_connection(service: Service) -> None:
    teacher = connect(service, retries=5)
    service.script = [cut_off] * 5
    assert_right(teacher(["a", "bcd"]), ["a", "bcd"])
    assert (teacher.queries, teacher.invalid, len(service.requests)) == (2, 0, 6)


def test_a_certificate_that_is_not_trusted_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def send(*_: Any, **__: Any) -> None:
        tried.append(1)
        reason = SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate")
        raise requests.exceptions.SSLError(MaxRetryError(HTTPSConnectionPool("host"), "/predict?key=hidden", reason))

    monkeypatch.setattr(HTTPAdapter, "send", send)
    with pytest.raises(InputError, match="certificate is not trusted .*self-signed.*REQUESTS_CA_BUNDLE") as failure:
        HttpTeacher("https://host/predict?key=hidden")
    assert len(tried) == 1 and "hidden" not in str(failure.value)


def test_retry_after_is_heeded(service: Service) -> None:
    teacher = connect(service)
    service.script = [saying("later", 429, **{"Retry-After": "1"})]
    start = time.monotonic()
    assert_right(teacher(["a"]), ["a"])
    assert time.monotonic() - start >= 1


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (saying({"error": "Model is overloaded"}, 429), r"answered HTTP 429: .*overloaded.* 4 times in a row; wait"),
        (saying("broken", 502), "answered HTTP 502.* 4 times in a row"),
        (dropped, r"cannot be reached .*4 times in a row; check the address"),
        (slow, r"cannot be reached .*timed out.*4 times in a row"),
        (saying("", 404), "HTTP 404.*give the full address"),
        (saying("no such method", 501), "HTTP 501.*give the address that takes POST requests"),
        (saying("", 401), "HTTP 401.*set the environment variable PROMPTER_TEACHER_TOKEN"),
        (
            saying("", 302, Location="http://elsewhere.test/predict"),
            "redirects to http://elsewhere.test/predict, which is not followed",
        ),
    ],
)
def test_what_does_not_pass_is_named(service: Service, trouble: Callable, said: str) -> None:
    teacher = connect(service, timeout=0.05)
    service.always = trouble
    with pytest.raises(InputError, match=said):
        teacher(["a"])


def test_a_date_to_retry_after_and_a_wait_that_is_too_long(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SHORTEST_NOTED", 0.0)
    teacher = connect(service)
    soon = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0)
    service.script = [saying("resting", 503, **{"Retry-After": format_datetime(soon, usegmt=True)})]
    assert_right(teacher(["a"]), ["a"])
    assert datetime.now(UTC) >= soon
    assert 's (HTTP 503: "resting").' in caplog.text and "asks to wait" in caplog.text
    service.script = [saying("come tomorrow", 429, **{"Retry-After": "86400"})]
    with pytest.raises(InputError, match=r"asks to wait 86,400 seconds \(HTTP 429: .*come tomorrow.*; wait, then start"):
        teacher(["a"])
    assert_right(teacher(["a"]), ["a"])


def test_a_pause_holds_all_requests_and_is_no_failure(service: Service) -> None:
    teacher = connect(service, retries=0, batch_size=1, concurrency=4)
    service.script = [saying("", 429, **{"Retry-After": "1"})] * 4
    assert_right(teacher(["x" * i for i in range(12)]), ["x" * i for i in range(12)])
    first, *later = sorted(service.times)
    assert not [at for at in later if 0.5 < at - first < 1.0]
    assert len(service.times) == 12 + 4


def test_no_more_requests_per_second_than_allowed(service: Service) -> None:
    teacher = connect(service, rate=20.0, batch_size=1, concurrency=8)
    teacher(["x"] * 9)
    times = sorted(service.times)
    assert times[-1] - times[0] >= 8 / 20 - 0.05


def test_huge_answers_are_not_read_to_the_end(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LONGEST_ANSWER", 2**17)
    teacher = connect(service)
    service.always = saying(b"[" + b" " * 2**19 + b"]")
    assert teacher(["a"]).isnan().all()
    with pytest.raises(InputError, match=r"an answer of more than 0\.125 MiB"):
        teacher(["a"] * 64)


def test_answers_that_were_paid_for_are_yielded_before_the_failure(service: Service) -> None:
    teacher = connect(service, batch_size=1, concurrency=2, retries=0)
    service.script = [fine, fine, fine, saying("", 500)]
    got: list[int] = []
    with pytest.raises(InputError, match="HTTP 500"):
        for rows, part in teacher.answers([str(i) for i in range(50)]):
            assert part.isfinite().all()
            got += rows
    assert len(got) == len(service.requests) - 1 < 8


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/predict?key=hidden"
    with pytest.raises(InputError, match="cannot be reached .*refused") as failure:
        HttpTeacher(url, retries=1, backoff=0.001)
    assert "hidden" not in str(failure.value)


def without(label: str) -> Callable:
    return saying(lambda good: [[item for item in row if item["label"] != label] for row in good])


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (cut_off, "cut off or not JSON"),
        (not_json, "cut off or not JSON"),
        (saying(lambda good: good[1:]), "31 answers for 32 texts"),
        (saying({"error": "no"}), 'a dict for 32 texts: {"error": "no"}'),
        (saying(lambda good: [{"label": "long"}] * len(good)), "not lists of labels and scores"),
        (saying(lambda good: [[{"label": "long", "score": None}] for _ in good]), "not lists of labels and scores"),
        (saying(lambda good: [row + row[:1] for row in good]), "not lists of labels and scores"),
        (without("long"), r"labels \['short'\] instead of \['long', 'short'\]"),
        (saying(lambda good: [[item | {"score": float("nan")} for item in row] for row in good]), "finite"),
        (saying(lambda good: [[item | {"score": 3.5} for item in row] for row in good]), r"sum 1, such as \[3.5 3.5\]"),
        (saying({"error": "inputs cannot be empty"}, 422), "HTTP 422: .*inputs cannot be empty"),
    ],
)
def test_useless_answers_become_nan_and_stop_the_run_when_they_are_most(
    service: Service, trouble: Callable, reason: str
) -> None:
    teacher = connect(service, concurrency=1)
    teacher(["fine"])
    service.always = trouble
    assert teacher(["a"] * 32).isnan().all()
    assert (teacher.queries, teacher.invalid) == (33, 32)
    with pytest.raises(InputError, match=f"64 of 65 answers of {teacher.path} were unusable .*{reason}"):
        teacher(["a"] * 32)


def test_one_bad_row_leaves_the_others(service: Service) -> None:
    teacher = connect(service)
    service.script = [saying(lambda good: [good[0], [{"label": "other", "score": 1.0}], good[2]])]
    predictions = teacher(["a", "b", "cde"])
    assert predictions[1].isnan().all()
    assert_right(predictions[[0, 2]], ["a", "cde"])
    assert (teacher.queries, teacher.invalid) == (3, 1)


def test_a_text_that_is_refused_does_not_take_the_others_with_it(service: Service) -> None:
    def refusing_empty_texts(handler: BaseHTTPRequestHandler, inputs: list) -> None:
        if [""] in inputs:
            reply(handler, 413, {"error": "`inputs` cannot be empty", "error_type": "Empty"})
        else:
            fine(handler, inputs)

    service.always = refusing_empty_texts
    texts = [f"{i}" * i for i in range(21)]
    teacher = connect(service)
    predictions = teacher(texts)
    assert predictions[0].isnan().all()
    assert_right(predictions[1:], texts[1:])
    assert (teacher.queries, teacher.invalid) == (21, 1)


def test_smaller_portions_where_the_service_takes_no_larger_ones(service: Service) -> None:
    service.always = lambda handler, inputs: reply(handler, 413, "batch size") if len(inputs) > 4 else fine(handler, inputs)
    texts = ["x" * i for i in range(32)]
    assert_right(connect(service)(texts), texts)


@pytest.mark.parametrize("said", [[["positive"]], [[]], {"labels": []}, [[{"label": "a", "score": "high"}]]])
def test_a_service_of_another_kind_is_refused_at_once(service: Service, said: Any) -> None:
    service.always = saying(said)
    with pytest.raises(InputError, match="did not answer one text with labels and scores"):
        connect(service, None)


def test_a_model_that_classifies_nothing_is_refused_at_once(service: Service) -> None:
    service.always = saying({"error": "model is not a classifier"}, 424)
    with pytest.raises(InputError, match="HTTP 424: .*model is not a classifier"):
        connect(service, None)


@pytest.mark.parametrize(("labels", "texts"), [(None, 1), (["only", "other"], 32)])
@pytest.mark.parametrize("answer", [[{"label": "only", "score": 0.9}], {"label": "only", "score": 0.9}])
def test_a_service_that_gives_the_likeliest_label_alone_is_told_what_to_do(
    service: Service, labels: list[str] | None, texts: int, answer: Any
) -> None:
    service.always = saying([answer] * texts)
    with pytest.raises(InputError, match=r"^teacher: http.* one label only \(only\), .*top_k=None.*function"):
        connect(service, labels)(["a"] * texts)


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///predict",
        "http://host:port/predict",
        "http://a..b/predict",
        f"http://{'a' * 64}.com/predict?key=hidden",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(InputError, match="no host") as failure:
        load_teacher(url)
    assert "hidden" not in str(failure.value)


@pytest.mark.parametrize("url", ["http://*.x/predict?key=hidden", "http://two words/predict?key=hidden"])
def test_addresses_that_the_libraries_cannot_read_are_not_tried_again(url: str) -> None:
    started = time.monotonic()
    with pytest.raises(InputError, match=r"is no address \(.*\); expected http://host:8080/predict") as failure:
        HttpTeacher(url, ["a", "b"], backoff=9.0)(["a"])
    assert "hidden" not in str(failure.value) and time.monotonic() - started < 5


def test_an_error_of_urllib3_is_a_failure_like_others(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: object, **settings: object) -> None:
        raise LocationParseError("elsewhere")

    teacher = connect(service)
    monkeypatch.setattr(teacher._line._session, "post", failing)
    with pytest.raises(InputError, match="cannot be reached .*elsewhere.* 4 times in a row"):
        teacher(["a"])


def test_credentials_in_the_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(InputError, match="URL of host holds .*PROMPTER_TEACHER_TOKEN") as failure:
        load_teacher("http://me:pa55word@host/predict")
    assert "pa55word" not in str(failure.value)


def test_the_token_reaches_the_service_and_nothing_else(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PROMPTER_TEACHER_TOKEN", f" {TOKEN}\n")
    caplog.set_level("DEBUG")
    teacher = connect(service)
    teacher(["a"])
    assert service.tokens == [f"Bearer {TOKEN}"]
    other = Service()
    said = [repr(teacher), repr(teacher._line._session), str(teacher.info())]
    for trouble in (
        saying(f"no entry with {TOKEN}", 403),
        saying(f"{TOKEN} is too much", 503),
        saying("", 307, Location=other.url),
        saying("", 307, Location=f"http://elsewhere.test/?token={TOKEN}"),
        dropped,
    ):
        service.always = trouble
        with pytest.raises(InputError) as failure:
            teacher(["a"])
        said += [str(failure.value), repr(failure.value), str(failure.value.__cause__), str(failure.value.__context__)]
    service.always = saying({"echo": TOKEN})
    with pytest.raises(InputError, match=r"\*\*\*") as failure:
        teacher(["a"] * 64)
    assert other.requests == []
    assert TOKEN not in "".join([*said, str(failure.value), caplog.text])
    other.close()


def test_the_query_of_the_address_is_sent_and_not_shown(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    teacher = HttpTeacher(f"{service.url}?key=hid%2Bden&v=1", ["long", "short"], backoff=0.001, retries=1)
    page = "<pre>Cannot POST /predict?key=hid%2Bden&amp;v=1, that is hid+den, v=1</pre>"
    for trouble in (
        saying(page.encode(), 404),
        saying(page.encode(), 503),
        saying(page.encode(), 429, **{"Retry-After": "4000"}),
        saying("", 308, Location="https://elsewhere.test/hid+den/predict?key=hid%2Bden&v=1"),
    ):
        service.always = trouble
        with pytest.raises(InputError, match=r"\*\*\*") as failure:
            teacher(["a"])
        assert "den" not in str(failure.value) and "v=1" not in str(failure.value)
    service.always = saying(page.encode())
    with pytest.raises(InputError, match=r"unusable .*\*\*\*") as failure:
        teacher(["a"] * 64)
    assert "den" not in str(failure.value) + caplog.text.replace("hidden", "")
    assert set(service.paths) == {"/predict?key=hid%2Bden&v=1"}


def test_a_token_that_cannot_stand_in_a_header_is_refused_and_not_repeated(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for token in (f"{TOKEN}\nX-Other: 1", f"{TOKEN}é", f"two {TOKEN}"):
        monkeypatch.setenv("PROMPTER_TEACHER_TOKEN", token)
        with pytest.raises(InputError, match="PROMPTER_TEACHER_TOKEN: holds spaces") as failure:
            connect(service)
        assert TOKEN not in str(failure.value)


def test_info_names_the_model_where_the_service_tells(service: Service) -> None:
    teacher = connect(service)
    assert teacher.info() == {}
    service.info = {"model_id": "org/model", "model_sha": "abc", "version": "1.8"}
    assert teacher.info() == {"model_id": "org/model", "model_sha": "abc"}
    service.info = ["something", "else"]
    assert teacher.info() == {}


@pytest.mark.parametrize(
    "trouble", [saying("loading", 503), saying("", 500), saying("slowly", 429), saying("", 408), dropped, cut_off, slow]
)
def test_a_model_that_is_not_named_for_a_moment_is_asked_for_again(
    service: Service, trouble: Callable, tmp_path: Path
) -> None:
    service.info = {"model_id": "m", "model_sha": "abc"}
    CachedTeacher(connect(service), tmp_path / "a.sqlite", print)(["a", "b"])
    service.get_script = [trouble, trouble]
    again = CachedTeacher(connect(service, timeout=0.2), tmp_path / "a.sqlite", print)
    assert_right(again(["a", "b"]), ["a", "b"])
    assert (again.asked, len(service.texts)) == (0, 2)


@pytest.mark.parametrize(
    ("trouble", "said"), [(saying("loading", 503), "HTTP 503: .*loading"), (dropped, "cannot be reached")]
)
def test_a_service_that_stays_down_ends_in_one_line_before_any_text_is_asked(
    service: Service, trouble: Callable, said: str, tmp_path: Path
) -> None:
    service.get_script = [trouble] * 4
    with pytest.raises(InputError, match=f"{said}.* 4 times in a row"):
        CachedTeacher(connect(service), tmp_path / "a.sqlite", print)
    assert service.requests == []


@pytest.mark.parametrize("trouble", [saying("loading", 503), dropped])
def test_a_service_that_is_down_and_never_named_its_model_answers_from_the_cache(
    service: Service, trouble: Callable, tmp_path: Path
) -> None:
    CachedTeacher(connect(service), tmp_path / "a.sqlite", print)(["a", "b"])
    asked, said = len(service.requests), []
    service.get_script = [trouble] * 8
    again = CachedTeacher(connect(service), tmp_path / "a.sqlite", said.append)
    assert_right(again(["b", "a", "b"]), ["b", "a", "b"])
    assert len(service.requests) == asked
    assert "Its stored answers (it never named its model) are used until a text has none" in said[0]
    with pytest.raises(InputError, match="4 times in a row"):
        again(["a", "c"])
    assert len(service.requests) == asked and not service.get_script
    assert_right(again(["a", "c"]), ["a", "c"])  # it is back
    assert len(service.texts) == 3

    service.get_script = [trouble] * 4
    other = CachedTeacher(connect(service), tmp_path / "a.sqlite", said.append)
    service.info = {"model_id": "m", "model_sha": "abc"}
    assert_right(other(["a"]), ["a"])
    with pytest.raises(InputError, match="was down and now names its model, .* start again"):
        other(["a", "d"])


@pytest.mark.parametrize("trouble", [saying("loading", 503), dropped])
def test_a_service_that_is_down_answers_from_the_cache_as_the_model_that_it_named_last(
    service: Service, trouble: Callable, tmp_path: Path
) -> None:
    said: list[str] = []

    def opened() -> CachedTeacher:
        return CachedTeacher(connect(service), tmp_path / "a.sqlite", said.append)

    service.info = {"model_id": "first"}
    opened()(["x"])
    service.info = {"model_id": "second"}
    opened()(["a", "b"])
    asked = len(service.requests)
    service.get_script = [trouble] * 8
    again = opened()
    assert_right(again(["b", "a", "b"]), ["b", "a", "b"])
    assert "Its stored answers of the model that it named last are used until a text has none" in said[0]
    with pytest.raises(InputError, match="4 times in a row"):
        again(["a", "x"])  # it was the first model that was asked about x
    assert len(service.requests) == asked and not service.get_script
    assert_right(again(["a", "c"]), ["a", "c"])  # it is back

    service.get_script = [trouble] * 4
    other = opened()
    service.info = {"model_id": "third"}
    assert_right(other(["a"]), ["a"])
    with pytest.raises(InputError, match="was down and now names another model than before, .* start again"):
        other(["a", "d"])
    service.info, service.get_script = None, []
    opened()  # names none
    service.get_script = [trouble] * 4
    with pytest.raises(InputError, match="4 times in a row"):  # the newest word counts
        opened()


def test_a_service_without_such_a_page_has_none(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    for none in (
        saying("", 404),
        saying("", 405),
        saying("", 403),
        saying("", 501),
        saying(b"<html>"),
        saying("", 302, Location="/"),
    ):
        service.get_script = [none]
        assert connect(service).info() == {} and not service.get_script
    assert caplog.text == ""
    service.get_script = [saying("", 500)] * 4
    assert connect(service).info() == {} and not service.get_script
    assert "keeps answering HTTP 500, so which model answers is not known" in caplog.text


def test_what_a_piece_was_answered_is_kept_where_a_later_piece_fails(service: Service, tmp_path: Path) -> None:
    def singly(handler: BaseHTTPRequestHandler, inputs: list) -> None:
        if len(inputs) > 1:
            reply(handler, 413, {"error": "batch too large"})
        elif fails and sum(len(asked) == 1 for asked in service.requests) > 20:
            reply(handler, 401, {"error": "quota"})
        else:
            fine(handler, inputs)

    fails, service.always, texts = True, singly, [f"{i:03}" for i in range(32)]
    with pytest.raises(InputError, match="HTTP 401: .*quota"):
        CachedTeacher(connect(service, concurrency=1), tmp_path / "a.sqlite", print)(texts)
    fails = False
    again = CachedTeacher(connect(service), tmp_path / "a.sqlite", print)
    assert_right(again(texts), texts)
    assert again.asked == 12
    singles = Counter(inputs[0][0] for inputs in service.requests if len(inputs) == 1)
    assert sorted(singles.values()) == [1] * 31 + [2]  # the one that failed


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals to a thread are POSIX")
def test_what_is_under_way_at_an_interruption_is_kept(service: Service, tmp_path: Path) -> None:
    def interrupting(handler: BaseHTTPRequestHandler, inputs: list) -> None:
        if len(service.requests) == 4:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        slow(handler, inputs)

    service.always, texts = interrupting, [f"{i:03}" for i in range(40)]
    with pytest.raises(KeyboardInterrupt):
        CachedTeacher(connect(service, batch_size=2, concurrency=4), tmp_path / "a.sqlite", print)(texts)
    assert len(service.texts) == 8
    service.always = None
    again = CachedTeacher(connect(service), tmp_path / "a.sqlite", print)
    assert_right(again(texts), texts)
    assert again.asked == 32 and sorted(service.texts) == texts  # no text was sent twice


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    pace, begun = Pace(), time.monotonic()
    pace.hold(0.25)
    pace.hold(0.01)
    pace.wait()
    assert time.monotonic() - begun >= 0.25
