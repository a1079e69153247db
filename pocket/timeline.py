"""When the pocket's events sound: the thresholds of its tagger's windows.

    python -m stabench.pocket.timeline

measures them for the tagger that lies in `pocket/weights/`, on 400 validation scenes, and writes
`pocket/weights/timeline/config.json`. They belong to one tagger: with another one the embedder
refuses to start, so the training writes them anew after it has shipped a tagger.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from stabench.harness import files
from stabench.metrics.audio import without_dc
from stabench.metrics.embedders import weight_sources
from stabench.metrics.embedders import weights as store
from stabench.metrics.embedders.cnn14 import TaggerCard
from stabench.metrics.embedders.event_timeline import EventTimeline
from stabench.pocket.configs import WEIGHTS
from stabench.pocket.scenes import items
from stabench.pocket.sounds.events import LABELS
from stabench.pocket.sounds.scene import render, to_pcm16

TAGGER, FOLDER = "tagger", "timeline"
LICENCE = "Apache-2.0"
WINDOW_S = 0.64
FALSE_ALARMS = 0.02
SCENES = 400


class TimelineCard(BaseModel):
    """`config.json` of the timeline: `thresholds` [C] of windows of the tagger with this sha256."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tagger: str
    window_s: float
    thresholds: tuple[float, ...]


def timeline(weights: Path = WEIGHTS) -> EventTimeline:
    """Return the timeline of a weights folder, its tagger in windows with their thresholds.

    Raises FileNotFoundError for a missing file, ValueError for thresholds of another tagger.
    """
    card = store.read_config(weights / FOLDER, TimelineCard)
    tagger = _find_tagger(weights)
    if card.tagger != tagger.sha256:
        raise ValueError(
            f"{weights / FOLDER / store.CONFIG} is of the tagger {card.tagger[:12]}, the one in "
            f"{tagger.path} is {tagger.sha256[:12]}; run python -m stabench.pocket.timeline"
        )
    return _build_timeline(tagger, card.window_s, card.thresholds)


def ship_timeline(weights: Path, waveforms: Iterable[np.ndarray], labels: np.ndarray) -> Path:
    """Measure the thresholds for the tagger in `weights` and write their card; return its path.

    `waveforms` are the validation clips at 16 kHz, `labels` [N, C] say which events each holds.
    """
    tagger = _find_tagger(weights)
    limits = window_thresholds(_build_timeline(tagger, WINDOW_S, ()), waveforms, labels)
    card = TimelineCard(
        tagger=tagger.sha256,
        window_s=WINDOW_S,
        thresholds=tuple(round(float(limit), 4) for limit in limits),
    )
    path = weights / FOLDER / store.CONFIG
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path, (card.model_dump_json(indent=1) + "\n").encode())
    return path


def window_thresholds(
    network: EventTimeline, waveforms: Iterable[np.ndarray], labels: np.ndarray
) -> np.ndarray:
    """Return logits [C] that some window of 2 % of the clips without the event reaches."""
    network.load("cpu")
    # The share is of clips, not of windows, so that "heard" says as much of a clip as the tagger's
    # thresholds do: at 2 % of the windows 7 % of the clips would be heard to hold an absent event.
    peaks = [
        network.embed([without_dc(np.asarray(waveform))])[0].embeddings.max(axis=0)
        for waveform in waveforms
    ]
    absent = np.asarray(labels) == 0
    columns = [np.array(peaks)[absent[:, c], c] for c in range(absent.shape[1])]
    return np.array([np.quantile(column, 1 - FALSE_ALARMS) for column in columns])


def _find_tagger(weights: Path) -> weight_sources.Folder:
    return weight_sources.Folder(weights / TAGGER, "pocket", LICENCE)


def _build_timeline(
    tagger: weight_sources.Folder, window_s: float, thresholds: tuple[float, ...]
) -> EventTimeline:
    card = store.read_config(tagger.path, TaggerCard)
    return EventTimeline(tagger, window_s, card.network, card.labels, thresholds)


def main() -> None:
    scenes = [item.scene for item in items("validation", SCENES)]
    clips = (to_pcm16(render(scene)).astype(np.float32) / 2**15 for scene in scenes)
    labels = np.array([[label in scene.events for label in LABELS] for scene in scenes])
    print(ship_timeline(WEIGHTS, clips, labels))


if __name__ == "__main__":
    main()
