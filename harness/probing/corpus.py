"""Labelled clips in three splits, and the frames that a frozen encoder makes of them."""

import json
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from stabench.harness import registry
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.suites.probes import EncoderUse, ProbeSuite

SPLITS = ("train", "validation", "test")
# By name: the harness imports nothing of `systems`.
OPEN_FRAMES = "stabench.systems.training.feature_store:open_frames"
ADVICE = "run: stabench prepare"


class Split(NamedTuple):
    """The clips of a split: `ids`, `labels` bool [N, C], and their `rows` in its store of frames.

    A clip that takes no part in stage 1 has frames, and is left out here.
    """

    ids: tuple[str, ...]
    labels: np.ndarray
    rows: np.ndarray


class Corpus(Protocol):
    """What is registered as a corpus: a class or function that returns one of its options.

    `version` changes when any clip does.
    """

    name: str
    version: str
    classes: tuple[str, ...]

    def read(self, split: str) -> Split:
        """Return the clips of a split. Raises MissingError where they are not there."""

    def find_frames(self, encoder: EncoderUse, split: str, device: str) -> Path:
        """Return the store of an encoder's frames of a split, made first where it is not there.

        Raises MissingError for weights or features that are not there.
        """


def load_corpus(suite: ProbeSuite) -> Corpus:
    """Return the corpus of a suite. Raises StabenchError for wrong options, MissingError."""
    name, options = suite.probes.corpus, suite.probes.options
    make = registry.load("corpora", name)
    registry.check_options(f"corpus '{name}'", make, options)
    try:
        corpus: Corpus = make(**options)
    except FileNotFoundError as error:
        raise MissingError(f"corpus '{name}': {error}") from error
    return corpus


class Prepared:
    """Clips and frames as `stabench prepare` leaves them in `folder`.

    Raises MissingError for a folder without clips, StabenchError for clips without labels.
    """

    def __init__(self, folder: str, name: str = "audiocaps") -> None:
        self.folder, self.name = Path(folder), name
        table = self._read_table("test")
        known = json.loads(table.schema.metadata[b"classes"])
        if not known:
            raise StabenchError(
                f"'{self.folder}': its clips have no labels; add [data.labels] to the recipe and "
                f"{ADVICE}"
            )
        self.classes = tuple(known["names"])
        record = self.folder / "prepared.json"
        if not record.is_file():
            raise MissingError(f"'{record}': no such file; {ADVICE}")
        splits = json.loads(record.read_text("utf-8"))["splits"]
        digests = [splits[split]["clips_sha256"] for split in SPLITS if split in splits]
        self.version = "-".join(digest[:12] for digest in digests)

    def read(self, split: str) -> Split:
        """See Corpus."""
        table = self._read_table(split).to_pydict()
        # Which clips take part is the recipe's choice (`unlabelled`).
        rows = [row for row, takes_part in enumerate(table["stage1"]) if takes_part]
        labels = np.zeros((len(rows), len(self.classes)), bool)
        for place, row in enumerate(rows):
            labels[place, table["labels"][row] or []] = True
        return Split(tuple(table["id"][row] for row in rows), labels, np.array(rows))

    def find_frames(self, encoder: EncoderUse, split: str, device: str) -> Path:
        """See Corpus; an encoder that the recipe does not name has no frames here."""
        for path in sorted(self.folder.glob(f"{split}/features-*/store.json")):
            source: dict[str, Any] = json.loads(path.read_text("utf-8"))["source"]
            if source.get("use") == encoder.use and (path.parent / "index.arrow").is_file():
                return path.parent
        raise MissingError(
            f"'{self.folder / split}': no frames of encoder '{encoder.use}'; add it to "
            f"other_encoders of the recipe's [data] and {ADVICE}"
        )

    def _read_table(self, split: str) -> Any:
        from pyarrow import parquet

        path = self.folder / split / "clips.parquet"
        if not path.is_file():
            raise MissingError(f"'{path}': no such file; {ADVICE}")
        return parquet.read_table(path, columns=["id", "labels", "stage1"])
