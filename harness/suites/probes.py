"""A suite of probes: classifiers on the frames of frozen encoders, as in Table 1 of STAR.

A TOML file with a table [probes] is one. No system answers with sound in it, so it has neither
[metrics] nor [[system]], and a room of its own runs it (harness/probing).
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from stabench.harness import registry
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.schema import Strict, first_wrong
from stabench.harness.suites import suite
from stabench.harness.suites.select import read_value
from stabench.harness.suites.suite import Name, Suite
from stabench.harness.tables import read_toml

TABLE = "probes"
Bridge = Literal["mlp", "qformer"]
BRIDGES: tuple[Bridge, ...] = ("mlp", "qformer")


class Probes(Strict):
    """What is read of which labelled clips, by which bridges, and how the figures are made."""

    corpus: str = Field(description='Registered name (`stabench list corpora`), or "path.py:NAME".')
    options: dict[str, Any] = Field({}, description="Keyword arguments of the corpus.")
    bridges: tuple[Bridge, ...] = Field(
        BRIDGES, min_length=1, description="Classifiers that are trained on every encoder."
    )
    seed: int = Field(0, ge=0, description="Of first weights, batches and intervals.")
    threads: int = Field(1, ge=1, description="CPU threads of each probe.")
    at_once: int = Field(2, ge=1, description="Probes that are trained side by side on a CPU.")
    timeout_s: float = Field(86_400, gt=0, description="Seconds that one probe may take.")
    bootstrap: int = Field(1000, ge=100, description="Resamples behind an interval.")


class EncoderUse(Strict):
    """One frozen encoder: a column of the table."""

    name: Name = Field(
        description="What files and commands call it.",
        json_schema_extra={"allowed": "letters, digits, `._+-`; at most 100"},
    )
    label: str = Field("", description="What tables call it; without one, its name.")
    reads: Literal["caption", "speech"] = Field(description="Group of the table that it is in.")
    use: str = Field(description='Registered name (`stabench list encoders`), or "path.py:Class".')
    options: dict[str, Any] = Field({}, description="Keyword arguments of the class or function.")


class ProbeSuite(Strict):
    """A suite of probes as resolved: a resumed run must equal it."""

    name: Name = Field(
        description="Begins the names of run folders.",
        json_schema_extra={"allowed": "letters, digits, `._+-`; at most 100"},
    )
    title: str = Field("", description="Heading of the report; without one, the name.")
    notes: tuple[str, ...] = Field((), description="Sentences printed with every report of a run.")
    probes: Probes
    encoders: tuple[EncoderUse, ...] = Field(alias="encoder", min_length=1)
    recipe: dict[Bridge, dict[str, Any]] = Field(
        {},
        description="A table for each bridge, [recipe.mlp] and [recipe.qformer]: keys of stage 1's "
        "settings that are not the paper's (docs/table1.md).",
    )

    @field_validator("encoders")
    @classmethod
    def _unique(cls, encoders: tuple[EncoderUse, ...]) -> tuple[EncoderUse, ...]:
        name, count = Counter(encoder.name for encoder in encoders).most_common(1)[0]
        if count > 1:
            raise ValueError(f"encoder name '{name}' is used {count} times; every name must differ")
        return encoders

    def resolved(self) -> dict[str, Any]:
        """Return the suite as JSON holds it: the keys of the TOML file."""
        return self.model_dump(mode="json", by_alias=True)

    def check_names(self) -> None:
        """Raise StabenchError with the nearest match for a name that nothing registers."""
        registry.target("corpora", self.probes.corpus)
        for encoder in self.encoders:
            registry.target("encoders", encoder.use)


def load_any(name: str) -> Suite | ProbeSuite:
    """Read a suite of either form by registered name or by path of a .toml file.

    Raises StabenchError with one line for whatever is wrong in it, MissingError without the file.
    """
    return load(name) if is_probe_suite(name) else suite.load(name)


def is_probe_suite(name: str) -> bool:
    """Return whether a suite, by registered name or by path, has a table [probes].

    Raises StabenchError for an unknown name or a file that is no TOML, MissingError without it.
    """
    return TABLE in _read(name)


def load(name: str) -> ProbeSuite:
    """Read a suite of probes; raises as `load_any` does."""
    return parse(f"suite '{registry.toml_path('suites', name)}'", _read(name))


def _read(name: str) -> dict[str, Any]:
    path: Path = registry.toml_path("suites", name)
    return read_toml(f"suite '{path}'", path, f"suite '{name}': no file '{path}'")


def parse(what: str, value: dict[str, Any]) -> ProbeSuite:
    """Return a suite of probes from plain values; `what` begins the line of an error."""
    try:
        return ProbeSuite.model_validate(value)
    except ValidationError as error:
        raise StabenchError(f"{what}: {first_wrong(error, ProbeSuite)}") from None


def select_encoders(chosen: ProbeSuite, names: Sequence[str]) -> ProbeSuite:
    """Return the suite with the encoders of `names` alone, in their order; with all for none.

    Raises StabenchError with the nearest match for a name that the suite does not have.
    """
    known = {encoder.name: encoder for encoder in chosen.encoders}
    for name in names:
        if name not in known:
            raise StabenchError(f"suite '{chosen.name}': {unknown('encoder', name, known)}")
    kept = tuple(known[name] for name in dict.fromkeys(names)) or chosen.encoders
    return chosen.model_copy(update={"encoders": kept})


def set_keys(chosen: ProbeSuite, assignments: Sequence[str]) -> ProbeSuite:
    """Return the suite with each KEY=VALUE set, read as strictly as a file; an encoder by its name.

    Raises StabenchError for another form, an unknown key or a value that is not allowed.
    """
    value = chosen.resolved()
    for text in assignments:
        key, equals, value_text = text.partition("=")
        path = key.split(".")
        if not equals or not all(path):
            raise StabenchError(f"--set '{text}': expected KEY=VALUE, such as probes.seed=1")
        place: Any = value
        if path[0] == "encoder" and len(path) > 2:
            encoders = {encoder["name"]: encoder for encoder in value["encoder"]}
            if path[1] not in encoders:
                what = unknown("encoder", path[1], encoders)
                raise StabenchError(f"--set {key}: suite '{chosen.name}': {what}")
            place, path = encoders[path[1]], path[2:]
        for part in path[:-1]:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise StabenchError(f"--set {key}: '{part}' is a value, no table of keys")
        place[path[-1]] = read_value(value_text)
    return parse(f"suite '{chosen.name}' with --set", value) if assignments else chosen
