"""Any two commands: their order, their verdict by simulation, what is said of one that fails."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from stabench.harness.cli.main import app
from stabench.harness.compare.paired import Sampling
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.gate import ab
from stabench.harness.gate.ab import (
    CommandFailed,
    Times,
    build_page,
    compare_commands,
    find_exit_code,
    judge_times,
    measure_commands,
    parse_commands,
)
from stabench.harness.render.terminal import print_page
from tests.harness.cli.test_narrow import WIDTHS, count_numbers
from tests.harness.worlds import noise

QUICK = Sampling(resamples=100, draws=999)
BLOCKS = 30


def draw(rng: np.random.Generator, slower: float = 0.0, blocks: int = BLOCKS) -> Times:
    """Times in the order of the blocks on the pocket's busy machine; the new one is `slower`."""
    logs = noise(rng, 1, 4 * blocks).reshape(blocks, 4) + np.array([0, slower, slower, 0])
    walls = (240e6 * np.exp(logs)).astype(int)
    return Times(
        {str(index): (int(row[0]), int(row[3])) for index, row in enumerate(walls)},
        {str(index): (int(row[1]), int(row[2])) for index, row in enumerate(walls)},
    )


def test_equal_commands_pass_and_one_that_is_slower_is_found() -> None:
    rng = np.random.default_rng(0)
    words = [judge_times(draw(rng), 0.05, QUICK).verdict for _ in range(60)]
    assert words.count("regressed") + words.count("improved") <= 3
    for slower, word in ((0.3, "regressed"), (-0.3, "improved")):
        words = [judge_times(draw(rng, slower), 0.05, QUICK).verdict for _ in range(20)]
        assert words.count(word) >= 19


def test_fifteen_percent_is_found_on_a_quiet_machine_and_equal_is_the_same() -> None:
    rng = np.random.default_rng(1)

    def quiet(slower: float) -> Times:
        old, new = (
            {str(i): tuple(int(2e8 * np.exp(rng.normal(s, 0.02))) for _ in "ab") for i in range(15)}
            for s in (0, slower)
        )
        return Times(old, new)

    assert [judge_times(quiet(0), 0.05, QUICK).verdict for _ in range(20)] == ["same"] * 20
    found = [judge_times(quiet(np.log(1.15)), 0.05, QUICK).verdict for _ in range(20)]
    assert found == ["regressed"] * 20


def test_blocks_are_old_new_new_old_after_the_warm_ups() -> None:
    calls: list[str] = []

    def run(side: str, command: list[str]) -> int:
        calls.append(command[0])
        return len(calls)

    times = measure_commands({"old": ["a"], "new": ["b"]}, 2, 3, run)
    assert "".join(calls) == "ababab" + "abba" * 2
    assert times == Times({"0": (7, 10), "1": (11, 14)}, {"0": (8, 9), "1": (12, 13)})


@pytest.mark.parametrize(
    ("words", "old", "new"),
    [
        (["sh", "-c", "x", ":::", "sh"], ["sh", "-c", "x"], ["sh"]),
        (["no such 'program here'", ":::", "sh"], ["no", "such", "program here"], ["sh"]),
        (["a", "--blocks", "3", ":::", "b"], ["a", "--blocks", "3"], ["b"]),
    ],
)
def test_words(words: list[str], old: list[str], new: list[str]) -> None:
    assert parse_commands(words) == {"old": old, "new": new}


def test_a_program_with_a_blank_in_its_name_is_one_word(tmp_path: Path) -> None:
    program = tmp_path / "my program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert parse_commands([str(program), ":::", "sh"])["old"] == [str(program)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["true"], "ab got 0 ':::'; expected OLD"),
        (["a", ":::", "b", ":::", "c"], "ab got 2 ':::'"),
        ([":::", "b"], "the old command is empty"),
        (["a", ":::", " "], "the new command is empty"),
        (["a 'b", ":::", "c"], "old command 'a 'b': No closing quotation"),
    ],
)
def test_what_is_no_two_commands(words: list[str], message: str) -> None:
    with pytest.raises(StabenchError, match=message) as caught:
        parse_commands(words)
    assert caught.value.exit_code == 2


FAULTS = {
    "exit": ("print('so far'); raise SystemExit(7)", "exit code 7, its last words: so far"),
    "raised": ("raise ValueError('no \\x1b[31mluck')", "exit code 1, .*ValueError: no luck"),
    "silent": ("raise SystemExit(3)", "exit code 3, without a word"),
    "killed": ("import os; os.kill(os.getpid(), 9)", r"SIGKILL \("),
}


@pytest.mark.parametrize("side", ["old", "new"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_command_that_fails_is_said_with_its_last_words(side: str, fault: str) -> None:
    text, message = FAULTS[fault]
    pair = [[sys.executable, "-c", text], ["true"]]
    bad, good = pair
    words = [*bad, ":::", *good] if side == "old" else [*good, ":::", *bad]
    with pytest.raises(CommandFailed, match=rf"^{side} command .* failed: {message}") as caught:
        compare_commands(words, threshold=0.05, blocks=6, warmups=0)
    assert caught.value.exit_code == 4
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("command", ["/nowhere/program", str(Path(__file__))])
def test_a_command_that_cannot_start_is_missing(command: str) -> None:
    with pytest.raises(MissingError, match=f"new command '{command}' cannot be started"):
        compare_commands(["true", ":::", command], threshold=0.05, blocks=6, warmups=1)


def test_exit_codes() -> None:
    def code(logs: np.ndarray, strict: bool) -> int:
        old = {str(index): (10**8, 10**8) for index in range(len(logs))}
        new = {key: (round(1e8 * np.exp(x)),) for key, x in zip(old, logs, strict=True)}
        return find_exit_code(judge_times(Times(old, new), 0.05, QUICK), strict=strict)

    wild = np.random.default_rng(0).normal(0, 0.5, 15)
    cases = (
        (np.full(15, 0.2), 1, 1),
        (np.zeros(15), 0, 0),
        (np.full(15, -0.2), 0, 0),
        (wild, 0, 5),
    )
    for logs, usual, strict in cases:
        assert (code(logs, False), code(logs, True)) == (usual, strict)
    none = judge_times(Times({"0": (0,), "1": (0,)}, {"0": (1,), "1": (1,)}), 0.05, QUICK)
    assert find_exit_code(none, strict=False) == 5, "nothing was measured"


def test_the_command_as_it_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    """Its own options come first; whatever follows the first word is the command's."""
    words = ["ab", "--blocks", "6", "--warmups", "0", "--threshold", "900 %", "--json"]
    python = [sys.executable, "-c", "import sys; print(sys.argv)", "--json", "--", "-x"]
    code = app([*words, "--", *python, ":::", *python], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert told["old"]["command"] == told["new"]["command"] == python
    assert (told["exit_code"], told["threshold"]) == (code, 9.0)
    assert [len(block) for block in told["new"]["wall_ns"]] == [2] * 6
    assert min(wall for block in told["old"]["wall_ns"] for wall in block) > 0
    for text in ("5", "0 %", "-3 %", "fast"):
        with pytest.raises(StabenchError, match=r"--threshold: .* is no percentage"):
            app(["ab", "--threshold", text, "--", "true", ":::", "true"], standalone_mode=False)


@pytest.mark.parametrize("width", WIDTHS)
def test_its_page_is_whole_at_each_width(width: int) -> None:
    line = judge_times(draw(np.random.default_rng(2), 0.2), 0.05, QUICK)
    page = build_page({"old": ["./synth", "--steps", "50"], "new": ["./synth", "--steps=25"]}, line)
    texts = []
    for columns in (width, 1000):
        stream = io.StringIO()
        print_page(page, Console(file=stream, width=columns, highlight=False))
        texts.append(stream.getvalue())
    assert max(map(cell_len, texts[0].splitlines())) <= width
    assert count_numbers(texts[1]) - count_numbers(texts[0]) == {}
    assert ab.ORDER == ("old", "new", "new", "old")
