"""The endpoint: three requests on one connection, and every way in which a server can fail."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from stabench.systems.contract import Utterance, Waveform
from stabench.systems.http import Http, read_timing
from stabench.systems.remote import NotThere, RemoteError, encode_speech

RATE_HZ = 16_000
SAMPLES = (np.random.default_rng(0).integers(-9_000, 9_000, 400) / 32_768).astype(np.float32)
SOUND = encode_speech(SAMPLES, RATE_HZ)


class Reply(dict):
    """What the server sends: `status`, `type`, `content`, further `headers`; or `cut` short."""


def answer_json(value: object, **more: Any) -> Reply:
    return Reply(type="application/json", content=json.dumps(value).encode(), **more)


class Handler(BaseHTTPRequestHandler):
    """Answers from the server's table, and keeps what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, dict(self.headers), body, self.client_address[1]))
        reply = self.server.replies[self.path.partition("?")[0]]
        content = reply["content"]
        self.send_response(reply.get("status", 200))
        self.send_header("Content-Type", reply["type"])
        self.send_header("Content-Length", str(len(content)))
        for name, value in reply.get("headers", {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: reply.get("cut", len(content))])
        if "cut" in reply or reply.get("close"):
            self.close_connection = True

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """A server whose `replies` tests change, and which remembers what was `asked`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.asked = []
    server.replies = {
        "/load": answer_json({"provenance": {"weights_sha256": "0" * 64}}),
        "/represent": answer_json({"representation": "r1", "text": "a dog", "tokens": 2}),
        "/generate": Reply(type="audio/wav", content=SOUND),
        "/answer": Reply(type="audio/x-wav", content=SOUND),
    }
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def make(server: ThreadingHTTPServer) -> Iterator[Callable[..., Http]]:
    """A loaded system: `make(at_once=True)`."""
    made = []

    def load(**options: object) -> Http:
        system = Http(_url(server), RATE_HZ, **options)
        made.append(system)
        system.load("cpu", "float32")
        return system

    yield load
    for system in made:
        system._server._connection.close()


def _url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def _run(system: Http, spans: Any = nullcontext) -> Waveform:
    representation = system.represent(Utterance("zebra", SAMPLES, RATE_HZ, "a caption"), spans)
    [sound] = system.generate([representation], [7], spans)
    return sound


def test_speech_goes_out_and_the_sound_comes_back_on_one_connection(make, server, spans) -> None:
    system = make()
    for _ in range(2):
        np.testing.assert_array_equal(_run(system, spans).samples, SAMPLES)
    paths, headers, bodies, ports = zip(*server.asked, strict=True)
    assert paths == ("/load", *("/represent", "/generate") * 2)
    assert json.loads(bodies[0]) == {"device": "cpu", "dtype": "float32", "sample_rate": RATE_HZ}
    assert (headers[1]["Content-Type"], bodies[1]) == ("audio/wav", SOUND)
    assert json.loads(bodies[2]) == {"representation": "r1", "seed": 7}
    assert len(set(ports)) == 1
    assert spans.names == ["write_speech", "read_sound"] * 2
    assert system.provenance() == {"url": _url(server), "weights_sha256": "0" * 64}
    assert not any("zebra" in str(asked) for asked in server.asked)


def test_a_connection_that_the_server_closed_is_opened_again_as_a_stage(
    make, server, spans
) -> None:
    server.replies["/represent"]["headers"] = {"Connection": "close"}
    server.replies["/represent"]["close"] = True
    np.testing.assert_array_equal(_run(make(), spans).samples, SAMPLES)
    assert spans.names == ["write_speech", "connect", "read_sound"]


def test_an_oracle_gets_the_caption_and_no_speech(make, server) -> None:
    _run(make(reads_caption=True))
    assert json.loads(server.asked[1][2]) == {"caption": "a caption"}


def test_at_once_is_one_request(make, server) -> None:
    system = make(at_once=True)
    np.testing.assert_array_equal(_run(system).samples, SAMPLES)
    assert [path for path, *_ in server.asked] == ["/load", "/answer?seed=7"]
    assert server.asked[1][2] == SOUND
    assert system.untimed == ("represent",)


def test_stages_come_by_server_timing(make, server) -> None:
    from stabench.harness.device import Cpu
    from stabench.harness.runner.clock import Clock

    clock = Clock(Cpu())
    server.replies["/represent"]["headers"] = {"Server-Timing": "asr;dur=0.001, cache"}
    system = make()
    with clock.phase("represent"):
        system.represent(Utterance("a", SAMPLES, RATE_HZ), clock)
    assert [(span.name, span.wall_ns) for span in clock.spans][1:] == [("asr", 1_000)]
    with pytest.raises(RemoteError, match=r"Server-Timing 'a;dur=1\.2\.3' has a duration"):
        read_timing("a;dur=1.2.3")
    assert read_timing("") == []


FAULTS = {
    "status": (
        Reply(type="text/html", content=b"out of memory\n<trace>", status=503),
        "503 Service Unavailable: 'out of memory'",
    ),
    "redirect": (Reply(type="text/html", content=b"", status=302), "302 Found"),
    "type": (
        Reply(type="text/html; charset=utf-8", content=b"<html>"),
        "content type is 'text/html', expected application/json",
    ),
    "cut": (answer_json({"text": "a dog"}, cut=5), "the answer was cut off after 5 bytes"),
    "no JSON": (
        Reply(type="application/json", content=b"hello"),
        "/represent answered 'hello', expected a JSON object",
    ),
    "error": (answer_json({"error": "no voice"}), "answered with an error: 'no voice'"),
    "key": (answer_json({"txt": "a"}), "answered with the key 'txt'; allowed are representation"),
    "list": (answer_json([1]), "wrote '[1]', expected a JSON object"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_answer_is_told_in_one_line_and_the_next_clip_is_asked(
    make, server, fault: str
) -> None:
    system, right = make(), server.replies["/represent"]
    server.replies["/represent"], line = FAULTS[fault]
    with pytest.raises(RemoteError) as caught:
        _run(system)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    server.replies["/represent"] = right
    np.testing.assert_array_equal(_run(system).samples, SAMPLES)


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (Reply(type="audio/wav", content=SOUND[:90]), "the sound of /generate: truncated"),
        (Reply(type="audio/wav", content=b"oops"), "the sound of /generate begins with 'oops'"),
        (
            Reply(type="audio/mpeg", content=b"x"),
            "content type is 'audio/mpeg', expected audio/wav",
        ),
        (Reply(type="audio/wav", content=SOUND, cut=60), "the answer was cut off after 60 bytes"),
    ],
)
def test_a_sound_that_is_none_is_told(make, server, reply: Reply, line: str) -> None:
    server.replies["/generate"] = reply
    with pytest.raises(RemoteError, match=line):
        _run(make())


def test_a_server_that_is_not_there(server) -> None:
    url = _url(server)
    server.shutdown()
    server.server_close()
    with pytest.raises(NotThere, match=f"{url} cannot be reached: .*; start the server"):
        Http(url, RATE_HZ).load("cpu", "float32")


def test_a_server_that_hangs_is_given_up(make, server, monkeypatch) -> None:
    system = make(timeout_s=0.2)
    go = threading.Event()
    monkeypatch.setattr(Handler, "do_POST", lambda self: go.wait(30))
    with pytest.raises(RemoteError, match=r"/represent: no answer within 0\.2 s \(timeout_s\)"):
        _run(system)
    go.set()


def test_a_server_that_hangs_up_is_told(make, monkeypatch) -> None:
    system = make()
    monkeypatch.setattr(Handler, "do_POST", lambda self: setattr(self, "close_connection", True))
    with pytest.raises(RemoteError, match="/represent: the connection broke: Remote end closed"):
        _run(system)


SECRET = "s3cret-token"


def test_a_token_comes_from_the_environment_and_is_nowhere_else(
    make, server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", f"{SECRET}\n")
    system = make(token_env="MY_TOKEN")
    assert server.asked[0][1]["Authorization"] == f"Bearer {SECRET}"
    assert SECRET not in json.dumps(system.provenance())
    server.replies["/represent"] = Reply(
        type="text/plain", content=f"wrong: Bearer {SECRET}".encode(), status=401
    )
    with pytest.raises(RemoteError, match=r"401 Unauthorized: 'wrong: Bearer \*\*\*'"):
        _run(system)


@pytest.mark.parametrize(("value", "state"), [(None, "is not set"), (f"{SECRET}\nx: y", "holds")])
def test_a_token_that_is_none(
    server, monkeypatch: pytest.MonkeyPatch, value: str | None, state: str
) -> None:
    monkeypatch.delenv("MY_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_TOKEN", value)
    with pytest.raises(NotThere, match=rf"'MY_TOKEN' \(token_env\) {state}") as caught:
        Http(_url(server), RATE_HZ, token_env="MY_TOKEN").load("cpu", "float32")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "ftp://host", "http://", f"http://me:{SECRET}@h", f"http://h?k={SECRET}"],
)
def test_an_address_is_one_and_holds_no_secret(url: str) -> None:
    with pytest.raises(ValueError, match="url") as caught:
        Http(url, RATE_HZ)
    assert SECRET not in str(caught.value)
