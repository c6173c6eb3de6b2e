"""An HTTP service on this machine that answers texts as text-embeddings-inference, Inference Endpoints or vLLM, or as told."""

import json
import math
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def share(text: str) -> float:
    return (len(text) + 1) / (len(text) + 3)


def good(inputs: list[list[str]]) -> list[list[dict]]:
    """What text-embeddings-inference answers: for each input, labels sorted by score."""
    predictions = []
    for texts in inputs:
        first = share(texts[0]) * (0.5 if len(texts) == 2 else 1.0)
        scores = [{"label": "short", "score": 1 - first}, {"label": "long", "score": first}]
        predictions.append(sorted(scores, key=lambda item: -item["score"]))
    return predictions


def tei_inputs(asked: dict) -> list[list[str]]:
    assert asked == {"inputs": asked["inputs"], "truncate": True, "raw_scores": asked["raw_scores"]}
    return asked["inputs"]


def endpoint_inputs(asked: dict) -> list[list[str]]:
    assert asked == {"inputs": asked["inputs"], "parameters": {"top_k": None, "truncation": True}}
    return [[text] if isinstance(text, str) else [text["text"], text["text_pair"]] for text in asked["inputs"]]


def vllm_inputs(asked: dict) -> list[list[str]]:
    assert asked["truncate_prompt_tokens"] == -1
    return [[text] for text in asked["input"]]


def vllm_answer(predictions: list[list[dict]]) -> dict:
    """What vLLM answers: probabilities in the order of the model's classes (short, long), and the likeliest class."""
    data = []
    for index, scores in enumerate(predictions):
        by_name = {item["label"]: item["score"] for item in scores}
        probs = [by_name["short"], by_name["long"]]
        label = "short" if probs[0] >= probs[1] else "long"
        data.append({"index": index, "label": label, "probs": probs, "num_classes": 2})
    return {"id": "classify-1", "object": "list", "created": 1, "model": "org/model", "data": data, "usage": {}}


def chat_inputs(asked: dict) -> list[list[str]]:
    [message] = asked["messages"]
    assert message["role"] == "user"
    return [[message["content"].partition("Text: ")[2].removesuffix("\n\nLabel:")]]


def chat_answer(predictions: list[list[dict]]) -> dict:
    """What OpenAI's and like servers answer: the likelier label, and log-probabilities of the tokens at its place."""
    [scores] = predictions
    top = [{"token": f" {item['label'].title()}", "logprob": math.log(item["score"] * 0.9), "bytes": None} for item in scores]
    top.append({"token": "The", "logprob": math.log(0.1), "bytes": None})
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": top[0]["token"]},
        "logprobs": {"content": [top[0] | {"top_logprobs": top}]},
        "finish_reason": "stop",
    }
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "org/model", "choices": [choice], "usage": {}}


FORMS: dict[str, tuple[str, Callable, Callable]] = {
    "tei": ("predict", tei_inputs, lambda predictions: predictions),
    "endpoint": ("", endpoint_inputs, lambda predictions: predictions),
    "vllm": ("classify", vllm_inputs, vllm_answer),
    "openai": ("v1", chat_inputs, chat_answer),
}
"""Path, how a request is read, and what becomes of the good answers."""


class Service:
    """A server whose next answers can be told: functions from a handler and its inputs."""

    def __init__(self, form: str = "tei") -> None:
        path, read, dress = FORMS[form]
        self.script: list[Callable] = []
        self.get_script: list[Callable] = []
        self.always: Callable | None = None
        self.requests: list[list[list[str]]] = []
        self.tokens: list[str | None] = []
        self.times: list[float] = []
        self.payloads: list[dict] = []
        self.paths: list[str] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.info: Any = None
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # headers and body are two writes

            def log_message(self, *arguments: object) -> None: ...

            def do_GET(self) -> None:
                if service.get_script:
                    service.get_script.pop(0)(self, [])
                    return
                found = self.path in ("/info", "/v1/models") and service.info is not None
                reply(self, 200 if found else 404, service.info if found else {})

            def do_POST(self) -> None:
                payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                inputs = read(payload)
                with service.lock:
                    service.payloads.append(payload)
                    service.paths.append(self.path)
                    service.requests.append(inputs)
                    service.times.append(time.monotonic())
                    service.tokens.append(self.headers.get("Authorization"))
                    answer = service.script.pop(0) if service.script else service.always
                    service.at_once += 1
                    service.most_at_once = max(service.most_at_once, service.at_once)
                try:
                    (answer or fine)(self, inputs)
                finally:
                    with service.lock:
                        service.at_once -= 1

        class Server(ThreadingHTTPServer):
            def handle_error(self, *arguments: object) -> None: ...  # a client that gave up

            def dress(self, predictions: list[list[dict]]) -> Any:
                return dress(predictions)

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/{path}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def texts(self) -> list[str]:
        return [texts[0] for inputs in self.requests for texts in inputs]


def reply(
    handler: BaseHTTPRequestHandler, status: int, said: Any, headers: dict[str, str] | None = None, cut: int = 0
) -> None:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    handler.send_response(status)
    for name, value in ({"Content-Length": str(len(body) + cut)} | (headers or {})).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
    if cut:
        handler.close_connection = True


def dressed(handler: BaseHTTPRequestHandler, inputs: list) -> Any:
    """The good answers in the server's format."""
    return handler.server.dress(good(inputs))  # type: ignore[attr-defined]


def fine(handler: BaseHTTPRequestHandler, inputs: list) -> None:
    reply(handler, 200, dressed(handler, inputs))


def saying(said: Any, status: int = 200, **headers: str) -> Callable:
    """Answer with fixed content, or with what a function makes of the good answer."""
    return lambda handler, inputs: reply(handler, status, said(dressed(handler, inputs)) if callable(said) else said, headers)


def slow(handler: BaseHTTPRequestHandler, inputs: list) -> None:
    time.sleep(0.5)
    fine(handler, inputs)


def dropped(handler: BaseHTTPRequestHandler, inputs: list) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def cut_off(handler: BaseHTTPRequestHandler, inputs: list) -> None:
    reply(handler, 200, json.dumps(dressed(handler, inputs)).encode()[:-10], cut=10)


def not_json(handler: BaseHTTPRequestHandler, inputs: list) -> None:
    reply(handler, 200, json.dumps(dressed(handler, inputs)).encode()[:-10])
