"""A language model as teacher, against a real server on this machine that misbehaves when a test tells it to."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.common.errors import InputError
from distill.teachers.config import Asking
from distill.teachers.loading import identity, load_teacher
from distill.teachers.names import teacher_name
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.services.chat_teacher import ChatTeacher
from tests.distill.service import Service, chat_inputs, cut_off, dressed, dropped, fine, not_json, reply, saying, share, slow

LABELS = ["short", "long"]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.delenv("PROMPTER_TEACHER_TOKEN", raising=False)
    service = Service("openai")
    yield service
    service.close()


def connect(service: Service, asking: Asking = Asking(), model: str = "org/model", **settings: Any) -> ChatTeacher:  # noqa: B008
    settings = {"labels": LABELS, "backoff": 0.001, "retries": 3, "timeout": 10.0} | settings
    return ChatTeacher(f"openai+{service.url}#{model}", settings.pop("labels"), asking, **settings)


def assert_right(predictions: torch.Tensor, texts: list[str]) -> None:
    torch.testing.assert_close(predictions[:, 1].exp(), torch.tensor([share(text) for text in texts]))


def test_a_request_and_its_answer(service: Service) -> None:
    teacher = load_teacher(f"openai+{service.url}#org/model", labels=LABELS, asking=Asking(task="a line"))
    assert isinstance(teacher, ChatTeacher)
    assert_right(teacher(["xyz"]), ["xyz"])
    assert service.paths == ["/v1/chat/completions"]
    payload = service.payloads[0]
    content = payload["messages"][0]["content"]
    assert (
        content.startswith("The text below is a line.")
        and "labels are: short, long." in content
        and content.endswith("Text: xyz\n\nLabel:")
    )
    assert (payload["model"], payload["temperature"], payload["logprobs"]) == ("org/model", 0, True)
    assert (payload["top_logprobs"], payload["max_tokens"]) == (20, 6)
    assert (teacher.queries, teacher.invalid, len(service.requests)) == (1, 0, 1)


def test_order_is_kept_whatever_passes(service: Service) -> None:
    service.script = [
        fine,
        slow,
        saying("busy", 503),
        dropped,
        cut_off,
        not_json,
        saying("busy", 429),
        saying({"choices": []}),
    ]
    texts = ["x" * (i * 7 % 101) for i in range(60)]
    teacher = connect(service, concurrency=5)
    assert_right(teacher(texts), texts)
    assert (teacher.queries, teacher.invalid) == (60, 0)
    assert service.most_at_once <= 5
    assert not Counter(texts) - Counter(service.texts)


def logprobs(**values: Any) -> Callable:
    def changed(said: dict) -> dict:
        [choice] = said["choices"]
        [place] = choice["logprobs"]["content"]
        return said | {"choices": [choice | {"logprobs": {"content": [place | values]}}]}

    return saying(changed)


def content(said: Any) -> Callable:
    return saying(lambda good: good | {"choices": [{"message": {"role": "assistant", "content": said}}]})


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (saying({"error": "no"}), "an answer without choices"),
        (saying([1, 2]), "an answer without choices"),
        (saying(b"[" * 100_000), "cut off or not JSON"),
        (cut_off, "cut off or not JSON"),
        (saying({"error": {"message": "context length exceeded"}}, 400), "HTTP 400: .*context length"),
        (logprobs(logprob=float("nan"), top_logprobs=[]), "log-probabilities that are not numbers"),
        (logprobs(token="<think>", top_logprobs=[]), "begins with '<think>', of which the labels hold 0.00%"),
        (content("I cannot say."), r"begins with 'I cannot say.', which is none of \['short', 'long'\]"),
        (content(None), "which is none of"),
    ],
)
def test_useless_answers_become_nan_and_stop_the_run(service: Service, trouble: Callable, reason: str) -> None:
    teacher = connect(service, concurrency=1)
    teacher(["fine"])
    service.always = trouble
    assert teacher(["a"] * 32).isnan().all()
    with pytest.raises(InputError, match=f"64 of 65 answers of .*{reason}"):
        teacher(["a"] * 32)


def refusing(*words: str) -> Callable:
    """A server that refuses requests with these parameters (or this many alternatives), and else answers."""

    def answer(handler: Any, inputs: list) -> None:
        payloads = handler.server.service.payloads
        payload = next(asked for asked in reversed(payloads) if chat_inputs(asked) == inputs)
        for word in words:
            name, _, most = word.partition(">")
            if name in payload and (not most or payload[name] > int(most)):
                instead = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
                reply(handler, 400, {"error": {"message": f"Unsupported parameter: '{name}'.{instead}"}})
                return
        said = dressed(handler, inputs)
        if "logprobs" not in payload:
            said["choices"][0].pop("logprobs")
        reply(handler, 200, said)

    return answer


@pytest.mark.parametrize(
    ("refused", "kept"),
    [
        (["max_tokens"], {"max_completion_tokens": 6, "temperature": 0, "logprobs": True, "top_logprobs": 20}),
        (["top_logprobs>5"], {"max_tokens": 6, "temperature": 0, "logprobs": True, "top_logprobs": 5}),
    ],
)
def test_what_a_server_refuses_is_asked_for_no_more(service: Service, refused: list[str], kept: dict) -> None:
    service.server.service = service  # type: ignore[attr-defined]
    service.always = refusing(*refused)
    teacher = connect(service)
    assert_right(teacher(["a", "bc", "def"]), ["a", "bc", "def"])
    assert teacher.queries == 3
    for payload in service.payloads[-3:]:
        assert {key: value for key, value in payload.items() if key not in ("model", "messages")} == kept


def test_a_service_that_names_labels_only(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.server.service = service  # type: ignore[attr-defined]
    service.always = refusing("logprobs")
    predictions = connect(service)(["", "x" * 50]).exp()
    torch.testing.assert_close(predictions, torch.tensor([[0.9, 0.1], [0.1, 0.9]]))
    assert caplog.text.count("gives no log-probabilities; the label that it names gets 90%") == 1


def test_a_model_that_would_rather_say_something_else_is_told(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    def rarely(said: dict) -> dict:
        [place] = said["choices"][0]["logprobs"]["content"]
        top = [item | {"logprob": item["logprob"] - 2} for item in place["top_logprobs"][:2]]
        top.append({"token": "The", "logprob": -0.2})
        message = {"role": "assistant", "content": "The text is"}
        return said | {"choices": [{"message": message, "logprobs": {"content": [top[2] | {"top_logprobs": top}]}}]}

    teacher = connect(service)
    teacher(["a"] * 40)
    assert caplog.text == ""
    service.always = saying(rarely)
    teacher = connect(service)
    assert_right(teacher(["a"] * 31), ["a"] * 31)
    assert caplog.text == ""
    teacher(["a"] * 40)
    assert caplog.text.count("answers with a label in 12% of the cases only, else for instance with 'The text is'") == 1


def test_a_refused_parameter_is_no_matter_once_the_service_has_answered(service: Service) -> None:
    teacher = connect(service)
    teacher(["fine"])
    service.script = [saying({"error": "temperature and logprobs"}, 400)]
    assert teacher(["a"]).isnan().all()
    assert_right(teacher(["b"]), ["b"])
    assert service.payloads[-1]["top_logprobs"] == 20


@pytest.mark.parametrize("refused", [1, 8])
def test_what_a_server_refuses_counts_once_however_many_requests_meet_it(service: Service, refused: int) -> None:
    def late(handler: Any, inputs: list) -> None:
        time.sleep(0.05)  # requests with 20 alternatives are under way when the first one of them is refused
        refusing("top_logprobs>5")(handler, inputs)

    service.server.service = service  # type: ignore[attr-defined]
    service.script, service.always = [saying({"error": "content policy"}, 400)] * refused, late
    texts = ["x" * i for i in range(30)]
    predictions = connect(service, concurrency=8)(texts)
    assert predictions[:refused].isnan().all()
    assert_right(predictions[refused:], texts[refused:])
    assert service.payloads[-1]["top_logprobs"] == 5


@pytest.mark.parametrize(
    ("asked", "answers", "fits"),
    [
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", True),
        ("gpt-3.5-turbo", "gpt-3.5-turbo-0125", True),
        ("org/model", "org/model", True),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", False),
        ("org/model", "org/model-large", False),
        ("org/model", "other", False),
    ],
)
def test_another_model_is_refused(service: Service, asked: str, answers: str, fits: bool) -> None:
    service.always = saying(lambda good: good | {"model": answers})
    teacher = connect(service, model=asked)
    if fits:
        assert teacher(["a"]).isfinite().all()
        service.always = saying(lambda good: good | {"model": f"{answers}-2099-01-01"})  # the teacher moves
    with pytest.raises(InputError, match="was asked for the model .* answers; name the model behind the '#'"):
        teacher(["b"])


def test_what_must_be_said(service: Service) -> None:
    with pytest.raises(InputError, match="names no model; write openai[+]http://HOST/v1#MODEL"):
        connect(service, model="")
    with pytest.raises(InputError, match="teacher_labels is missing: give the labels between which"):
        connect(service, labels=None)
    with pytest.raises(InputError, match="differ in more than capitals"):
        connect(service, labels=["a", "A"])
    with pytest.raises(InputError, match="teacher_prompt: .* has no {text}"):
        connect(service, Asking(prompt="Classify"))
    with pytest.raises(InputError, match="pairs of texts"):
        connect(service)(["a"], ["b"])
    with pytest.raises(InputError, match="user name or password"):
        ChatTeacher("openai+http://me:pw@host/v1#m", LABELS, Asking())
    assert service.requests == []


def test_the_token_reaches_the_service_and_nothing_else(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTER_TEACHER_TOKEN", "s3cret")
    other = Service("openai")
    teacher = connect(service)
    teacher(["a"])
    service.always = saying("", 307, Location=other.url)
    with pytest.raises(InputError, match="which is not followed"):
        teacher(["a"])
    service.always = saying({"error": "bad key s3cret"}, 401)
    with pytest.raises(InputError, match=r"bad key \*\*\*"):
        teacher(["a"])
    unnamed = load_teacher(f"openai+{service.url}#org/model", labels=LABELS, own=False)
    service.always = None
    unnamed(["a"])
    assert service.tokens[0] == "Bearer s3cret" and service.tokens[-1] is None and other.requests == []
    monkeypatch.setenv("PROMPTER_TEACHER_HOST", "elsewhere.test")
    connect(service)(["a"])
    assert service.tokens[-1] is None
    other.close()


def test_the_key_in_an_address_is_sent_and_not_shown(service: Service) -> None:
    teacher = ChatTeacher(f"openai+{service.url}?key=hidden#org/model", LABELS, Asking())
    teacher(["a"])
    assert service.paths == ["/v1/chat/completions?key=hidden"]
    assert "hidden" not in teacher.path and teacher.path.endswith("/v1#org/model")
    assert teacher_name(teacher.address) == teacher.path


def test_answers_are_kept_by_model_and_request(service: Service, tmp_path: Path) -> None:
    texts = [f"{i:03}" for i in range(20)]
    first = CachedTeacher(connect(service, concurrency=2, retries=0), tmp_path / "a.sqlite", print)
    service.script = [fine] * 6 + [saying("", 500)]
    with pytest.raises(InputError, match="HTTP 500"):
        first(texts)
    answered = len(service.requests) - 1
    again = CachedTeacher(connect(service), tmp_path / "a.sqlite", print)
    assert_right(again(texts), texts)
    assert again.asked == 20 - answered and len(service.requests) == 21
    same = [connect(service), connect(service, Asking(rate=5.0))]
    other = [connect(service, Asking(task="x")), connect(service, model="m"), connect(service, labels=["long", "short"])]
    assert len({identity(teacher) for teacher in same}) == 1
    assert len({identity(teacher) for teacher in [*same, *other]}) == 4
