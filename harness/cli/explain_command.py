"""The command that says which protocol gives somebody's figures: `stabench explain`."""

import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer

from stabench.harness.cli import options
from stabench.harness.errors import StabenchError, unknown

PRINTED = "As it is printed: its digits count."
FAD = Annotated[str | None, typer.Option("--fad", metavar="FIGURE", help=PRINTED)]
FD = Annotated[str | None, typer.Option("--fd", metavar="FIGURE", help=PRINTED)]
KL = Annotated[str | None, typer.Option("--kl", metavar="FIGURE", help=PRINTED)]
IS = Annotated[str | None, typer.Option("--is", metavar="FIGURE", help=PRINTED)]
CLAP = Annotated[str | None, typer.Option("--clap", metavar="FIGURE", help=PRINTED)]
Outputs = Annotated[Path, typer.Option("--outputs", metavar="DIR", help="WAVs of the system.")]
Reference = Annotated[Path, typer.Option("--reference", metavar="DIR", help="Its recordings.")]
Lists = Annotated[
    list[str] | None,
    typer.Option("--clips", metavar="NAME=FILE", help="A list of clip ids to try; repeatable."),
]
Judges = Annotated[
    list[str] | None,
    typer.Option("--judge", metavar="ROLE=NAME", help="Try this network only; repeatable."),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="AXIS=VALUE", help="What is known already; repeatable."),
]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(explain)


def explain(
    outputs: Outputs,
    reference: Reference,
    fad: FAD = None,
    fd: FD = None,
    kl: KL = None,
    is_: IS = None,
    clap: CLAP = None,
    captions: options.Pairs = None,
    clips: Lists = None,
    judge: Judges = None,
    only: Only = None,
    weights: options.WeightsOption = options.Weights.published,
    device: options.OnDevice = None,
    threads: options.Threads = None,
) -> int:
    """Say which protocol gives these figures: score the outputs in every known way.

    Ends with 0 where some way reproduces all figures, 1 where none does, 5 where a figure was not
    measured, 3 where none was.

    Example: stabench explain --fad 1.42 --kl 0.98 --outputs outputs --reference recordings
    """
    from stabench.harness.render.terminal import show
    from stabench.harness.reproduce.explain import build_page, explain_folders, read_targets
    from stabench.harness.runner.progress import Scoring
    from stabench.harness.scoring.score import Hearing

    texts = {"fad": fad, "fd": fd, "kl": kl, "is": is_, "clap": clap}
    explanation = explain_folders(
        read_targets(texts),
        outputs,
        reference,
        captions,
        lists={name: Path(path) for name, path in _split("--clips", clips or ())},
        judges=_parse_judges(judge or ()),
        only=tuple(only or ()),
        hearing=Hearing(device or "cpu", "float32", threads or os.cpu_count() or 1, str(weights)),
        progress=Scoring(sys.stderr),
    )
    show(build_page(explanation), sys.stdout)
    return explanation.exit_code


def _parse_judges(texts: list[str] | tuple[str, ...]) -> dict[str, list[str]]:
    """Return the networks of each role. Raises StabenchError for another form or role."""
    from stabench.harness.reproduce.readings import NETWORKS

    judges: dict[str, list[str]] = defaultdict(list)
    for role, name in _split("--judge", texts):
        if role not in NETWORKS:
            raise StabenchError(f"--judge '{role}={name}': {unknown('role', role, NETWORKS)}")
        judges[role].append(name)
    return judges


def _split(option: str, texts: list[str] | tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise StabenchError(f"{option} '{text}': expected NAME=VALUE")
        pairs.append((name, value))
    return pairs
