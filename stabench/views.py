"""What a notebook or a terminal shows of a run: its table, and the sounds of a clip."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from stabench.harness.render.page import Page, Section
from stabench.metrics.audio import Audio, decode, encode

# Columns of a table as text.
WIDTH = 100


class PageView:
    """A page of stabench: text in a terminal, HTML in a notebook."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def __str__(self) -> str:
        from rich.console import Console

        from stabench.harness.render.terminal import print_page

        stream = io.StringIO()
        print_page(self.page, Console(file=stream, width=WIDTH, highlight=False))
        return stream.getvalue().rstrip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = [f"<h3>{escape(self.page.title)}</h3>", f"<p>{escape(self.page.lead)}</p>"]
        for section in self.page.sections:
            if section.only != "terminal":
                parts += _to_html(section)
        return "\n".join(parts)


def _to_html(section: Section) -> list[str]:
    parts = [
        f"<h4>{escape(section.title)}</h4>",
        *(f"<p>{escape(text)}</p>" for text in section.text),
    ]
    if section.grid:
        heads = "".join(f"<th>{escape(head.text)}</th>" for head in section.grid.heads)
        parts += [f"<table><thead><tr>{heads}</tr></thead><tbody>"]
        width = len(section.grid.heads)
        for line in section.grid.lines:
            if line.heading:
                parts.append(f'<tr><th colspan="{width}">{escape(line.heading)}</th></tr>')
                continue
            texts = []
            for cell in line.cells:
                main = escape(cell.main)
                under = f"<br><small>{escape(cell.under)}</small>" if cell.under else ""
                texts.append(f"<td>{f'<b>{main}</b>' if cell.strong else main}{under}</td>")
            parts.append(f"<tr>{''.join(texts)}</tr>")
        parts.append("</tbody></table>")
    if section.points:
        points = "".join(f"<li>{escape(point)}</li>" for point in section.points)
        parts.append(f"<ul>{points}</ul>")
    return parts


class Sound(NamedTuple):
    """One sound of a clip: whose it is, its file, what was heard in it (a transcript) or said."""

    label: str
    path: Path
    text: str | None = None

    def read(self) -> Audio:
        """Return samples float32 [T] (or [T, channels]) and rate. Raises AudioError."""
        return decode(self.path)


class Player:
    """The sounds of one clip; in a notebook with controls to hear them."""

    def __init__(self, clip: str, caption: str | None, sounds: Sequence[Sound]) -> None:
        self.clip, self.caption, self.sounds = clip, caption, tuple(sounds)

    def __repr__(self) -> str:
        width = max((len(sound.label) for sound in self.sounds), default=0)
        lines = [f"{self.clip}: {self.caption or 'no caption'}"]
        for sound in self.sounds:
            text = f"  {sound.text!r}" if sound.text else ""
            lines.append(f"  {sound.label:{width}}  {sound.path}{text}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(sound.label)}</td><td>{_embed(sound)}</td>"
            f"<td>{escape(sound.text or '')}</td></tr>"
            for sound in self.sounds
        )
        title = f"{self.clip}: {self.caption}" if self.caption else self.clip
        return f"<p>{escape(title)}</p><table>{rows}</table>"


def _embed(sound: Sound) -> str:
    """Return an element that plays the sound's first channel, or why it cannot be played."""
    try:
        samples, rate_hz = sound.read()
    except ValueError as error:
        return escape(str(error))
    mono = samples if samples.ndim == 1 else samples[:, 0]
    data = base64.b64encode(encode(mono, rate_hz)).decode()
    return f'<audio controls preload="none" src="data:audio/wav;base64,{data}"></audio>'
