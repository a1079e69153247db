"""A web server on 127.0.0.1 that serves bytes and misbehaves when told; and an empty machine."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stabench.checkpoints import catalogue

HELD = (
    "STABENCH_WEIGHTS STABENCH_CACHE XDG_CACHE_HOME HF_HOME HF_HUB_CACHE HUGGINGFACE_HUB_CACHE "
    "HF_ENDPOINT TORCH_HOME http_proxy https_proxy HTTP_PROXY HTTPS_PROXY"
)


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
    """Serves `files` by path. `cuts` and `answers` are used up, one a request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.cuts: list[int] = []
        """Bytes after which the connection is dropped."""
        self.answers: list[int] = []
        """HTTP statuses to answer with."""
        self.ranges = self.lengths = True
        self.careless = False
        """Answers a Range whatever If-Range says."""
        self.type = "application/octet-stream"
        self.asked: list[tuple[str, str]] = []
        """Path and Range of each request."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
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

        def do_GET(self) -> None:
            origin.asked.append((self.path, self.headers.get("Range", "")))
            if origin.answers:
                self._plain(origin.answers.pop(0))
            elif self.path in origin.redirects:
                self.send_response(302)
                self.send_header("Location", origin.redirects[self.path])
                self.end_headers()
            elif self.path not in origin.files:
                self._plain(404)
            else:
                self._send(origin.files[self.path])

        def _plain(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _send(self, data: bytes) -> None:
            tag = f'"{sha256(data)[:16]}"'
            wish = self.headers.get("Range", "")
            start = int(wish.removeprefix("bytes=").rstrip("-")) if wish else 0
            same = origin.careless or self.headers.get("If-Range") == tag
            partial = origin.ranges and wish and same
            body = data[start:] if partial else data
            self.send_response(206 if partial else 200)
            self.send_header("ETag", tag)
            self.send_header("Content-Type", origin.type)
            if origin.lengths:
                self.send_header("Content-Length", str(len(body)))
            if partial:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            self.wfile.write(body[: origin.cuts.pop(0)] if origin.cuts else body)

    return Handler
