"""A system that is a command, in any language: it reads requests and writes answers, JSON lines.

The command is started once and lives as long as the worker. It gets one line on standard input, and
answers with one line on standard output, flushed; what it writes on standard error is in the log.
Speech goes to it as the path of a WAV file (mono, 16-bit PCM, at `speech_rate_hz`), the sound comes
back as the path of one (any PCM or float, at `sample_rate`):

    {"request": "load", "device": "cpu", "dtype": "float32", "sample_rate": 16000}
    {}                                                    or {"provenance": {...}}
    {"request": "represent", "speech": "/tmp/x/1.wav"}
    {}                                                    or {"representation": ..., "text": "..."}
    {"request": "generate", "speech": "/tmp/x/1.wav", "representation": ..., "seed": 7,
     "sound": "/tmp/x/2.wav"}
    {}                                                    or {"sound": "/its/own/place.wav"}

`represent` is the processing latency, `generate` the generation time. `representation` is whatever
JSON the command needs again; `text` is the transcript, `tokens` its length. Both answers may have
`stages`, [[name, seconds], ...]; any may be {"error": "why"}, which fails the clip alone. With
`reads_caption` represent has a `caption`. The files are removed when the clip is done.
"""

import io
import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import IO, Any

from stabench.metrics.audio import read_bytes
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

# Variable that names a folder of the worker's, which the engine removes whatever happens.
SCRATCH = "STABENCH_SCRATCH"
STAGE = "command"
LONGEST_LINE = 1 << 24


class Command(Remote):
    """A command and its words, such as `["sh", "my_system.sh"]`, or one text that is split so.

    Its paths are relative to the folder in which stabench runs.

    With `at_once` the command gets no `represent` request and does everything in `generate`: it has
    no processing latency then, and its generation time holds both.
    """

    def __init__(
        self,
        command: list[str] | str,
        sample_rate: int,
        speech_rate_hz: int = 16_000,
        reads_caption: bool = False,
        at_once: bool = False,
    ) -> None:
        super().__init__(sample_rate, speech_rate_hz, reads_caption, at_once)
        words = shlex.split(command) if isinstance(command, str) else command
        if not (isinstance(words, list) and words and all(type(word) is str for word in words)):
            raise ValueError(f'command is {command!r}, expected ["sh", "my_system.sh"] or the like')
        self._command = words
        self._numbers = count(1)

    def load(self, device: str, dtype: str) -> None:
        """Start the command and wait until it has answered "load". Raises NotThere, RemoteError."""
        self._folder = Path(tempfile.mkdtemp(prefix="command-", dir=os.environ.get(SCRATCH)))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._program = Program(self._command)
        request: dict[str, Any] = {"request": "load", "device": device, "dtype": dtype}
        request["sample_rate"] = self.sample_rate
        answer = self._program.ask(request, ("provenance",))
        self._stated = read_provenance(answer, "the command")

    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        """Have the command hear one utterance. Raises RemoteError for what is no answer."""
        path = self._name_file()
        with spans(WRITE):
            path.write_bytes(encode_speech(speech.samples, speech.rate_hz))
        heard = Heard(path, speech.caption)
        if self.untimed:
            return Representation(heard)
        request = {"request": "represent", **heard.describe()}
        allowed = ("representation", "text", "tokens", "stages")
        answer = ask(spans, STAGE, lambda: self._exchange(request, allowed))
        heard.value = answer.get("representation")
        return Representation(heard, *read_text(answer))

    def generate(
        self, representations: list[Representation], seeds: list[int], spans: Spans
    ) -> list[Waveform]:
        """Have the command make the sounds, one request for each."""
        pairs = zip(representations, seeds, strict=True)
        return [self._generate(heard.payload, seed, spans) for heard, seed in pairs]

    def usable(self) -> bool:
        """Return False when the command has ended or is out of step with its requests."""
        return self._program.in_step()

    def provenance(self) -> dict[str, Any]:
        """The command, and what it stated of itself."""
        return {"command": self._command, **self._stated}

    def _generate(self, heard: "Heard", seed: int, spans: Spans) -> Waveform:
        place = self._name_file()
        request = {"request": "generate", **heard.describe(), "seed": seed, "sound": str(place)}
        if not self.untimed:
            request["representation"] = heard.value
        try:
            answer = ask(spans, STAGE, lambda: self._exchange(request, ("sound", "stages")))
            with spans(READ):
                return _read_sound(answer.get("sound", str(place)))
        finally:
            place.unlink(missing_ok=True)

    def _exchange(
        self, request: dict[str, Any], allowed: tuple[str, ...]
    ) -> tuple[dict[str, Any], list[Stage]]:
        answer = self._program.ask(request, allowed)
        return answer, read_stages(answer.get("stages", []))

    def _name_file(self) -> Path:
        # Numbers: a system is not to know the clips by name.
        return self._folder / f"{next(self._numbers)}.wav"


class Heard:
    """One utterance on its way to `generate`: its file, which goes with it, and the answer."""

    def __init__(self, path: Path, caption: str | None) -> None:
        self._path, self._caption = path, caption
        self.value: Any = None
        weakref.finalize(self, path.unlink, missing_ok=True)

    def describe(self) -> dict[str, Any]:
        """Return what a request says of it."""
        caption = {} if self._caption is None else {"caption": self._caption}
        return {"speech": str(self._path), **caption}


def _read_sound(path: object) -> Waveform:
    if not isinstance(path, str):
        raise RemoteError(f"the command answered with the sound {path!r}, expected a path")
    where = f"the sound {quote(path)} of the command"
    try:
        content = read_bytes(Path(path))
    except ValueError as error:
        raise RemoteError(f"{where}: {error}") from error
    return decode_sound(content, where)


class Program:
    """The running command: one line to it, one line from it. Raises NotThere without it."""

    def __init__(self, command: Sequence[str]) -> None:
        # Set for workers only: a script of the command's may import the files beside it.
        environment = {**os.environ}
        environment.pop("PYTHONSAFEPATH", None)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=environment,
            )
        except OSError as error:
            raise NotThere(f"command '{command[0]}' cannot be run: {error.strerror}") from error
        # Closed, the command ends by itself; one that does not is ended with the worker's group.
        weakref.finalize(self, _end, self._process)
        self._received = bytearray()
        self._broken = False
        self._words: deque[str] = deque(maxlen=1)
        streams = (self._process.stderr, self._words)
        self._copying = threading.Thread(target=_copy_words, args=streams, daemon=True)
        self._copying.start()

    def ask(self, request: dict[str, Any], allowed: tuple[str, ...]) -> dict[str, Any]:
        """Return the answer to one request.

        Raises RemoteError; `in_step` then tells whether another can be asked.
        """
        during = f"'{request['request']}'"
        assert self._process.stdin is not None
        # Whatever comes before the answer is none: it would be taken for that of the next clip.
        if self._received or self._is_readable():
            line = self._read_line(during)
            raise self._break(f"the command wrote {quote(line)} before it was asked {during}")
        data = json.dumps(request, ensure_ascii=False).encode() + b"\n"
        try:
            while data:
                data = data[self._process.stdin.write(data) or 0 :]
        except BrokenPipeError:
            raise self._describe_end(during) from None
        line = self._read_line(during)
        try:
            answer = json.loads(line)
        except ValueError:
            raise self._break(
                f"the command wrote {quote(line)} for an answer to {during}, expected one line of "
                "JSON; print everything else to standard error"
            ) from None
        try:
            return check_keys(answer, allowed, line)
        except RemoteError as error:
            raise RemoteError(f"the command, asked {during}, {error}") from None

    def in_step(self) -> bool:
        """Return whether the command lives and nothing was left unread."""
        return not self._broken and self._process.poll() is None

    def _read_line(self, during: str) -> str:
        """Return a line of the command. Raises RemoteError when it ends instead."""
        assert self._process.stdout is not None
        while b"\n" not in self._received:
            part = self._process.stdout.read(1 << 16)
            if not part:
                raise self._describe_end(during)
            self._received += part
            if len(self._received) > LONGEST_LINE:
                start = quote(self._received[:LONGEST_LINE].decode(errors="replace"))
                raise self._break(f"the command wrote {start} without end, asked {during}")
        line, _, self._received = self._received.partition(b"\n")
        return line.decode(errors="replace")

    def _is_readable(self) -> bool:
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def _break(self, message: str) -> RemoteError:
        self._broken = True
        return RemoteError(message)

    def _describe_end(self, during: str) -> RemoteError:
        """Return what became of a command that has closed its output or its input."""
        try:
            code: int | None = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            code = None
        self._copying.join(timeout=2)
        ending = "closed its pipe" if code is None else f"ended with {_name_ending(code)}"
        unread = self._received.decode(errors="replace")
        rest = f" after {quote(unread)} without an end of line" if unread else ""
        words = f"; its last words: {quote(self._words[0])}" if self._words else ", without a word"
        return self._break(f"the command {ending}{rest}, asked {during}{words}")


def _copy_words(stream: IO[bytes], words: deque[str]) -> None:
    """Copy standard error to the log, and keep its last line."""
    with io.TextIOWrapper(io.BufferedReader(stream), errors="replace") as lines:  # type: ignore[type-var]
        for line in lines:
            print(line, end="", file=sys.stderr, flush=True)
            if line.strip():
                words.append(line.strip())


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the input, at which a command ends; end one that does not."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def _name_ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    known = {number.value: number.name for number in signal.Signals}
    return known.get(-code, f"signal {-code}")
