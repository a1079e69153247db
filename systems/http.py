"""A system that is an HTTP endpoint, in any language: three requests to one address.

One connection is kept alive. Speech goes as a WAV (mono, 16-bit PCM, at `speech_rate_hz`), the
sound comes back as one (any PCM or float, at `sample_rate`):

    POST /load       JSON {"device": "cpu", "dtype": "float32", "sample_rate": 16000}
                     -> JSON {} or {"provenance": {...}}
    POST /represent  audio/wav (JSON {"caption": "..."} with `reads_caption`)
                     -> JSON {} or {"representation": ..., "text": "...", "tokens": 5}
    POST /generate   JSON {"representation": ..., "seed": 7}
                     -> audio/wav

`represent` is the processing latency, `generate` the generation time, both with the way there and
back; connecting is a stage of its own. `representation` is whatever JSON the server needs again.
With `at_once` there is one request, for a server that does everything in one go:

    POST /answer?seed=7  audio/wav (or the JSON with the caption)
                     -> audio/wav

A header `Server-Timing: encoder;dur=12.5, sampler;dur=80.1` (milliseconds) names stages. What is no
200 fails the clip, with the first line of its body.
"""

import json
import os
import re
import select
from http.client import HTTPConnection, HTTPException, HTTPSConnection, IncompleteRead
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from stabench.systems.contract import Representation, Spans, Utterance, Waveform
from stabench.systems.remote import (
    READ,
    WRITE,
    NotThere,
    Remote,
    RemoteError,
    Stage,
    ask,
    check_keys,
    decode_sound,
    encode_speech,
    quote,
    read_provenance,
    read_stages,
    read_text,
)

STAGE, CONNECT = "server", "connect"
JSON, WAV = "application/json", "audio/wav"
WAVS = (WAV, "audio/x-wav", "audio/wave", "audio/vnd.wave")
# How long a server may take to accept a connection.
CONNECT_S = 10.0
TIMING = re.compile(r"\s*([^;,\s]+)\s*(?:;[^,]*?\bdur=([0-9.]+)[^,]*)?\s*")


class Body(NamedTuple):
    """What a request carries, or what an answer does, with its type."""

    type: str
    content: bytes


class Http(Remote):
    """An endpoint at `url`, such as "http://127.0.0.1:8000".

    `token_env` names an environment variable whose value is sent as a bearer token, and stored
    nowhere. `timeout_s` is for one answer; without it the suite's time-out of a clip counts.
    """

    def __init__(
        self,
        url: str,
        sample_rate: int,
        speech_rate_hz: int = 16_000,
        reads_caption: bool = False,
        at_once: bool = False,
        token_env: str | None = None,
        timeout_s: float | None = None,
    ) -> None:
        super().__init__(sample_rate, speech_rate_hz, reads_caption, at_once)
        self._server = Server(url, token_env, timeout_s)
        self._url = url

    def load(self, device: str, dtype: str) -> None:
        """Connect, and wait until the server has loaded. Raises NotThere, RemoteError."""
        self._server.open()
        request = {"device": device, "dtype": dtype, "sample_rate": self.sample_rate}
        answer = self._server.post("/load", encode_json(request), (JSON,))
        told = read_json(answer.body, ("provenance",), "/load")
        self._stated = read_provenance(told, "/load")

    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        """Have the server hear one utterance. Raises RemoteError for what is no answer."""
        if self.reads_caption:
            body = encode_json({"caption": speech.caption})
        else:
            with spans(WRITE):
                body = Body(WAV, encode_speech(speech.samples, speech.rate_hz))
        if self.untimed:
            return Representation(body)
        answer = self._ask(spans, "/represent", body, (JSON,))
        value = read_json(answer, ("representation", "text", "tokens"), "/represent")
        return Representation(value.get("representation"), *read_text(value))

    def generate(
        self, representations: list[Representation], seeds: list[int], spans: Spans
    ) -> list[Waveform]:
        """Have the server make the sounds, one request for each."""
        pairs = zip(representations, seeds, strict=True)
        return [self._generate(heard.payload, seed, spans) for heard, seed in pairs]

    def usable(self) -> bool:
        """Return True: a server that failed once is asked again."""
        return True

    def provenance(self) -> dict[str, Any]:
        """The address, and what the server stated of itself."""
        return {"url": self._url, **self._stated}

    def _generate(self, heard: Any, seed: int, spans: Spans) -> Waveform:
        path, body = f"/answer?seed={seed}", heard
        if not self.untimed:
            path, body = "/generate", encode_json({"representation": heard, "seed": seed})
        answer = self._ask(spans, path, body, WAVS)
        with spans(READ):
            return decode_sound(answer.content, f"the sound of {path}")

    def _ask(self, spans: Spans, path: str, body: Body, types: tuple[str, ...]) -> Body:
        if not self._server.is_open():
            with spans(CONNECT):
                self._server.open()

        def exchange() -> tuple[Body, list[Stage]]:
            answer = self._server.post(path, body, types)
            return answer.body, answer.stages

        return ask(spans, STAGE, exchange)


def encode_json(value: dict[str, Any]) -> Body:
    """Return a value as the body of a request."""
    return Body(JSON, json.dumps(value).encode())


def read_json(body: Body, allowed: tuple[str, ...], path: str) -> dict[str, Any]:
    """Return the object in an answer to `path`. Raises RemoteError for anything else."""
    text = body.content.decode(errors="replace")
    try:
        return check_keys(json.loads(text), allowed, text)
    except ValueError:
        raise RemoteError(f"{path} answered {quote(text)}, expected a JSON object") from None
    except RemoteError as error:
        raise RemoteError(f"the server, asked for {path}, {error}") from None


def read_timing(header: str) -> list[Stage]:
    """Return the stages of a Server-Timing header; entries without a duration name none.

    >>> read_timing('encoder;dur=12.5, cache;desc="hit", sampler;desc="8 steps";dur=80')
    [Stage(name='encoder', wall_ns=12500000), Stage(name='sampler', wall_ns=80000000)]
    """
    entries = (TIMING.fullmatch(entry) for entry in header.split(","))
    pairs = [(entry[1], entry[2]) for entry in entries if entry and entry[2]]
    try:
        return read_stages([[name, float(duration) / 1e3] for name, duration in pairs])
    except ValueError:
        raise RemoteError(f"Server-Timing {quote(header)} has a duration that is none") from None


class Answer(NamedTuple):
    """What a server answered, and the stages that it named."""

    body: Body
    stages: list[Stage]


class Server:
    """One connection to a server, kept alive, opened again when the server has closed it."""

    def __init__(self, url: str, token_env: str | None, timeout_s: float | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url is {url!r}, expected http://HOST:PORT or https://HOST:PORT")
        if parts.username or parts.password or parts.query or parts.fragment:
            # They would be in the suite, the run's record and its report.
            raise ValueError(
                "url has a name, a password or a query, which a run would store; give "
                "http://HOST:PORT/PATH, and a secret by token_env"
            )
        self._name = f"{parts.scheme}://{parts.netloc}"
        self._path = parts.path.rstrip("/")
        self._token_env, self._timeout_s = token_env, timeout_s
        self._token = ""
        connection = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection: HTTPConnection = connection(parts.hostname, parts.port, timeout=CONNECT_S)

    def open(self) -> None:
        """Connect. Raises NotThere for a server, or a token's variable, that is not there."""
        if self._token_env is not None:
            self._token = os.environ.get(self._token_env, "").strip()
            # An error of http.client would show a value that is no header's.
            if not (self._token and self._token.isascii() and self._token.isprintable()):
                state = "holds no plain text" if self._token else "is not set"
                raise NotThere(f"environment variable '{self._token_env}' (token_env) {state}")
        self._connection.close()
        try:
            self._connection.connect()
        except OSError as error:
            reason = error.strerror or str(error)
            raise NotThere(f"{self._name} cannot be reached: {reason}; start the server") from error
        self._connection.sock.settimeout(self._timeout_s)

    def is_open(self) -> bool:
        """Return whether the connection lives: an idle one is readable when it was closed."""
        sock = self._connection.sock
        return sock is not None and not select.select([sock], [], [], 0)[0]

    def post(self, path: str, body: Body, types: tuple[str, ...]) -> Answer:
        """Return the answer to a request. Raises RemoteError for all but a whole 200 of `types`."""
        try:
            return self._post(path, body, types)
        except TimeoutError:
            raise self._fail(path, f"no answer within {self._timeout_s:g} s (timeout_s)") from None
        except IncompleteRead as error:
            held = len(error.partial)
            raise self._fail(path, f"the answer was cut off after {held} bytes") from None
        except (HTTPException, OSError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise self._fail(path, f"the connection broke: {reason}") from error

    def _post(self, path: str, body: Body, types: tuple[str, ...]) -> Answer:
        headers = {"Content-Type": body.type, "Accept": types[0]}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        self._connection.request("POST", self._path + path, body.content, headers)
        response = self._connection.getresponse()
        content = response.read()
        if response.status != 200:
            line = next(iter(content.decode(errors="replace").strip().splitlines()), "")
            # A server may send back what it was sent.
            line = line.replace(self._token, "***") if self._token else line
            said = f": {quote(line)}" if line else ""
            raise self._fail(path, f"{response.status} {response.reason}{said}", close=False)
        found = (response.headers.get("Content-Type") or "none").partition(";")[0].strip().lower()
        if found not in types:
            raise self._fail(path, f"content type is {quote(found)}, expected {types[0]}", False)
        stages = read_timing(", ".join(response.headers.get_all("Server-Timing") or []))
        return Answer(Body(found, content), stages)

    def _fail(self, path: str, what: str, close: bool = True) -> RemoteError:
        """Return the error of a request; a connection that broke in it is not used again."""
        if close:
            self._connection.close()
        return RemoteError(f"POST {self._name}{self._path}{path}: {what}")
