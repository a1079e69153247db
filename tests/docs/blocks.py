"""Blocks of code on the pages of the documentation, and the commands in them.

A block that cannot run everywhere says so in its title, which begins with "needs".
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").rglob("*.md")))
FENCE = re.compile(r"^ *```(?P<info>.*)$")
TITLE = re.compile(r'title="([^"]*)"')
INLINE = re.compile(r"(?<!`)`(stabench [^`\n]+)`|^    (stabench .+)$", re.MULTILINE)
SHELLS = ("sh", "console")


class Block(NamedTuple):
    """A fenced block: its page, the line of its first line, language, title and text."""

    page: Path
    line: int
    language: str
    title: str
    text: str

    @property
    def name(self) -> str:
        """Page and line, as a message names them."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_limited(self) -> bool:
        """Whether it needs what is not everywhere."""
        return self.title.startswith("needs")

    @property
    def is_file(self) -> bool:
        """Whether the title is the name of the file that the text is."""
        return bool(re.fullmatch(r"[\w-]+\.(py|toml)", self.title))


class Command(NamedTuple):
    """One command: where it is, its words, and what a console shows below it."""

    block: Block
    text: str
    output: str = ""

    @property
    def words(self) -> list[str]:
        """The words as a shell takes them."""
        return shlex.split(self.text, comments=True)


def read_blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in their order."""
    blocks: list[Block] = []
    info, start, lines = None, 0, list[str]()
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        fence = FENCE.match(line)
        if fence and info is None:
            info, start, lines = fence["info"], number + 1, []
        elif fence and info is not None:
            language, title = info.split(" ")[0].strip(), TITLE.search(info)
            text = "\n".join(lines) + "\n"
            blocks.append(Block(page, start, language, title[1] if title else "", text))
            info = None
        elif info is not None:
            lines.append(line)
    assert info is None, f"{page}: a block does not end"
    return blocks


def list_commands(block: Block) -> Iterator[Command]:
    """Yield the commands of a block of a shell; of a console those after "$ ", with their output.

    A block without a language is one of a shell where it begins with a command of ours.
    """
    unnamed = not block.language and block.text.startswith(("stabench ", "make "))
    if block.language == "console":
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield Command(block, command, output)
    elif block.language == "sh" or unnamed:
        for line in block.text.replace("\\\n", " ").splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                yield Command(block, line.strip())


def list_inline(page: Path) -> list[str]:
    """Return the commands in the running text of a page, and in indented blocks."""
    text, fenced = "", False
    for line in page.read_text("utf-8").splitlines():
        fenced ^= bool(FENCE.match(line))
        text += "" if fenced else f"{line}\n"
    return [inline or indented for inline, indented in INLINE.findall(text)]
