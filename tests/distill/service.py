"""An HTTP service on this machine that answers texts in the format of text-embeddings-inference, or as a test tells it."""

import json
import threading
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


class Service:
    """A server whose next answers can be told: functions from a handler and its inputs."""

    def __init__(self) -> None:
        self.script: list[Callable] = []
        self.always: Callable | None = None
        self.requests: list[list[list[str]]] = []
        self.tokens: list[str | None] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.info: Any = None
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # headers and body are two writes

            def log_message(self, *arguments: object) -> None: ...

            def do_GET(self) -> None:
                found = self.path == "/info" and service.info is not None
                reply(self, 200 if found else 404, service.info if found else {})

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert (asked["truncate"], asked["raw_scores"]) == (True, False)
                with service.lock:
                    service.requests.append(asked["inputs"])
                    service.tokens.append(self.headers.get("Authorization"))
                    answer = service.script.pop(0) if service.script else service.always
                    service.at_once += 1
                    service.most_at_once = max(service.most_at_once, service.at_once)
                try:
                    (answer or fine)(self, asked["inputs"])
                finally:
                    with service.lock:
                        service.at_once -= 1

        class Server(ThreadingHTTPServer):
            def handle_error(self, *arguments: object) -> None: ...  # a client that gave up

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/predict"
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


def fine(handler: BaseHTTPRequestHandler, inputs: list) -> None:
    reply(handler, 200, good(inputs))
