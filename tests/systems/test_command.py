"""The command: its requests and answers, and every way in which it can fail to give one."""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from stabench.systems.command import Command
from stabench.systems.contract import Utterance, Waveform
from stabench.systems.remote import NotThere, RemoteError

RATE_HZ = 16_000
SAMPLES = (np.random.default_rng(0).integers(-9_000, 9_000, 400) / 32_768).astype(np.float32)
PROGRAM = """
import json, os, shutil, sys, time

def answer(request):
    kind = request["request"]
    if kind == FAULTY:
        FAULT
    if kind == "represent":
        return {"representation": [1, request.get("caption")], "text": "a dog", "tokens": 2}
    if kind == "generate":
        shutil.copy(request["speech"], request["sound"])
    return {"provenance": {"asked": request}} if kind == "load" else {}

for line in sys.stdin:
    request = json.loads(line)
    with open("asked.jsonl", "a") as asked:
        asked.write(line)
    print(json.dumps(answer(request)), flush=True)
"""
Make = Callable[..., Command]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A loaded command: `make("represent", "sys.exit(3)")` fails so in that request."""
    monkeypatch.chdir(tmp_path)

    def start(faulty: str = "", fault: str = "pass", **options: object) -> Command:
        text = PROGRAM.replace("FAULTY", repr(faulty)).replace("FAULT", fault)
        (tmp_path / "program.py").write_text(text)
        system = Command([sys.executable, "program.py"], RATE_HZ, **options)
        system.load("cpu", "float32")
        return system

    return start


def _run(system: Command, caption: str | None = None) -> Waveform:
    representation = system.represent(Utterance("x", SAMPLES, RATE_HZ, caption), nullcontext)
    [sound] = system.generate([representation], [7], nullcontext)
    return sound


def _asked() -> list[dict[str, object]]:
    return [json.loads(line) for line in Path("asked.jsonl").read_text().splitlines()]


def test_speech_goes_out_and_the_sound_comes_back(make: Make) -> None:
    system = make()
    sound = _run(system)
    np.testing.assert_array_equal(sound.samples, SAMPLES)
    assert sound.rate_hz == RATE_HZ
    load, represent, generate = _asked()
    assert load == {"request": "load", "device": "cpu", "dtype": "float32", "sample_rate": RATE_HZ}
    assert represent == {"request": "represent", "speech": generate["speech"]}
    assert generate.keys() == {"request", "speech", "seed", "sound", "representation"}
    assert (generate["representation"], generate["seed"]) == ([1, None], 7)
    assert system.provenance() == {"command": [sys.executable, "program.py"], "asked": load}


def test_the_transcript_is_the_commands_and_an_oracle_gets_the_caption(make: Make) -> None:
    utterance = Utterance("x", SAMPLES, RATE_HZ, "a dog barks")
    system = make(reads_caption=True)
    assert system.reads_caption
    assert system.represent(utterance, nullcontext)[1:] == ("a dog", 2)
    assert _asked()[1]["caption"] == "a dog barks"


def test_clips_have_no_names_and_a_batch_is_one_request_each(make: Make) -> None:
    system = make()
    heard = [system.represent(Utterance("zebra", SAMPLES, RATE_HZ), nullcontext) for _ in "ab"]
    sounds = system.generate(heard, [1, 2], nullcontext)
    assert len(sounds) == 2
    assert [request.get("seed") for request in _asked()] == [None, None, None, 1, 2]
    assert "zebra" not in Path("asked.jsonl").read_text()


def test_at_once_there_is_no_request_to_represent(make: Make) -> None:
    system = make(at_once=True)
    _run(system)
    assert [request["request"] for request in _asked()] == ["load", "generate"]
    assert "representation" not in _asked()[1]
    assert system.untimed == ("represent",)
    assert make().untimed == ()


def test_files_go_with_their_clip_and_the_folder_with_the_system(make: Make) -> None:
    system = make()
    _run(system)
    speech = Path(_asked()[1]["speech"])
    assert not speech.exists()
    folder = speech.parent
    assert list(folder.iterdir()) == []
    del system
    assert not folder.exists()


def test_a_command_ends_with_its_system(make: Make) -> None:
    system = make()
    process = system._program._process
    del system
    assert process.poll() is not None


def test_stages_of_the_command_are_marked(make: Make, spans) -> None:
    system = make()
    heard = system.represent(Utterance("x", SAMPLES, RATE_HZ), spans)
    system.generate([heard], [1], spans)
    assert spans.names == ["write_speech", "read_sound"]


FAULTS = {
    "print('loading', flush=True)": (
        "the command wrote 'loading' for an answer to 'represent', expected one line of JSON; "
        "print everything else to standard error",
        False,
    ),
    "print('{} {}'); raise SystemExit(0)": (
        "the command wrote '{} {}' for an answer to 'represent', expected one line of JSON; "
        "print everything else to standard error",
        False,
    ),
    "sys.exit('no licence')": (
        "the command ended with exit code 1, asked 'represent'; its last words: 'no licence'",
        False,
    ),
    "os._exit(7)": (
        "the command ended with exit code 7, asked 'represent', without a word",
        False,
    ),
    "os.kill(os.getpid(), 11)": (
        "the command ended with SIGSEGV, asked 'represent', without a word",
        False,
    ),
    "print('half', end='', flush=True); os._exit(0)": (
        "the command ended with exit code 0 after 'half' without an end of line, asked "
        "'represent', without a word",
        False,
    ),
    "return {'error': 'too long'}": (
        "the command, asked 'represent', answered with an error: 'too long'",
        True,
    ),
    "return {'words': 'a dog'}": (
        "the command, asked 'represent', answered with the key 'words'; allowed are "
        "representation, text, tokens, stages and error",
        True,
    ),
    "return [1]": (
        "the command, asked 'represent', wrote '[1]', expected a JSON object on one line",
        True,
    ),
    "return {'text': 3}": ("answered with the text '3', expected a string", True),
    "return {'stages': [['asr', 'long']]}": (
        "answered with the stage \"['asr', 'long']\", expected [name, seconds]",
        True,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_answer_is_told_in_one_line(make: Make, fault: str) -> None:
    line, usable = FAULTS[fault]
    system = make("represent", fault)
    with pytest.raises(RemoteError) as caught:
        _run(system)
    assert str(caught.value) == line
    assert system.usable() is usable


SOUNDS = {
    "return {'sound': '/no/such.wav'}": "the sound '/no/such.wav' of the command: no such file",
    "return {'sound': 3}": "the command answered with the sound 3, expected a path",
    "return {}": "no such file",
    "open(request['sound'], 'w').write('oops'); return {}": "begins with 'oops'",
    "open(request['sound'], 'w'); return {}": "is empty",
    "open(request['sound'], 'wb').write(open(request['speech'], 'rb').read()[:90]); return {}": (
        "truncated, its header promises 800 bytes of samples and 46 are there"
    ),
}


@pytest.mark.parametrize("fault", SOUNDS)
def test_a_sound_that_is_none_fails_its_clip_only(make: Make, fault: str) -> None:
    system = make("generate", fault)
    with pytest.raises(RemoteError) as caught:
        _run(system)
    assert SOUNDS[fault] in str(caught.value)
    assert system.usable()


def test_a_sound_may_lie_where_the_command_wants(make: Make, tmp_path: Path) -> None:
    place = tmp_path / "its own.wav"
    fault = f"shutil.copy(request['speech'], {str(place)!r}); return {{'sound': {str(place)!r}}}"
    np.testing.assert_array_equal(_run(make("generate", fault)).samples, SAMPLES)
    assert place.is_file(), "what is not ours is not removed"


def test_what_was_written_unasked_is_never_taken_for_an_answer(make: Make) -> None:
    system = make("represent", "print('{}', flush=True)")
    representation = system.represent(Utterance("x", SAMPLES, RATE_HZ), nullcontext)
    # The second line comes with the first, or a moment later.
    while not system._program._received and not system._program._is_readable():
        time.sleep(0.01)
    with pytest.raises(RemoteError, match="before it was asked 'generate'"):
        system.generate([representation], [1], nullcontext)
    assert not system.usable()


def test_a_command_that_is_gone_is_named_by_its_last_words(make: Make) -> None:
    system = make("represent", "print(json.dumps({}), flush=True); sys.exit('out of luck')")
    representation = system.represent(Utterance("x", SAMPLES, RATE_HZ), nullcontext)
    system._program._process.wait()
    with pytest.raises(RemoteError, match=r"exit code 1, asked 'generate'.* 'out of luck'"):
        system.generate([representation], [1], nullcontext)


def test_what_the_command_says_is_in_the_log(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    system = make("represent", "print('hearing', file=sys.stderr); os._exit(0)")
    with pytest.raises(RemoteError, match="its last words: 'hearing'"):
        _run(system)
    assert "hearing\n" in capfd.readouterr().err


def test_a_script_of_the_command_imports_what_lies_beside_it(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although workers are kept from importing out of folders."""
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    (tmp_path / "beside.py").write_text("TEXT = 'beside'\n")
    system = make("represent", "import beside; return {'text': beside.TEXT}")
    assert system.represent(Utterance("x", SAMPLES, RATE_HZ), nullcontext).text == "beside"


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match="command 'no-such' cannot be run: No such file"):
        Command(["no-such", "x"], RATE_HZ).load("cpu", "float32")
    (tmp_path / "plain").write_text("")
    with pytest.raises(NotThere, match="cannot be run: Permission denied"):
        Command([str(tmp_path / "plain")], RATE_HZ).load("cpu", "float32")
    with pytest.raises(RemoteError, match="ended with exit code 2, asked 'load'; its last words"):
        Command(["sh", "no-such.sh"], RATE_HZ).load("cpu", "float32")


def test_a_command_is_a_list_or_a_line() -> None:
    assert Command("sh 'my system.sh'", RATE_HZ)._command == ["sh", "my system.sh"]
    for wrong in ([], "", ["sh", 3], {"sh": 1}):
        with pytest.raises(ValueError, match="command is"):
            Command(wrong, RATE_HZ)


def test_a_worker_keeps_the_files_in_its_own_folder(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("STABENCH_SCRATCH", str(tmp_path / "scratch"))
    _run(make())
    assert Path(_asked()[1]["speech"]).parents[1] == tmp_path / "scratch"
    assert os.listdir(tmp_path / "scratch") == []
