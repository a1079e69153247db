"""Sounds that a training renders on its way, scored as any system's: a curve of FAD and CLAP."""

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.runs import metrics_file
from stabench.harness.scoring.score import ON_CPU, Hearing, score_folders
from stabench.harness.suites.protocols import Protocol
from stabench.metrics.audio import AudioError, decode

SAMPLES = "samples"
# Nobody reads the intervals of a point of a curve.
REPLICATES = 100


def new_sample_scorer(
    reference: Path,
    captions: Mapping[str, str],
    protocol: Protocol,
    columns: tuple[str, ...] = ("fad", "clap"),
    hearing: Hearing = ON_CPU,
) -> Callable[[Path], dict[str, float]]:
    """Return what scores a folder of rendered WAVs: columns by name, NaN where there is no number.

    `captions` has the caption of each rendered sound, by file stem; `reference` holds a recording
    of each. A folder's scores are written into it as metrics.json; why a number is not there is
    printed. Raises MissingError for a recording that is not there.
    """
    missing = [name for name in captions if not (reference / f"{name}.wav").is_file()]
    if missing:
        raise MissingError(
            f"{reference / missing[0]}.wav: no such recording ({len(missing)} of {len(captions)} "
            "are missing); give the folder of the validation split's recordings"
        )

    def score(folder: Path) -> dict[str, float]:
        table = folder / "captions.csv"
        with table.open("w", encoding="utf-8", newline="") as file:
            # The third column says that these recordings are meant, and no others of the folder.
            rows = [(name, caption, name) for name, caption in captions.items()]
            csv.writer(file).writerows([("id", "caption", "reference"), *rows])
        score_folders(
            reference,
            {SAMPLES: folder},
            table,
            folder,
            protocol,
            columns=columns,
            sanity=(),
            bootstrap=REPLICATES,
            replace=True,
            hearing=hearing,
        )
        scores = metrics_file.read(folder)
        assert scores is not None, "just written"
        cells = scores.systems[SAMPLES].cells
        for name in columns:
            if cells[name].value is None:
                print(f"{folder}: no {name} ({cells[name].reason})", flush=True)
        values = {name: cells[name].value for name in columns}
        return {name: math.nan if value is None else value for name, value in values.items()}

    return score


def write_references(folder: Path, clips: Mapping[str, tuple[str, Path]]) -> Path:
    """Write the recording of each clip, named with caption and file, as a WAV; return `folder`.

    Raises StabenchError, or MissingError, for a recording that cannot be read.
    """
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    for name, (_, path) in clips.items():
        if not path.is_file():
            raise MissingError(f"{path}: no such recording; run: stabench prepare")
        try:
            audio = decode(path)
        except AudioError as error:
            raise StabenchError(f"{path}: {error}") from error
        soundfile.write(folder / f"{name}.wav", audio.samples, audio.rate_hz, subtype="FLOAT")
    return folder
