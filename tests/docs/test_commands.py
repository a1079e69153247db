"""Every command on a page is one that exists, and does what the page says when it is typed."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from stabench.harness.cli import main
from tests.docs.blocks import (
    PAGES,
    README,
    ROOT,
    SHELLS,
    Block,
    Command,
    list_commands,
    list_inline,
    read_blocks,
)

BLOCKS = [block for page in PAGES for block in read_blocks(page)]
COMMANDS = [command for block in BLOCKS for command in list_commands(block)]
QUICK = {
    *("baseline", "compare", "doctor", "export", "gate", "history", "leaderboard", "list"),
    *("report", "reproduce", "weights"),
}
"""What needs no system to run."""
ANSWERS = {"compare": {0, 1}, "gate": {0, 1}}
"""Exit codes that are an answer; of all other commands 0 alone is one."""
BLIND = "stabench gate latest --baseline pocket"
"""Times of another machine are not judged: here exit code 5 is an answer too, as the page says."""
STANDS_FOR = {
    "make bench": "stabench run pocket --limit 12",
    "make test": "true",
}
"""What is typed here in place of commands that .ci/run types, in the folder with the Makefile."""


def list_answers(command: Command) -> set[int]:
    """Return the exit codes with which a command did what its page says."""
    blind = {5} if shlex.join(command.words) == BLIND else set()
    return ANSWERS.get((*command.words, "")[1], {0}) | blind


def name_command(command: Command) -> str:
    return f"{command.block.name} {command.text[:60]}"


def is_typed(command: Command) -> bool:
    """Return whether a page promises that a command runs as it is typed."""
    return command.block.language in SHELLS and not command.block.is_limited


def is_quick(command: Command) -> bool:
    """Return whether a command can be run here, on a run that is there already."""
    if not is_typed(command) or command.words[0] != "stabench" or command.block.page == README:
        return False
    ends_early = any(line.startswith("stabench: ") for line in command.output.splitlines())
    # With --init a suite is only named.
    slow = {"--noise", "--judges", "--suite"} & {*command.words} and "--init" not in command.words
    return ends_early or (command.words[1] in QUICK and not slow)


def check_words(words: list[str], *, whole: bool = True) -> None:
    """Parse words by the command line's own parser; raise its error for what it does not know.

    A command in running text need not be `whole`: its arguments may be missing.
    """
    command: Any = typer.main.get_command(main.app)
    rest = [word.strip("[]") for word in words if word != "--debug"]
    while hasattr(command, "commands") and rest:
        name = rest.pop(0)
        assert name in command.commands, f"no command '{name}'; {', '.join(command.commands)}"
        command = command.commands[name]
    try:
        command.make_context(words[0], rest)
    except Exception as error:
        if whole or type(error).__name__ not in ("MissingParameter", "NoArgsIsHelpError"):
            raise AssertionError(f"{' '.join(words)}: {error}") from error


def list_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))


@pytest.mark.parametrize("command", COMMANDS, ids=name_command)
def test_a_command_is_one_that_exists(command: Command) -> None:
    words = command.words
    if words[0] == "stabench":
        check_words(words[1:])
    elif words[0] == "make":
        names = {word for word in words[1:] if "=" not in word}
        assert names <= list_targets()
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]) is not None
    else:
        # Whatever else a page asks for is a tool that everybody has.
        assert words[0] in (".", "pip", "node"), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_in_running_text_exist(page: Path) -> None:
    for text in list_inline(page):
        words = shlex.split(text, comments=True)[1:]
        if "..." not in words:
            check_words(words, whole=False)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("rum pocket", "no command 'rum'"),
        ("run pocket --limits 3", "No such option"),
        ("run pocket --limit none", "valid integer"),
        ("weights fetched", "no command 'fetched'"),
        ("compare OLD", "Missing parameter: new"),
    ],
)
def test_what_does_not_exist_is_noticed(words: str, line: str) -> None:
    with pytest.raises(AssertionError, match=line):
        check_words(words.split())


def write_files(page: Path, folder: Path) -> None:
    """Write the files that a page shows whole."""
    for block in read_blocks(page):
        if block.is_file:
            (folder / block.title).write_text(block.text, "utf-8")


def run_here(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command line in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", words)
    return main.main()


def mask(text: str) -> list[str]:
    """Return the lines of an output as they are compared: figures masked, white space squeezed."""
    text = re.sub(r"Z-[0-9a-f]{6}\b", "Z-1", text)  # the end of a run folder's name
    lines = (re.sub(r"\d+([.,]\d+)*", "1", " ".join(line.split())) for line in text.splitlines())
    return [line for line in lines if line]


def check_output(shown: str, printed: str) -> None:
    """Raise AssertionError unless the shown lines were printed one after the other.

    "..." stands for any lines, at the end of a line for its rest.
    """
    pattern = "^"
    for line in mask(shown):
        start, dots, _ = line.partition("...")
        pattern += "(?:.*\n)*" if line == "..." else re.escape(start) + (".*\n" if dots else "\n")
    text = "".join(f"{line}\n" for line in mask(printed))
    assert re.search(pattern, text, re.MULTILINE), f"not printed so:\n{shown}\nbut:\n{printed}"


@pytest.mark.parametrize(
    "page", sorted({c.block.page for c in COMMANDS if is_quick(c)}), ids=lambda page: page.stem
)
def test_quick_commands_of_a_page_run(
    page: Path,
    clone_with_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    write_files(page, clone_with_run)
    for command in (c for c in COMMANDS if c.block.page == page and is_quick(c)):
        code = run_here(command.words, monkeypatch)
        printed = capfd.readouterr()
        if command.output:
            check_output(command.output, printed.out + printed.err)
        else:
            assert code in list_answers(command), printed.err


def test_an_output_that_was_not_printed_is_noticed() -> None:
    check_output("a 1\n...\na 3\nc [x], ...\n", "a 2\na 1\na 3\nc [x], y\n")
    for shown in ("a\nd\n", "b\na\n", "a\nc\n", "a b\n"):
        with pytest.raises(AssertionError, match="not printed"):
            check_output(shown, "a\nb\nc\n")


def test_what_stands_for_a_command_stands_for_one_of_the_front_page() -> None:
    typed = [shlex.join(c.words) for c in COMMANDS if c.block.page == README and is_typed(c)]
    assert {*STANDS_FOR, BLIND} <= {*typed}
    assert len(typed) >= 8
    steps = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "step make bench" in steps
    assert "make test-all" in steps


def test_every_console_shows_what_its_command_prints() -> None:
    consoles = [command for command in COMMANDS if command.block.language == "console"]
    assert [command.block.name for command in consoles if not command.output] == []


def list_pages_to_type() -> list[Path]:
    """Return the pages with commands that run everywhere."""
    return sorted({command.block.page for command in COMMANDS if is_typed(command)})


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", list_pages_to_type(), ids=lambda page: page.stem)
def test_a_page_runs_as_typed(
    page: Path, clone: Path, once: Callable[[str, Callable[[Path], object]], Path]
) -> None:
    write_files(page, clone)
    shim = clone / "bin" / "stabench"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stabench "$@"\n')
    shim.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "STABENCH_CACHE": str(once("typed_cache", lambda folder: None)),
    }
    for command in (c for c in COMMANDS if c.block.page == page and is_typed(c)):
        done = subprocess.run(
            STANDS_FOR.get(shlex.join(command.words), command.text),
            shell=True,
            cwd=clone,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if command.output:
            check_output(command.output, done.stdout)
        else:
            name = f"{name_command(command)}\n{done.stdout}"
            assert done.returncode in list_answers(command), name


def test_every_file_on_a_page_has_a_command_that_uses_it() -> None:
    """A file that nothing runs may be wrong for years."""
    unused = [block.name for block in BLOCKS if block.is_file and not _is_used(block)]
    assert unused == []


def _is_used(block: Block) -> bool:
    page = block.page
    others = [other for other in read_blocks(page) if other.is_file and other.title != block.title]
    commands = [c.text for c in COMMANDS if c.block.page == page and not c.block.is_limited]
    return any(block.title in text for text in (*commands, *(other.text for other in others)))
