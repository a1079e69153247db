"""Models that were trained on a metric: their figures in it are no evidence of better sound.

One place for the systems of suites and for the published tables (results/paper). A suite declares
further ones by the key `trained_on` of a system.
"""

from collections.abc import Mapping
from typing import NamedTuple

from stabench.harness.suites.suite import SystemUse

# The mark of such a cell in every table.
TRAINED = "\N{SECTION SIGN}"
CLAP = ("clap", "clap_music")
FRECHET = ("fad", "fad_inf", "fd")


class Trained(NamedTuple):
    """One model: the columns that it was trained on, how, and who it is in a suite.

    `systems` are registered ones, `generators` parts of a cascade, `recorded` the outputs of it
    that a suite has, as (suite, system).
    """

    columns: tuple[str, ...]
    how: str
    systems: tuple[str, ...] = ()
    generators: tuple[str, ...] = ()
    recorded: tuple[tuple[str, str], ...] = ()


MODELS: dict[str, Trained] = {
    "fdaudio": Trained(FRECHET, "trained on Frechet distances"),
    "tango2": Trained(
        CLAP,
        "its preference pairs were chosen by CLAP",
        systems=("oracle-tango2", "whisper-tango2"),
        generators=("tango2",),
        recorded=(("demo", "tango2"),),
    ),
    "tangoflux": Trained(
        CLAP,
        "its preference pairs were ranked by CLAP",
        systems=("oracle-tangoflux", "whisper-tangoflux"),
        generators=("tangoflux",),
    ),
}


def list_trained_columns(use: SystemUse, suite: str) -> tuple[str, ...]:
    """Return the columns that a system of a suite was trained on: known here, or declared there."""
    generator = use.options.get("tta")
    name = generator.get("use") if isinstance(generator, Mapping) else generator
    known = [
        model.columns
        for model in MODELS.values()
        if use.use in model.systems
        or (use.use == "cascade" and name in model.generators)
        or (suite, use.name) in model.recorded
    ]
    return tuple(
        dict.fromkeys(column for columns in (*known, use.trained_on) for column in columns)
    )
