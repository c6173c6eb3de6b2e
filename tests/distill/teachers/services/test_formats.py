"""Inference Endpoints and vLLM as teachers, against real servers on this machine that misbehave when a test tells them to."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import pipeline

from distill.common.errors import InputError
from distill.kinds.names import GivenKind
from distill.teachers.loading import identity, load_teacher
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.services.formats import read_json
from distill.teachers.services.http_teacher import HttpTeacher
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.service import Service, cut_off, dropped, fine, not_json, reply, saying, share, slow

LABELS = ["short", "long"]


@pytest.fixture(params=["endpoint", "vllm"])
def form(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def service(form: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.delenv("PROMPTER_TEACHER_TOKEN", raising=False)
    service = Service(form)
    yield service
    service.close()


def connect(service: Service, form: str, labels: list[str] | None = LABELS, model: str = "", **settings: Any) -> HttpTeacher:
    settings = {"backoff": 0.001, "retries": 3, "timeout": 10.0} | settings
    return HttpTeacher(f"{form}+{service.url}{model}", labels, **settings)


def assert_right(predictions: torch.Tensor, texts: list[str]) -> None:
    torch.testing.assert_close(predictions[:, 1].exp(), torch.tensor([share(text) for text in texts]))


def test_answers_come_in_order_whatever_passes(service: Service, form: str) -> None:
    service.script = [slow, saying("busy", 503), dropped, fine, cut_off, not_json, saying("busy", 429)]
    texts = ["x" * (i * 7 % 101) for i in range(100)]
    teacher = connect(service, form, batch_size=8, concurrency=5)
    assert_right(teacher(texts), texts)
    assert (teacher.queries, teacher.invalid) == (100, 0)
    assert teacher.path == f"{form}+{service.url}"


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (saying({"error": "no"}), 'a dict for 32 texts: {"error": "no"}'),
        (saying([1, 2]), "2 answers for 32 texts|a list for 32 texts"),
        (saying({"error": "text too long"}, 400), "HTTP 400: .*text too long"),
        (saying(b'{"data": [NaN' + b"]" * 3), "cut off or not JSON"),
        (saying(b"[" * 100_000), "cut off or not JSON"),
    ],
)
def test_useless_answers_become_nan_and_stop_the_run(service: Service, form: str, trouble: Callable, reason: str) -> None:
    teacher = connect(service, form, concurrency=1)
    teacher(["fine"])
    service.always = trouble
    assert teacher(["a"] * 32).isnan().all()
    with pytest.raises(InputError, match=f"64 of 65 answers of .*{reason}"):
        teacher(["a"] * 32)


def changed(**values: Any) -> Callable:
    return saying(lambda said: said | {"data": [item | values for item in said["data"]]})


@pytest.mark.parametrize("form", ["vllm"], indirect=True)
@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (changed(probs=[float("nan"), 1.0]), "finite"),
        (changed(probs=[3.5, 0.5]), r"sum 1, such as \[3.5 0.5\]"),
        (changed(probs=None), "answers without 'probs'"),
        (changed(probs=["high", "low"]), "answers without 'probs'"),
        (changed(probs=[0.2, 0.3, 0.5]), r"labels \['3 classes'\] instead of"),
        (changed(label="other"), r"labels .*other at position .* instead of"),
        (changed(index=0), "'index' is not the number of a text"),
        (changed(index="first"), "'index' is not the number of a text"),
        (saying(lambda said: said | {"data": said["data"][1:]}), "31 answers for 32 texts"),
    ],
)
def test_answers_of_vllm_that_are_none(service: Service, form: str, trouble: Callable, reason: str) -> None:
    teacher = connect(service, form, concurrency=1)
    teacher(["fine"])
    service.always = trouble
    assert teacher(["a"] * 32).isnan().all()
    with pytest.raises(InputError, match=f"64 of 65 answers of .*{reason}"):
        teacher(["a"] * 32)


@pytest.mark.parametrize("form", ["vllm"], indirect=True)
def test_vllm_needs_the_names_in_its_order_and_says_so(service: Service, form: str) -> None:
    with pytest.raises(InputError, match="teacher_labels is missing: .*does not name its classes.*id2label"):
        connect(service, form, None)
    assert service.requests == []
    with pytest.raises(InputError, match=r"teacher_labels: .*'long at position 1'.*in the order of its outputs"):
        connect(service, form, ["long", "short"])(["xyz"])
    assert_right(connect(service, form, ["Short", "LONG"])(["xyz"]), ["xyz"])
    service.always = saying(lambda said: said | {"data": [item | {"label": "LABEL_1"} for item in said["data"]]})
    assert_right(connect(service, form, ["brief", "lengthy"])(["xyz"]), ["xyz"])  # the model only numbers them


@pytest.mark.parametrize("form", ["vllm"], indirect=True)
def test_classes_that_are_equally_likely_contradict_no_name(service: Service, form: str) -> None:
    for label in ("short", "long", "LABEL_1"):
        service.always = changed(probs=[0.5, 0.5], label=label)
        assert connect(service, form)(["a"]).exp().tolist() == [[0.5, 0.5]]
    service.always = changed(probs=[0.51, 0.49], label="long")
    with pytest.raises(InputError, match="'long at position 0'"):
        connect(service, form)(["a"])


@pytest.mark.parametrize("form", ["vllm"], indirect=True)
def test_the_model_that_answers_is_the_one_that_was_named(service: Service, form: str) -> None:
    assert_right(connect(service, form, model="#org/model")(["xyz"]), ["xyz"])
    with pytest.raises(InputError, match="asked for the model 'other', but 'org/model' answers; give the name of a model"):
        connect(service, form, model="#other")(["xyz"])
    teacher = connect(service, form)
    teacher(["a"])
    service.always = saying(lambda said: said | {"model": "newer"})
    with pytest.raises(InputError, match="asked for the model 'org/model', but 'newer' answers"):
        teacher(["a"])


@pytest.mark.parametrize("form", ["vllm"], indirect=True)
def test_models_of_vllm_have_answers_of_their_own(service: Service, form: str) -> None:
    before = identity(connect(service, form))
    service.info = {"data": [{"id": "org/model", "root": "org/model"}, {"id": "lora", "root": "other"}]}
    assert connect(service, form).info() == {"id": "org/model", "root": "org/model"}
    assert connect(service, form, model="#lora").info() == {"id": "lora", "root": "other"}
    names = {before, identity(connect(service, form)), identity(connect(service, form, model="#lora"))}
    assert len(names) == 3


def test_pairs(service: Service, form: str) -> None:
    if form == "vllm":
        with pytest.raises(InputError, match="takes single texts only"):
            connect(service, form)(["abc"], ["x"])
    else:
        connect(service, form)(["abc", "d"], ["x", "y"])
        assert service.requests == [[["abc", "x"], ["d", "y"]]]


@pytest.mark.parametrize("form", ["endpoint"], indirect=True)
def test_an_endpoint_answers_as_the_pipeline_behind_it(service: Service, form: str, bert_folder: Path) -> None:
    behind = pipeline("text-classification", model=str(bert_folder), device="cpu")

    def handler(handler: Any, inputs: list) -> None:  # what Inference Endpoints do with a request
        reply(handler, 200, behind([text for (text,) in inputs], top_k=None, truncation=True))

    service.always = handler
    asked, here = load_teacher(f"endpoint+{service.url}"), TransformersTeacher(bert_folder, "cpu")
    texts = ["the sea", "a field of a town", "sea sea sea"]
    columns = [asked.labels.index(label) for label in here.labels]
    torch.testing.assert_close(asked(texts)[:, columns], here(texts), atol=1e-5, rtol=1e-4)


def test_a_plain_address_that_refuses_everything_says_what_to_write() -> None:
    service = Service()
    service.always = saying({"error": "field 'input' is missing"}, 400)
    with pytest.raises(InputError, match="HTTP 400.*missing.*write endpoint[+] before .*vllm[+]"):
        HttpTeacher(service.url)
    with pytest.raises(InputError, match=r"missing\W*\); expected"):
        HttpTeacher(f"tei+{service.url}")
    service.close()


def test_the_token_is_not_carried_on(service: Service, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTER_TEACHER_TOKEN", "s3cret")
    other = Service(form)
    teacher = connect(service, form)
    service.script = [fine, saying("", 307, Location=other.url)]
    teacher(["a"])
    with pytest.raises(InputError, match="redirects to .*, which is not followed"):
        teacher(["a"])
    assert (set(service.tokens), other.requests) == ({"Bearer s3cret"}, [])
    unnamed = load_teacher(f"{form}+{service.url}", labels=LABELS, own=False)
    unnamed(["a"])
    assert service.tokens[-1] is None
    other.close()


def test_no_text_is_paid_for_twice_where_a_call_fails_half_way(service: Service, form: str, tmp_path: Path) -> None:
    texts = [f"{i:03}" for i in range(40)]
    teacher = CachedTeacher(connect(service, form, batch_size=4, concurrency=2, retries=0), tmp_path / "a.sqlite", print)
    service.script = [fine] * 5 + [saying("", 500)]
    with pytest.raises(InputError, match="HTTP 500"):
        teacher(texts)
    answered = len(service.texts) - 4
    again = CachedTeacher(connect(service, form, batch_size=4), tmp_path / "a.sqlite", print)
    assert_right(again(texts), texts)
    assert answered >= 20 and again.asked == 40 - answered
    assert len(service.texts) == 40 + 4  # only the portion that failed was sent again


@pytest.fixture
def tei(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.delenv("PROMPTER_TEACHER_TOKEN", raising=False)
    service = Service()
    yield service
    service.close()


def logits_of(inputs: list) -> list[list[float]]:
    return [[len(text) / 2 - 1, 0.25, -1.5] for (text,) in inputs]


def as_tei(service: Service, names: Sequence[str] = "abc", heeds: bool = True) -> Callable:
    """text-embeddings-inference with a model of several outputs: softmax, unless it is asked for raw scores.

    Or a service of somebody's own with independent probabilities, which does not heed what it is asked for.
    """

    def answer(handler: Any, inputs: list) -> None:
        outputs = torch.tensor(logits_of(inputs))[:, : len(names)]
        if not heeds:
            outputs = outputs.sigmoid()
        elif not service.payloads[-1]["raw_scores"]:
            outputs = outputs.softmax(1) if len(names) > 1 else outputs.sigmoid()
        rows = [[{"label": name, "score": score} for name, score in zip(names, row, strict=True)] for row in outputs.tolist()]
        reply(handler, 200, [sorted(row, key=lambda item: -item["score"]) for row in rows])

    return answer


@pytest.mark.parametrize("labels", [None, ["a", "b", "c"]])
@pytest.mark.parametrize(("heeds", "requests"), [(True, 2), (False, 3)])
def test_several_labels_behind_tei_are_independent(tei: Service, labels: list[str] | None, heeds: bool, requests: int) -> None:
    tei.always, texts = as_tei(tei, heeds=heeds), [["x" * length] for length in range(12)]
    teacher = HttpTeacher(tei.url, labels, given=GivenKind("multi_label"), batch_size=6, concurrency=1)
    torch.testing.assert_close(teacher([text for (text,) in texts]), torch.tensor(logits_of(texts)), atol=1e-4, rtol=1e-4)
    assert len(tei.requests) == requests + (labels is None)
    assert teacher.queries == 12 + (labels is None)


def test_outputs_between_0_and_1_are_compared_with_what_comes_else(tei: Service) -> None:
    tei.always = as_tei(tei, "ab")
    teacher = HttpTeacher(tei.url, ["a", "b"], given=GivenKind("multi_label"))
    torch.testing.assert_close(teacher(["xx", "xxx"]), torch.tensor([[0.0, 0.25], [0.5, 0.25]]))
    assert [payload["raw_scores"] for payload in tei.payloads] == [True, False]


def test_a_score_behind_tei_is_the_output_of_its_model(tei: Service) -> None:
    tei.always = as_tei(tei, ["LABEL_0"])
    for labels in (None, ["stars"]):
        teacher = HttpTeacher(tei.url, labels, given=GivenKind("score", -5.0, 5.0))
        assert teacher(["", "x" * 8]).tolist() == [[-1.0], [3.0]]
    assert all(payload["raw_scores"] for payload in tei.payloads)
    assert identity(teacher) != identity(HttpTeacher(tei.url, ["stars", "s"]))


def test_one_class_is_asked_for_as_before(tei: Service) -> None:
    assert HttpTeacher(tei.url)(["a"]).isfinite().all()
    assert not any(payload["raw_scores"] for payload in tei.payloads)


def test_classes_that_a_service_only_numbers_have_the_given_names(tei: Service, caplog: pytest.LogCaptureFixture) -> None:
    tei.always = as_tei(tei, ["LABEL_0", "LABEL_1", "LABEL_2"])
    texts = ["x" * (length % 9) for length in range(40)]
    expected = torch.tensor(logits_of([[text] for text in texts])).log_softmax(1)
    teacher = HttpTeacher(tei.url, ["u", "v", "w"], batch_size=2)
    teacher.labels = ["w", "u", "v"]  # as a task orders them
    torch.testing.assert_close(teacher(texts), expected[:, [2, 0, 1]])
    assert caplog.text.count("only numbers its classes; as teacher_labels says, LABEL_0 is u, LABEL_1 is v, LABEL_2 is w") == 1
    turned = HttpTeacher(tei.url, ["LABEL_2", "LABEL_0", "LABEL_1"])
    torch.testing.assert_close(turned(texts), expected[:, [2, 0, 1]])
    with pytest.raises(InputError, match=r"answers with .*'LABEL_0', 'LABEL_1', 'LABEL_2'.*; give these names"):
        HttpTeacher(tei.url, ["u", "v"])(texts)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (rb'["\ud83d film"]', ["? film"]),
        (b'["\xed\xa0\xbd film"]', ["? film"]),
        (rb'["\uD83D\uDE00", 0.1, NaN]', ["\U0001f600", 0.1]),
        (b'\xef\xbb\xbf{"a": 1e-300}', {"a": 1e-300}),
    ],
)
def test_half_a_character_does_not_come_in(body: bytes, said: Any) -> None:
    found, problem = read_json(body)
    assert problem == "" and (found if isinstance(found, dict) else found[:2]) == said
