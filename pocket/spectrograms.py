"""The picture of the README: `python -m stabench.pocket.spectrograms RUN OUT.png CLIP...`."""

import sys
from pathlib import Path

import matplotlib

# Before pyplot is imported, which else looks for a screen.
matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from stabench.harness.runs.run_folder import RunFolder
from stabench.metrics.audio import decode

COLUMNS = ("reference", "oracle", "star", "cascade")
FLOOR_DB = -70


def picture(run: Path, clips: list[str], out: Path) -> None:
    """Draw one row a clip, one column each for the reference and three systems; 0 to 8 kHz, 4 s."""
    folder = RunFolder.open(run)
    known = {clip.id: clip for clip in folder.clips}
    heard = {(row.system, row.clip): row.text for row in folder.rows() if row.ok}
    figure, axes = plt.subplots(len(clips), len(COLUMNS), figsize=(12, 2.1 * len(clips) + 0.4))
    for row, name in zip(np.atleast_2d(axes), clips, strict=True):
        for axis, column in zip(row, COLUMNS, strict=True):
            path = known[name].reference
            if column != "reference":
                path = folder.audio_path(column, name)
            assert path is not None, f"{name} has no reference"
            _draw(axis, decode(path).samples)
            axis.set_title(column, fontsize=9, loc="left", fontweight="bold")
        title = f'said: "{known[name].caption}"\ncascade heard: "{heard["cascade", name]}"'
        row[0].set_ylabel("kHz", fontsize=8)
        row[0].text(0, 1.2, title, transform=row[0].transAxes, fontsize=9, va="bottom")
    figure.subplots_adjust(0.04, 0.03, 0.99, 0.91, wspace=0.13, hspace=0.75)
    figure.savefig(out, dpi=90)


def _draw(axis: plt.Axes, samples: np.ndarray) -> None:
    frames = np.lib.stride_tricks.sliding_window_view(samples, 512)[::160] * np.hanning(512)
    power = 20 * np.log10(np.abs(np.fft.rfft(frames)).T + 1e-6)
    loudest = power.max()
    seconds = len(samples) / 16_000
    axis.imshow(
        power,
        origin="lower",
        aspect="auto",
        extent=(0, seconds, 0, 8),
        vmin=loudest + FLOOR_DB,
        vmax=loudest,
        cmap="magma",
    )
    axis.tick_params(labelsize=7)


if __name__ == "__main__":
    picture(Path(sys.argv[1]), sys.argv[3:], Path(sys.argv[2]))
