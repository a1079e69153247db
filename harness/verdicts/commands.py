"""The commands of verdicts: `stabench compare`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from harness import options

Old = Annotated[Path, typer.Argument(metavar="OLD", help="A run, scores, or a baseline file.")]
New = Annotated[Path, typer.Argument(metavar="NEW", help="What is compared with it.")]
Pairs = Annotated[
    list[str] | None,
    typer.Option("--system", metavar="NAME|OLD=NEW", help="Only this one; repeatable."),
]
Effects = Annotated[
    list[str] | None,
    typer.Option(
        "--effect",
        metavar="COLUMN=VALUE",
        help="Least change that counts, in the metric's unit; of a time its share (0.05: 5 %).",
    ),
]
Margins = Annotated[
    list[str] | None,
    typer.Option("--margin", metavar="COLUMN=VALUE", help="Most change that is called the same."),
]
AcrossHardware = Annotated[
    bool, typer.Option("--across-hardware", help="Show ratios of times of different machines.")
]
Force = Annotated[bool, typer.Option("--force", help="Compare across different provenance.")]
Family = Annotated[
    Literal["row", "all"],
    typer.Option("--family", help="p adjusted over each system's row, or over all rows."),
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Write compare.md and .json there.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(compare)


def compare(
    old: Old,
    new: New,
    system: Pairs = None,
    effect: Effects = None,
    margin: Margins = None,
    across_hardware: AcrossHardware = False,
    force: Force = False,
    family: Family = "row",
    strict: options.Strict = False,
    out: Out = None,
) -> int:
    """Compare two runs clip by clip, with a verdict on every metric; exit 1 for a regression."""
    from harness.verdicts import evidence
    from harness.verdicts.compare_runs import compare_runs, named_bounds, named_pairs
    from harness.verdicts.options import Options

    bounds = {}
    if effect or margin:
        both = evidence.read(old), evidence.read(new)
        bounds = named_bounds(effect or (), margin or (), *both)
    wanted = Options(
        names=named_pairs(system or ()),
        bounds=bounds,
        family=family,
        across_hardware=across_hardware,
        force=force,
    )
    return compare_runs(old, new, wanted, out=out, strict=strict)
