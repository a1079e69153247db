"""conditions.json: what a run's clips are under its conditions, as measured; and the rows' names.

For the engine a clip under a condition is a clip of its own, `CLIP@CONDITION`: journal, resumption,
sounds and workers know no conditions. Whoever reads a run asks for one condition and gets rows
under the names of the dataset, so that clips are paired across conditions by their ids.
"""

from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, ValidationError

from stabench.harness import files
from stabench.harness.datasets.conditions.rendering import HeardClip
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.schema import Strict, first_key

NAME = "conditions.json"
# Folders in the run's: the speech that was heard, and the scores of each condition.
SPEECH, SCORES = "speech", "conditions"


class ConditionRecord(Strict):
    """One condition of a run, and its clips by id. `identity` is all that decides its sound."""

    name: str
    label: str
    identity: str
    clips: dict[str, HeardClip]


class ConditionsFile(Strict):
    """conditions.json; `seed` is that of the run."""

    schema_version: Literal[1] = Field(1, alias="schema")
    seed: int
    conditions: tuple[ConditionRecord, ...]

    def of(self, name: str) -> ConditionRecord:
        """Return one condition. Raises KeyError without it."""
        return {record.name: record for record in self.conditions}[name]


class Variant(NamedTuple):
    """A clip as the engine runs it: speech under a condition, or why there is none."""

    clip: str
    condition: str
    speech: Path | None
    failure: str | None


def read(folder: Path) -> ConditionsFile:
    """Return what a run folder says of its conditions.

    Raises MissingError where rendering was not finished, StabenchError for another shape.
    """
    path = folder / NAME
    if not path.is_file():
        raise MissingError(
            f"run '{folder}': its conditions were not rendered to the end; resume it"
        )
    try:
        return ConditionsFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StabenchError(f"{path}: {first_key(error)}; run again") from None


def write(folder: Path, content: ConditionsFile) -> None:
    """Write conditions.json, whole or not at all."""
    files.write_json(folder / NAME, content.model_dump(mode="json", by_alias=True))
