"""costs.json: the profile of each system and the ceilings of the device, read without torch."""

from pathlib import Path

from pydantic import Field, ValidationError

from stabench.harness import files
from stabench.harness.errors import StabenchError
from stabench.harness.profiling.profile import Profile
from stabench.harness.profiling.roofline import Ceilings
from stabench.harness.schema import Strict, first_key

NAME = "costs.json"
SCHEMA = 1


class CostsFile(Strict):
    """costs.json. Without `ceilings`, `no_ceilings` says why they are not known."""

    schema_version: int = Field(SCHEMA, alias="schema", ge=SCHEMA, le=SCHEMA)
    systems: dict[str, Profile] = Field({})
    ceilings: Ceilings | None = None
    no_ceilings: str | None = None

    @property
    def precisions(self) -> set[str]:
        """Every precision in which something was computed."""
        stages = (stage for profile in self.systems.values() for stage in profile.stages)
        return {name for stage in stages for name in stage.flops or ()}


def read(folder: Path) -> CostsFile | None:
    """Return the costs in a run folder, None where nothing was profiled.

    Raises StabenchError with the first wrong key of a file that is not one.
    """
    path = folder / NAME
    # A run of a suite that profiles nothing has no such file.
    if not path.exists():
        return None
    try:
        return CostsFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StabenchError(
            f"{path}: {first_key(error)}; remove the file and resume the run"
        ) from None


def write(folder: Path, costs: CostsFile) -> None:
    """Replace costs.json."""
    files.write_json(folder / NAME, costs.model_dump(mode="json", by_alias=True))
