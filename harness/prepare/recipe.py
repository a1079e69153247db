"""A recipe: the TOML file of a training, of which `[data]` is what `stabench prepare` makes.

`[stage1]` and `[stage2]` are the trainings' own tables and are kept as they are.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from stabench.harness import registry
from stabench.harness.errors import StabenchError
from stabench.harness.schema import Strict, first_wrong
from stabench.harness.tables import read_toml

SPLITS = ("train", "validation", "test")


class SplitPaths(Strict):
    """A path for each split; a split without one is not prepared."""

    train: str | None = None
    validation: str | None = None
    test: str | None = None

    def of(self, split: str) -> str | None:
        """Return the path of a split, or None."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]


class Part(Strict):
    """A registered network and its options."""

    use: str = Field(description="Registered name, or path.py:Class.")
    options: dict[str, Any] = Field({})


class Labels(Strict):
    """AudioSet's files, and what becomes of a clip without labels in stage 1."""

    classes: str
    segments: tuple[str, ...] = Field(min_length=1)
    # "skip": kept out of stage 1; "zeros": in it, as a clip of no class.
    unlabelled: Literal["skip", "zeros"] = "skip"


class Data(Strict):
    """What training reads, and what it is made of; paths are seen from the current folder."""

    csv: SplitPaths
    # One folder for all splits, or one for each; without, no latents are made.
    recordings: str | SplitPaths | None = None
    voice: str = "vits-ljs"
    voice_seed: int = Field(0, ge=0)
    # What the speech files' headers claim: 22000 repeats the paper's error. None: the true rate.
    header_rate_hz: int | None = Field(None, ge=1000)
    # Which captions of a clip are spoken: the first, one drawn by the clip's seed, or each.
    captions: Literal["first", "any", "all"] = "first"
    labels: Labels | None = None
    speech_encoder: Part
    # Further encoders, as Table 1 compares them: of speech, or of captions.
    other_encoders: tuple[Part, ...] = ()
    vae: Part | None = None
    least_rate_hz: int = Field(16_000, ge=1000)
    longest_s: float = Field(12.0, gt=0)
    max_failed_share: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _whole(self) -> "Data":
        if not any(map(self.csv.of, SPLITS)):
            raise ValueError("csv names no file; give one for train, validation or test")
        if self.vae is not None and self.recordings is None:
            raise ValueError("vae is given without recordings; add recordings, or leave vae out")
        return self

    def recordings_of(self, split: str) -> str | None:
        """Return the folder of a split's recordings, or None."""
        return (
            self.recordings.of(split)
            if isinstance(self.recordings, SplitPaths)
            else (self.recordings)
        )

    def list_parts(self) -> list[tuple[str, Part]]:
        """Return the networks with their kinds in the registry, STAR's encoder first."""
        parts = [("encoders", part) for part in (self.speech_encoder, *self.other_encoders)]
        return parts + ([("autoencoders", self.vae)] if self.vae else [])


class Recipe(Strict):
    """One training: its data, and the tables of its two stages as they are written."""

    data: Data
    stage1: dict[str, Any] = Field({})
    stage2: dict[str, Any] = Field({})


def load(name: str) -> Recipe:
    """Return a recipe by registered name or by path of a .toml file.

    Raises StabenchError with one line for whatever is wrong in it, MissingError without the file.
    """
    path = registry.toml_path("recipes", name)
    value = read_toml(f"recipe '{path}'", path, f"recipe '{name}': no file '{path}'")
    try:
        return Recipe.model_validate(value)
    except ValidationError as error:
        raise StabenchError(f"recipe '{path}': {first_wrong(error, Recipe)}") from None


def default_folder(name: str) -> Path:
    """Return where a recipe's data go unless told: data/NAME."""
    return Path("data") / Path(name).stem
