"""A completions endpoint on this machine: it answers as vLLM, llama.cpp or text-generation-inference do, or as told."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.distill.service import reply
from tests.prompter.tiny import word_tokenizer

WORDS = ("w1", "w2", "w3", ".", "w4", "w5", "w6", "w7")
MODEL = "org/writer"


class CompletionsServer:
    """It continues each prompt with w1 w2 w3 . w4 ..., and ends texts with an even seed after five words.

    Attributes:
        kind: `vllm`, `llama.cpp` (log-probabilities in another form), `tgi` (text alone, no log-probabilities, few settings),
            `openai` (refuses settings that it does not know).
        doubles: Whether its tokenizer puts a token before every text.
        script: What the next requests are answered with: functions from the handler and the good answer.
        asked: Payloads so far.
    """

    def __init__(self, kind: str = "vllm", model: str = MODEL, doubles: bool = False, listed: bool = True) -> None:
        self.kind, self.model, self.doubles = kind, model, doubles
        entry: dict[str, Any] = {"id": model, "root": "/models/writer", "max_model_len": 64}
        if kind == "llama.cpp":  # as its server of November 2026 says it; n_ctx is a slot's share
            entry = {"id": model, "aliases": [model], "owned_by": "llamacpp", "meta": {"n_ctx": 64, "n_ctx_train": 8192}}
        self.listed: Any = {"data": [entry]} if listed else None
        self.script: list[Callable[[BaseHTTPRequestHandler, Any], None]] = []
        self.always: Callable[[BaseHTTPRequestHandler, Any], None] | None = None
        self.asked: list[dict] = []
        self.tokens: list[str | None] = []
        self.paths: list[str] = []
        self.pause = 0.0
        self.at_once = self.most_at_once = 0
        self.tokenizer = word_tokenizer()
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *arguments: object) -> None: ...

            def do_GET(self) -> None:
                found = self.path.endswith("/v1/models") and server.listed is not None
                server.tokens.append(self.headers.get("Authorization"))
                reply(self, 200 if found else 404, server.listed if found else {})

            def do_POST(self) -> None:
                payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server.lock:
                    server.asked.append(payload)
                    server.paths.append(self.path)
                    server.tokens.append(self.headers.get("Authorization"))
                    told = server.script.pop(0) if server.script else server.always
                    server.at_once += 1
                    server.most_at_once = max(server.most_at_once, server.at_once)
                try:
                    time.sleep(server.pause)
                    status, said = server.answer(payload)
                    if told is None:
                        reply(self, status, said)
                    else:
                        told(self, said)
                finally:
                    with server.lock:
                        server.at_once -= 1

        class Server(ThreadingHTTPServer):
            def handle_error(self, *arguments: object) -> None: ...

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, payload: dict) -> tuple[int, Any]:
        """Status and content of the good answer."""
        prompt = payload["prompt"]
        if self.kind == "tgi" and not isinstance(prompt, str):
            return 422, b"Failed to deserialize: prompt: data did not match any variant of untagged enum Prompt"
        if self.kind == "tgi" and payload.get("top_p") == 1.0:
            return 422, {"error": "Input validation error: `top_p` must be > 0.0 and < 1.0", "error_type": "validation"}
        if self.kind == "openai":
            for name in ("min_p", "repetition_penalty", "repeat_penalty", "top_k", "min_tokens", "stop_token_ids"):
                if name in payload:
                    return 400, {"error": {"message": f"Unrecognized request argument supplied: {name}"}}
        read = len(prompt) if isinstance(prompt, list) else len(self.tokenizer(prompt)["input_ids"]) + self.doubles
        words = list(WORDS[: payload["max_tokens"]])
        ended = payload["seed"] % 2 == 0
        words = words[:5] if ended else words
        choice: dict[str, Any] = {"index": 0, "text": "".join(f" {word}" for word in words), "logprobs": None}
        choice["finish_reason"] = "stop" if ended else "length"
        if self.kind == "llama.cpp":
            choice["logprobs"] = {"content": [{"token": word, "logprob": -2.0, "top_logprobs": []} for word in words]}
        elif self.kind in ("vllm", "openai"):
            choice["logprobs"] = {"tokens": words, "token_logprobs": [-2.0] * len(words), "top_logprobs": None}
        usage = {"prompt_tokens": read, "completion_tokens": len(words), "total_tokens": read + len(words)}
        return 200, {"id": "cmpl-1", "object": "text_completion", "model": self.model, "choices": [choice], "usage": usage}
