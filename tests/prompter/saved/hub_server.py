"""A hub on this machine: the HTTP endpoints that the client of `huggingface_hub` uses to make, fill and read repositories.

Repositories are dictionaries of files. Large files (safetensors) come through the LFS protocol, all others inside the commit.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

from distill.checkpoints import network
from prompter.saved import hub as client

TOKEN = "hf_secretofthetests"


class Hub:
    """What the hub holds, and how it misbehaves.

    Attributes:
        url: Its address.
        repos: By (kind, id): `private`, and `files` by path.
        blobs: Uploaded large files by their SHA-256.
        requests: Method and path of every request.
        refused: Status that every writing request gets, or 0.
        lost: Part of a path; the connection of such a request is closed without an answer.
    """

    def __init__(self, url: str) -> None:
        self.url, self.refused, self.lost = url, 0, ""
        self.repos: dict[tuple[str, str], dict[str, Any]] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []

    def files(self, name: str, kind: str = "model") -> dict[str, bytes]:
        """The files of a repository."""
        return self.repos[kind, name]["files"]

    def header(self, name: str, kind: str = "model") -> str:
        """The YAML block of a repository's card."""
        return self.files(name, kind)["README.md"].decode().split("---\n")[1]


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve a hub until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    server.hub = hub  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub that the client of this process talks to, logged in."""
    with running_hub() as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        template = served.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)  # made of the address at import
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr("transformers.utils.hub._hf_api", None, raising=False)  # keeps the address it first had
        monkeypatch.setattr(network, "_reached", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        client.forget()
        yield served
        client.forget()


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._handle("GET")

    def do_HEAD(self) -> None:
        self._handle("HEAD")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_PUT(self) -> None:
        self._handle("PUT")

    def _handle(self, method: str) -> None:
        self.hub: Hub = self.server.hub  # type: ignore[attr-defined]
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{method} {path}")
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.hub.lost and self.hub.lost in path:
            self.close_connection = True
            return
        if method in ("POST", "PUT") and self.hub.refused:
            self._answer({"error": "no"}, self.hub.refused)
            return
        for verb, pattern, name in ROUTES:
            if verb == method and (found := re.fullmatch(pattern, path)):
                getattr(self, name)(**found.groupdict())
                return
        self._missing("EntryNotFound")

    def _answer(self, value: Any, status: int = 200, headers: dict[str, str] | None = None, body: bytes | None = None) -> None:
        content = json.dumps(value).encode() if body is None else body
        self.send_response(status)
        for key, item in ({"Content-Type": "application/json", "Content-Length": str(len(content))} | (headers or {})).items():
            self.send_header(key, item)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _missing(self, code: str) -> None:
        self._answer({"error": code}, 404, {"X-Error-Code": code})

    def _repo(self, kinds: str, name: str) -> dict[str, Any] | None:
        repo = self.hub.repos.get((kinds.removesuffix("s"), name))
        if repo is None or (repo["private"] and self.headers.get("Authorization") != f"Bearer {TOKEN}"):
            self._missing("RepoNotFound")
            return None
        return repo

    # Writing

    def create(self) -> None:
        about = json.loads(self.body)
        name = f"{about.get('organization') or 'me'}/{about['name']}"
        key = (about.get("type") or "model", name)
        if key in self.hub.repos:
            self._answer({"error": "exists", "url": f"{self.hub.url}/{name}"}, 409)
            return
        private = about.get("private") or about.get("visibility") == "private"
        self.hub.repos[key] = {"private": bool(private), "files": {}}
        self._answer({"url": f"{self.hub.url}/{'datasets/' if key[0] == 'dataset' else ''}{name}"})

    def valid(self) -> None:
        self._answer({"warnings": [], "errors": []})

    def preupload(self, kinds: str, name: str) -> None:
        if self._repo(kinds, name) is None:
            return
        asked = json.loads(self.body)["files"]
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for file in asked
        ]
        self._answer({"files": modes})

    def batch(self, **_: str) -> None:
        objects = []
        for item in json.loads(self.body)["objects"]:
            actions = {"upload": {"href": f"{self.hub.url}/blobs/{item['oid']}", "header": {}}}
            objects.append({**item} if item["oid"] in self.hub.blobs else {**item, "actions": actions})
        self._answer({"transfer": "basic", "objects": objects})

    def blob(self, oid: str) -> None:
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.hub.blobs[oid] = self.body
        self._answer({})

    def commit(self, kinds: str, name: str) -> None:
        repo = self._repo(kinds, name)
        if repo is None:
            return
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                repo["files"][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repo["files"][value["path"]] = self.hub.blobs[value["oid"]]
        self._answer({"commitUrl": f"{self.hub.url}/{name}/commit/{sha(repo)}", "commitOid": sha(repo)})

    # Reading

    def info(self, kinds: str, name: str) -> None:
        repo = self._repo(kinds, name)
        if repo is not None:
            siblings = [{"rfilename": path} for path in repo["files"]]
            self._answer({"id": name, "sha": sha(repo), "private": repo["private"], "siblings": siblings, "tags": []})

    def tree(self, kinds: str, name: str) -> None:
        repo = self._repo(kinds, name)
        if repo is not None:
            files = repo["files"].items()
            self._answer([{"type": "file", "path": path, "size": len(data), "oid": git_hash(data)} for path, data in files])

    def resolve(self, name: str, path: str) -> None:
        repo = self._repo("models", name)
        if repo is None:
            return
        if path not in repo["files"]:
            self._missing("EntryNotFound")
            return
        data = repo["files"][path]
        self._answer(None, 200, {"ETag": f'"{git_hash(data)}"', "X-Repo-Commit": sha(repo)}, data)


ROUTES = [
    ("POST", r"/api/repos/create", "create"),
    ("POST", r"/api/validate-yaml", "valid"),
    ("POST", r"/api/(?P<kinds>models|datasets)/(?P<name>[^/]+/[^/]+)/preupload/main", "preupload"),
    ("POST", r"/(datasets/)?[^/]+/[^/]+\.git/info/lfs/objects/batch", "batch"),
    ("PUT", r"/blobs/(?P<oid>\w+)", "blob"),
    ("POST", r"/api/(?P<kinds>models|datasets)/(?P<name>[^/]+/[^/]+)/commit/main", "commit"),
    ("GET", r"/api/(?P<kinds>models|datasets)/(?P<name>[^/]+/[^/]+)(/revision/[^/]+)?", "info"),
    ("GET", r"/api/(?P<kinds>models|datasets)/(?P<name>[^/]+/[^/]+)/tree/[^/]+", "tree"),
    ("GET", r"/(?P<name>[^/]+/[^/]+)/resolve/[^/]+/(?P<path>.+)", "resolve"),
    ("HEAD", r"/(?P<name>[^/]+/[^/]+)/resolve/[^/]+/(?P<path>.+)", "resolve"),
]


def sha(repo: dict[str, Any]) -> str:
    """The commit of a repository: it follows from the content."""
    return hashlib.sha1(repr(sorted(repo["files"].items())).encode()).hexdigest()


def git_hash(data: bytes) -> str:
    """The name that git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
