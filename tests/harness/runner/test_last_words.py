"""The last words of a process, out of logs as Python, C and progress bars write them."""

import signal

import pytest

from stabench.harness.runner.last_words import (
    LONGEST,
    describe_ending,
    find_last_words,
    find_place,
    measure_log,
    read_since,
)

TRACEBACK = """\
loading the weights
Traceback (most recent call last):
  File "/a/b/model.py", line 3, in load
    raise RuntimeError(
RuntimeError: CUDA error: device-side assert triggered
CUDA kernel errors might be reported at some other call.
Compile with `TORCH_USE_CUDA_DSA`.
"""
SEGFAULT = """\
step 3
Fatal Python error: Segmentation fault

Stack (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
  File "/home/me/model.py", line 12 in generate
  File "/opt/stabench/harness/runner/worker.py", line 180 in _continue
  File "/opt/stabench/harness/runner/worker.py", line 140 in run

Extension modules: numpy, soundfile (total: 2)
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("\n \n", ""),
        ("one\ntwo\n", "two"),
        ("half a line", "half a line"),
        ("10 %\r50 %\r\x1b[31mfailed\x1b[0m\r", "failed"),
        ("a\x00b\x07c\n", "abc"),
        ("Traceback (most recent call last):\n  File 'x'\nKeyError: 'a'\n", "KeyError: 'a'"),
        (
            TRACEBACK,
            "RuntimeError: CUDA error: device-side assert triggered ... "
            "Compile with `TORCH_USE_CUDA_DSA`.",
        ),
        ("terminate called\n  what():  bad_alloc\n" + SEGFAULT, "step 3"),
    ],
)
def test_the_words(text: str, words: str) -> None:
    assert find_last_words(text) == words


def test_words_are_one_line_of_bounded_length() -> None:
    assert len(find_last_words("x" * 10_000)) == LONGEST


def test_the_place_is_that_of_the_system_and_of_what_it_called() -> None:
    place = "model.py, line 12, in generate, then ctypes/__init__.py, line 519, in string_at"
    assert find_place(SEGFAULT) == place
    assert find_place(TRACEBACK) == "", "a traceback is no stack of faulthandler"
    assert find_place("") == ""


def test_endings_are_named() -> None:
    assert describe_ending(0) == "exit code 0"
    assert describe_ending(-signal.SIGKILL) == "SIGKILL (often the kernel, out of memory)"
    assert describe_ending(-signal.SIGTERM) == "SIGTERM"
    assert describe_ending(-63) == "signal 63"


def test_a_log_is_read_from_where_it_was_and_never_whole(tmp_path) -> None:
    log = tmp_path / "a.log"
    assert (measure_log(log), read_since(log, 0)) == (0, "")
    log.write_bytes(b"before\n\xff after")
    assert read_since(log, 7) == "\N{REPLACEMENT CHARACTER} after"
    log.write_bytes(b"x" * 10_000_000 + b"end")
    assert len(read_since(log, 7)) < 100_000
    assert read_since(log, 7).endswith("end")
