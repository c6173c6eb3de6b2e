"""The writer on a server, against a server on this machine: what it asks for, and what it makes of the answers."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.common.errors import InputError
from prompter import Prompter
from prompter.generation.completions import read_completion
from prompter.generation.config import WriterConfig, split_writer
from prompter.generation.outside.server_writer import ServerWriter
from tests.distill.service import dropped, reply
from tests.prompter.completions_server import MODEL, CompletionsServer
from tests.prompter.tiny import WORDS

EOS = WORDS.index("<eos>")
CONFIG = WriterConfig(writer_max_new_tokens=6, writer_min_new_tokens=3, writer_top_p=0.9, writer_temperature=0.7)
TEXTS = {"w1 w2 w3 . w4", "w1 w2 w3 ."}  # ended by the model, or cut and then trimmed


@pytest.fixture(autouse=True)
def no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("TEACHER", "WRITER"):
        monkeypatch.delenv(f"PROMPTER_{role}_TOKEN", raising=False)
        monkeypatch.delenv(f"PROMPTER_{role}_HOST", raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[..., CompletionsServer]]:
    made: list[CompletionsServer] = []

    def start(*arguments: Any, **settings: Any) -> CompletionsServer:
        made.append(CompletionsServer(*arguments, **settings))
        return made[-1]

    yield start
    for server in made:
        server.close()


def connect(server: CompletionsServer, lm: Path, config: WriterConfig = CONFIG, **settings: Any) -> ServerWriter:
    return ServerWriter(
        f"{server.url}#{MODEL}", str(lm), config, **({"backoff": 0.001, "retries": 2, "timeout": 5.0} | settings)
    )


def saying(status: int, said: Any, **headers: str) -> Callable:
    return lambda handler, good: reply(handler, status, said, headers)


def changed(**fields: Any) -> Callable:
    return lambda handler, good: reply(handler, 200, good | fields)


def test_it_asks_as_the_writer_samples(serve: Callable, lm_folder: Path) -> None:
    server = serve()
    writer = connect(server, lm_folder)
    written = writer.write(["good bad", "", " good\n"], 1, 2)
    assert {text.removeprefix("good bad ").removeprefix("good ") for text in written.texts} <= TEXTS
    assert written.texts[0].startswith("good bad w1") and written.texts[2].startswith("good w1")
    assert written.logprob_mean.tolist() == [-2.0, -2.0, -2.0]
    assert {tuple(asked["prompt"]) for asked in server.asked} == {(EOS, 3, 4), (EOS,), (EOS, 3)}
    sent = server.asked[0]
    assert (sent["model"], sent["max_tokens"], sent["min_tokens"], sent["top_p"], sent["temperature"]) == (
        MODEL,
        6,
        3,
        0.9,
        0.7,
    )
    assert (sent["top_k"], sent["min_p"], sent["repetition_penalty"], sent["stop_token_ids"]) == (0, 0.0, 1.0, [EOS])
    assert server.paths[0] == "/v1/completions"
    assert writer.context_length == 64 and writer.served == {"id": MODEL, "root": "/models/writer"}
    assert writer.write([], 0, 0).texts == []


def test_each_row_has_a_seed_of_its_own_and_keeps_it(serve: Callable, lm_folder: Path) -> None:
    server = serve()
    writer, calls = connect(server, lm_folder), []
    for counter in (2, 2, 3):
        server.asked.clear()
        writer.write(["good bad", "good", "bad"], 1, counter)
        calls.append({tuple(asked["prompt"]): asked["seed"] for asked in server.asked})
    assert calls[0] == calls[1] != calls[2]
    assert len(set(calls[0].values())) == 3 and all(0 < seed < 2**31 for seed in calls[0].values())


def test_requests_are_together_but_bounded_and_in_order(serve: Callable, lm_folder: Path) -> None:
    server = serve()
    writer = connect(server, lm_folder, replace(CONFIG, writer_batch_size=4))
    server.pause = 0.02
    topics, done = [f"w{i % 25} w{i // 25}" for i in range(40)], []
    written = writer.write(topics, 0, 0, progress=done.append)
    assert all(text.startswith(f"{topic} w1") for text, topic in zip(written.texts, topics, strict=True))
    assert 2 <= server.most_at_once <= 4 and done == list(range(1, 41))


def test_a_long_topic_loses_its_beginning_in_the_prompt_alone(serve: Callable, lm_folder: Path) -> None:
    server = serve()
    topic = " ".join(f"w{i % 25}" for i in range(80))
    assert connect(server, lm_folder).write([topic], 0, 0).texts[0].startswith(topic)
    assert len(server.asked[0]["prompt"]) == 64 - 6


@pytest.mark.parametrize("kind", ["llama.cpp", "openai", "tgi"])
def test_servers_that_allow_less(kind: str, serve: Callable, lm_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(kind)
    writer = connect(server, lm_folder, replace(CONFIG, writer_top_p=1.0))
    with caplog.at_level(logging.WARNING):
        written = writer.write(["good bad", "good", "bad"], 1, 2)
    assert all(text.startswith(topic) for text, topic in zip(written.texts, ("good bad", "good", "bad"), strict=True))
    lacks = "gives no log-probabilities" in caplog.text
    assert lacks is (kind == "tgi") and torch.isnan(written.logprob_mean).all().item() is lacks
    assert written.new_tokens >= 15
    if kind == "tgi":  # text, because it takes no token ids
        assert sorted(asked["prompt"] for asked in server.asked[-3:]) == ["<eos> bad", "<eos> good", "<eos> good bad"]
        assert "top_p" not in server.asked[-1] and "reads" not in caplog.text


def test_the_context_that_llama_cpp_lists_is_kept_to(serve: Callable, lm_folder: Path) -> None:
    server = serve("llama.cpp")
    writer = connect(server, lm_folder)
    assert writer.context_length == 64 and writer.served == {"id": MODEL}
    writer.write([" ".join(f"w{i % 25}" for i in range(80))], 0, 0)
    assert len(server.asked[0]["prompt"]) == 64 - 6
    server.listed["data"][0]["meta"] = "none"
    assert connect(server, lm_folder).context_length is None


def test_half_a_character_of_the_server_becomes_a_question_mark(serve: Callable, lm_folder: Path) -> None:
    server = serve()
    said = b'{"model": "%s", "choices": [{"text": " w1 \\ud83d w2", "finish_reason": "stop"}]}' % MODEL.encode()
    server.always = saying(200, said)
    assert connect(server, lm_folder).write(["good"], 0, 0).texts == ["good w1 ? w2"]


def test_a_text_that_the_server_cuts_is_said_once(serve: Callable, lm_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = serve("llama.cpp", listed=False)
    short = changed(choices=[{"text": " w1 w2", "finish_reason": "length", "logprobs": {"content": [{"logprob": -2.0}] * 2}}])
    server.always = lambda handler, good: short(handler, good | {"usage": {"prompt_tokens": 60, "completion_tokens": 2}})
    with caplog.at_level(logging.WARNING):
        written = connect(server, lm_folder).write(["good", "bad", "good bad"], 0, 0)
    assert written.texts == ["good w1 w2", "bad w1 w2", "good bad w1 w2"]
    assert caplog.text.count("cut a text after 2 of 6 tokens") == 1


def test_a_token_that_the_server_puts_before_the_text_is_not_sent(
    serve: Callable, lm_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve("tgi", doubles=True)
    writer = connect(server, lm_folder)
    writer.write(["good bad", "good"], 1, 2)
    assert sorted(asked["prompt"] for asked in server.asked[-2:]) == ["good", "good bad"]
    assert "reads" not in caplog.text


def test_a_server_that_reads_something_else_is_said(
    serve: Callable, lm_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve()
    server.script = [changed(usage={"prompt_tokens": 40, "completion_tokens": 6})]
    connect(server, lm_folder).write(["good", "bad"], 0, 0)
    assert caplog.text.count("reads 40 tokens where 2 are meant") == 1


@pytest.mark.parametrize(
    "trouble",
    [
        saying(503, "busy"), saying(429, "slowly"), saying(500, ""), dropped, saying(200, b"{"), changed(choices=[]),
        changed(choices=[{"text": None}]), changed(choices=[{"text": "x", "finish_reason": "abort"}]),
        changed(choices=[{"text": "x", "logprobs": {"token_logprobs": [None]}, "finish_reason": "stop"}]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("first", [True, False])
def test_what_passes_is_asked_again(trouble: Callable, first: bool, serve: Callable, lm_folder: Path) -> None:
    server = serve()
    writer = connect(server, lm_folder)
    if not first:
        writer.write(["good"], 0, 0)
    server.script = [trouble, trouble]
    asked = len(server.asked)
    assert writer.write(["good"], 1, 0).texts[0].removeprefix("good ") in TEXTS
    seeds = [payload["seed"] for payload in server.asked[asked:]]
    assert len(seeds) == 3 and len(set(seeds)) == 1


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (
            changed(choices=[]),
            "answered 3 times in a row with an answer without choices: .*; look into the server's log",
        ),
        (saying(200, b"<html>"), "3 times in a row with an answer that is cut off or not JSON: <html>"),
        (saying(503, {"error": "loading"}), "answered HTTP 503: .*loading.* 3 times in a row; wait until the service works"),
        (dropped, "cannot be reached .* 3 times in a row; check the address"),
        (saying(404, {"error": "no"}), "HTTP 404.*give the full address, such as http://host:8000/v1"),
        (saying(401, ""), "HTTP 401.*PROMPTER_WRITER_TOKEN"),
        (saying(400, {"error": "maximum context length is 8"}), "HTTP 400.*maximum context length is 8"),
        (saying(307, "", Location="http://evil.example/"), "redirects to http://evil.example/, which is not followed"),
        (changed(model="org/other"), "was asked for the model 'org/writer', but 'org/other' answers"),
    ],
)
def test_what_stays_is_one_clear_line(trouble: Callable, said: str, serve: Callable, lm_folder: Path) -> None:
    server = serve()
    server.always = trouble
    with pytest.raises(InputError, match=rf"^writer: http://127.*{said}") as caught:
        connect(server, lm_folder).write(["good", "bad"], 0, 0)
    assert "\n" not in str(caught.value) and "teacher" not in str(caught.value)


def without_text(handler: Any, good: dict) -> None:
    reply(handler, 200, good | {"choices": [{"text": "half a text", "finish_reason": "content_filter"}]})


NO_TEXT = [
    saying(400, {"error": {"message": "This model's maximum context length is 16 tokens"}}),
    saying(413, ""),
    without_text,
    changed(choices=[{"text": "x", "finish_reason": "abort"}]),
    changed(choices=[{"text": "x", "logprobs": {"token_logprobs": [float("-inf"), -1.0]}, "finish_reason": "stop"}]),
    changed(choices=[{"text": "x", "logprobs": {"token_logprobs": [None, -1.0]}, "finish_reason": "stop"}]),
]
EMPTY = changed(choices=[{"text": "", "finish_reason": "stop", "logprobs": None}])


def only_for(word: str, trouble: Callable) -> Callable:
    """Trouble with the requests that hold a word, by its number."""
    number = WORDS.index(word)

    def answer(handler: Any, good: Any) -> None:
        prompt = handler.server.asking.asked[-1]["prompt"]
        meant = word in prompt.split() if isinstance(prompt, str) else number in prompt
        (trouble if meant else lambda handler, good: reply(handler, 200, good))(handler, good)

    return answer


@pytest.mark.parametrize("trouble", [*NO_TEXT, EMPTY])
@pytest.mark.parametrize("place", [0, 5])
def test_a_text_that_the_server_does_not_write_ends_with_its_topic(
    trouble: Callable, place: int, serve: Callable, lm_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve()
    server.server.asking = server
    server.always = only_for("bad", trouble)
    topics = ["good"] * 12
    topics[place] = "good bad"
    writer = connect(server, lm_folder, replace(CONFIG, writer_batch_size=1))
    with caplog.at_level(logging.WARNING):
        written = writer.write(topics, 0, 0)
    assert written.texts[place] == "good bad" and torch.isnan(written.logprob_mean[place])
    rest = [text for number, text in enumerate(written.texts) if number != place]
    assert all(text.removeprefix("good ") in TEXTS for text in rest)
    assert torch.isnan(written.logprob_mean).sum() == 1
    assert caplog.text.count("gives no text for a request") == 1 and caplog.text.count("writer:") == 1
    assert server.asked[-1]["min_tokens"] == 3  # what one text meets says nothing about the settings


@pytest.mark.parametrize("trouble", NO_TEXT)
@pytest.mark.parametrize("answered", [0, 4])
def test_a_server_that_mostly_writes_nothing_is_not_asked_further(
    trouble: Callable, answered: int, serve: Callable, lm_folder: Path
) -> None:
    server = serve()
    writer = connect(server, lm_folder, replace(CONFIG, writer_batch_size=1))
    if answered:
        writer.write(["good"] * answered, 0, 0)
    server.always = trouble
    with pytest.raises(InputError, match=rf"^writer: http.* gave no text for 8 of {8 + answered} requests \(.*\); .*, then"):
        writer.write(["good"] * 100, 0, 1)
    assert len(server.asked) < 400


def test_second_texts_that_a_server_does_not_write_are_not_outweighed_by_first_ones(serve: Callable, lm_folder: Path) -> None:
    server = serve()
    server.server.asking = server
    server.always = only_for("bad", saying(400, "too long"))
    writer = connect(server, lm_folder, replace(CONFIG, writer_batch_size=1))
    for number in range(2):
        writer.write(["good"] * 20, 0, number)
        with pytest.raises(InputError, match="gave no text for 8 of 8 requests"):
            writer.sampling(writer.config).write(["bad"] * 20, 0, number)


def test_a_server_whose_texts_are_all_empty_is_not_asked_further(serve: Callable, lm_folder: Path) -> None:
    server = serve()
    writer = connect(server, lm_folder, replace(CONFIG, writer_batch_size=1))
    server.always = EMPTY
    with pytest.raises(InputError, match=r"gave no text for 8 of 8 requests \(an empty text\); see whether it serves the gen"):
        writer.write(["good"] * 100, 0, 1)
    assert len(server.asked) < 50
    server.always, half = None, connect(server, lm_folder, replace(CONFIG, writer_batch_size=1))
    half.write(["good"] * 10, 0, 0)
    server.always = EMPTY
    assert half.write(["good"] * 10, 0, 0).texts == ["good"] * 10  # a model may end many texts at once


def test_another_model_of_the_same_server_is_not_taken(serve: Callable, lm_folder: Path) -> None:
    server = serve()
    with pytest.raises(InputError, match=r"has no model 'org/write', but org/writer: name one .* Did you mean 'org/writer'"):
        ServerWriter(f"{server.url}#org/write", str(lm_folder), CONFIG)
    with pytest.raises(InputError, match=f"has no model '{lm_folder}'"):  # the generator's name
        ServerWriter(server.url, str(lm_folder), CONFIG)
    assert not server.asked
    unlisted = serve(model=str(lm_folder), listed=False)
    assert ServerWriter(unlisted.url, str(lm_folder), CONFIG).write(["good"], 0, 0).texts


def test_a_setting_that_the_user_chose_is_not_dropped(serve: Callable, lm_folder: Path) -> None:
    with pytest.raises(InputError, match="writer_top_k is 5, but .* does not take top_k: give --writer_top_k 0"):
        connect(serve("openai"), lm_folder, replace(CONFIG, writer_top_p=1.0, writer_top_k=5)).write(["good"], 0, 0)
    with pytest.raises(InputError, match="writer_max_new_tokens is 64, expected at most 63"):
        connect(serve(), lm_folder, WriterConfig(writer_max_new_tokens=64))


def test_a_later_answer_without_logprobs_is_no_answer(serve: Callable, lm_folder: Path) -> None:
    server = serve()
    writer = connect(server, lm_folder)
    writer.write(["good"], 0, 0)
    server.always = changed(choices=[{"text": " w1", "finish_reason": "stop"}])
    with pytest.raises(InputError, match="3 times in a row with an answer without log-probabilities"):
        writer.write(["good"], 0, 1)


def test_the_token_of_the_writer_goes_to_the_writer_alone(
    serve: Callable, lm_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTER_TEACHER_TOKEN", "t3acher")
    server = serve()
    connect(server, lm_folder).write(["good"], 0, 0)
    assert set(server.tokens) == {None}
    monkeypatch.setenv("PROMPTER_WRITER_TOKEN", "wr1ter")
    connect(server, lm_folder).write(["good"], 0, 0)
    assert server.tokens[-2:] == ["Bearer wr1ter"] * 2
    monkeypatch.setenv("PROMPTER_WRITER_HOST", "elsewhere.example")
    connect(server, lm_folder).write(["good"], 0, 0)
    assert server.tokens[-1] is None


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("vlm", "writer is 'vlm'.*Did you mean 'vllm'"),
        ("vllm+http://host/v1", "writer is 'vllm[+]http://host/v1', expected transformers, vllm, or the address"),
        ("ftp://host?key=s3cret", "^(?!.*s3cret)writer is 'ftp://host', expected"),
        ("http://host/v1/chat/completions#m", "writer: the address is that of a chat"),
    ],
)
def test_addresses_that_are_none(address: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        split_writer(address)


@pytest.mark.parametrize(("address", "said"), [("http://", "no host"), ("http://me:pw@host/v1", "holds a user name")])
def test_addresses_that_hold_something_else(address: str, said: str, lm_folder: Path) -> None:
    with pytest.raises(InputError, match=f"^writer: the URL .*{said}"):
        ServerWriter(address, str(lm_folder), CONFIG)


def test_a_prompter_writes_on_a_server_that_the_user_names(serve: Callable, run_folder: Path, lm_folder: Path) -> None:
    server = serve()
    prompter = Prompter.load(run_folder, device="cpu", backend=f"openai+{server.url}#{MODEL}", writer=str(lm_folder))
    assert isinstance(prompter.writer, ServerWriter) and prompter.writer.name == f"{server.url}#{MODEL}"
    assert all("w1 w2" in text for text in prompter.texts("good", 3))
    # The class prompt stands before the opening.
    assert len(server.asked) == 3 and all(len(asked["prompt"]) > 2 for asked in server.asked)
    features = prompter.writer.features(["w1 w2", "w3"])
    assert features.shape == (2, 64) and torch.isfinite(features).all()


def test_a_server_is_asked_for_the_second_texts_of_pairs_too(serve: Callable, pair_run: Path, lm_folder: Path) -> None:
    server = serve()
    prompter = Prompter.load(pair_run, device="cpu", backend=f"openai+{server.url}#{MODEL}", writer=str(lm_folder))
    pairs = prompter.pairs("equivalent", 3)
    first, second = ([asked["prompt"] for asked in server.asked[part]] for part in (slice(3), slice(3, 6)))
    assert len(server.asked) == 6 and all("w1 w2" in text and "w1 w2" in other for text, other in pairs)
    words = prompter.writer.tokenizer
    asked = [words.decode(prompt) for prompt in second]  # at the same time, so in any order
    assert all(any(text in said for said in asked) for text, _ in pairs)  # the request holds the first text
    assert not any(prompt in first for prompt in second)


@pytest.mark.parametrize("said", [None, [], {}, {"choices": None}, {"choices": [[]]}, {"choices": [{"text": 3}]}, [1]])
def test_answers_that_are_none(said: Any) -> None:
    completion, problem = read_completion(said)
    assert completion is None and problem
