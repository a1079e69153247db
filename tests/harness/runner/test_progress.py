"""Progress: plain lines in files and pipes, a bar on a terminal."""

import io

import pytest

from stabench.harness.runner.progress import Bar, Lines, Progress, Scoring, progress_on
from stabench.harness.runs.journal import Failure, Row


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _row(clip: str, failed: bool = False, warmup: bool = False) -> Row:
    error = Failure("raised", "no [bold]idea") if failed else None
    return Row("star", clip, 0, warmup, "failed" if failed else "ok", 1, error=error)


def _tell(progress: Progress) -> None:
    progress.start(done=10, planned=40)
    progress.add([_row("w", warmup=True)])
    for index in range(30):
        progress.add([_row(f"c{index}", failed=index % 6 == 0)])
    progress.stop()


def test_lines_count_what_was_kept_and_what_failed() -> None:
    stream = io.StringIO()
    _tell(Lines(stream))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "40 clips to run, 10 of them kept from before"
    assert lines[1] == "star: clip 'c0' failed, raised: no [bold]idea"
    assert lines[-1] == "40 of 40 done, 5 failed"
    assert sum("failed, raised" in line for line in lines) == 3
    assert len(lines) < 15


def test_the_bar_ends_full_and_prints_failures_as_they_are() -> None:
    stream = Terminal()
    _tell(Bar(stream))
    assert "40/40" in stream.getvalue()
    assert "raised: no [bold]idea" in stream.getvalue()


@pytest.mark.parametrize(("stream", "kind"), [(Terminal(), Bar), (io.StringIO(), Lines)])
def test_a_terminal_gets_a_bar(stream: io.StringIO, kind: type) -> None:
    assert type(progress_on(stream)) is kind


def test_scoring_says_one_line_a_set_or_counts_in_place() -> None:
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        for done in (1, 2, 3):
            Scoring(stream)("star", done, 3)
    assert plain.getvalue() == "scored star: 3 sounds\n"
    assert terminal.getvalue().count("\r") == 3
    assert terminal.getvalue().endswith("scoring star: 3 of 3\n")
