"""A web server on 127.0.0.1 that serves bytes and misbehaves when told; and an empty machine."""

import hashlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stabench.checkpoints import catalogue

HELD = (
    "STABENCH_WEIGHTS STABENCH_CACHE XDG_CACHE_HOME HF_HOME HF_HUB_CACHE HUGGINGFACE_HUB_CACHE "
    "HF_ENDPOINT HF_TOKEN TORCH_HOME http_proxy https_proxy HTTP_PROXY HTTPS_PROXY"
)

COMMIT = "c" * 40
"""Of every repository that an Origin serves."""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def empty_machine(monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """No caches, no proxies; the weights folder, which is returned, lies in `home`."""
    for name in HELD.split():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("STABENCH_WEIGHTS", str(home / "weights"))
    return home / "weights"


def use_catalogue(monkeypatch: pytest.MonkeyPatch, text: str) -> dict[str, catalogue.Entry]:
    """Make these entries the catalogue."""
    entries = catalogue.parse(text)
    monkeypatch.setattr(catalogue, "entries", lambda: entries)
    return entries


class Origin:
    """Serves `files` by path, as the hub does. `cuts` and `answers` are used up, one a GET."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []
        """Bytes after which the connection is dropped."""
        self.answers: list[int] = []
        """HTTP statuses to answer with, HEADs too."""
        self.headers: dict[str, str] = {}
        """Sent with every answer."""
        self.ranges = True
        self.midway: Callable[[], None] = lambda: None
        """Called when half of a body is sent."""
        self.asked: list[tuple[str, str]] = []
        """Path and Range of each GET."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.handle_error = lambda *given: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(origin: Origin) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            origin.asked.append((self.path, self.headers.get("Range", "")))
            self._answer()

        def _answer(self) -> None:
            status = origin.answers.pop(0) if origin.answers else 200
            if self.path not in origin.files:
                status = 404
            data = origin.files.get(self.path, b"")
            wish = self.headers.get("Range", "") if origin.ranges else ""
            start = int(wish.removeprefix("bytes=").rstrip("-")) if wish else 0
            if status == 200 and wish:
                status = 206 if start < len(data) else 416
            length = len(data) - start if status < 300 else 0
            self.send_response(status)
            self.send_header("ETag", f'"{sha256(data)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(length))
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            for name, value in origin.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET" and length:
                self._send(data[start:])

        def _send(self, body: bytes) -> None:
            body = body[: origin.cuts.pop(0)] if origin.cuts else body
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            origin.midway()
            self.wfile.write(body[len(body) // 2 :])

    return Handler
