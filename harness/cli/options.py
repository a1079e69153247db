"""The words of the command line: every argument and option, with what `--help` says of it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import stabench
from stabench.harness import registry
from stabench.harness.device import select_gpu

RUNS = Path("results/runs")


class Weights(StrEnum):
    """`random` builds published networks with random weights: a dry run."""

    published = "published"
    random = "random"


Suite = Annotated[
    str | None,
    typer.Argument(
        metavar="SUITE",
        help="Registered suite, or a .toml; not with --resume.",
        autocompletion=lambda: list(registry.entries("suites")),
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help='A run folder, "latest" or "latest~1".')]
MaybeRun = Annotated[Path | None, typer.Argument(metavar="RUN", help='Or "latest", "latest~1".')]
Kind = Annotated[
    str | None,
    typer.Argument(metavar="KIND", help="tasks, systems, suites, metrics, ...; default: all."),
]
Systems = Annotated[
    list[str] | None,
    typer.Option(
        "--system",
        metavar="[NAME=]WHAT",
        autocompletion=lambda: list(registry.entries("systems")),
        help="Only this one; repeatable. A system of the suite, a registered one, path.py:Class, "
        "or cascade:asr=NAME,tta=NAME; NAME= renames it.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any key of the suite, such as run.repeats=3 or system.star.options.steps=4; "
        "repeatable.",
    ),
]
Conditions = Annotated[
    list[str] | None,
    typer.Option(
        "--condition",
        metavar="NAME",
        help="Also hear every clip so, such as telephone+noise10; repeatable, in place of the "
        "suite's. The clean speech is always heard; --condition clean hears nothing else.",
    ),
]
ClipIds = Annotated[
    list[str] | None,
    typer.Option("--clip", metavar="ID", help="Only this clip; repeatable."),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N clips.")]
OnDevice = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="cpu|cuda[:N]",
        help="Default: cpu.",
        callback=lambda name: name and select_gpu(name),
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
Until = Annotated[
    str | None,
    typer.Option(
        "--phase",
        metavar="NAME|all",
        help="Stop after this phase (represent: the processing latency alone). Default: all.",
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option("--resume", metavar="RUN", help='Take up a run folder again, or "latest".'),
]
InProcess = Annotated[
    bool, typer.Option("--in-process", help="No worker processes (debugging; no time-outs).")
]
OutRuns = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Where the run folder is made.")
]
Speech = Annotated[
    Path | None, typer.Option("--speech", metavar="DIR", help="WAVs in place of the dataset.")
]
Captions = Annotated[
    Path | None, typer.Option("--captions", metavar="CSV", help="Columns id, caption.")
]
Pairs = Annotated[
    Path | None,
    typer.Option("--captions", metavar="CSV", help="Columns id, caption[, reference]."),
]
Reference = Annotated[
    Path | None, typer.Option("--reference", metavar="DIR", help="Recordings to compare with.")
]
Outputs = Annotated[
    list[str] | None,
    typer.Option("--outputs", metavar="NAME=DIR", help="WAVs of a system; repeatable."),
]
OutScores = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Scores of folders; default: a new one beside runs."),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        help="Of folders: paper, stabench, pocket, or a .toml file.",
        autocompletion=lambda: list(registry.entries("protocols")),
    ),
]
Columns = Annotated[
    str | None, typer.Option("--columns", metavar="A,B", help="Default: the protocol's.")
]
FadBackend = Annotated[
    str | None,
    typer.Option("--fad-backend", metavar="NAME", help="Embedder of FAD, not the protocol's."),
]
TaggerBackend = Annotated[
    str | None,
    typer.Option("--tagger-backend", metavar="NAME", help="Likewise of FD, KL and IS."),
]
ClapBackend = Annotated[
    str | None, typer.Option("--clap-backend", metavar="NAME", help="Likewise of CLAP.")
]
WeightsOption = Annotated[Weights, typer.Option("--weights", help="random: a dry run.")]
Replace = Annotated[
    bool, typer.Option("--replace", help="Even scores that have numbers these would lack.")
]
Unpaired = Annotated[
    bool, typer.Option("--unpaired", help="File names mean nothing: compare sets only.")
]
Sanity = Annotated[bool, typer.Option(help="Rows of known sounds: noise, silence, ...")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of the intervals.")]
Bootstrap = Annotated[int, typer.Option("--bootstrap", min=100, help="Replicates.")]
Bf16 = Annotated[bool, typer.Option("--bf16", help="Networks in bfloat16: not as the papers.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Default: all cores.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks (any place).")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"stabench {stabench.__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_print_version, is_eager=True, help="Print the version and end."
    ),
]
Names = Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Of `status`.")]
Everything = Annotated[bool, typer.Option("--all", help="All that are missing.")]
Html = Annotated[bool, typer.Option(help="Write report.html, with sound.")]
SoundMb = Annotated[
    float, typer.Option("--sound-mb", min=0, metavar="MB", help="Sound in report.html; 0: none.")
]
SoundFrom = Annotated[
    list[Path] | None,
    typer.Option(
        "--sound-from",
        metavar="[NAME=]DIR",
        help="A folder of sounds for report.html; repeatable. NAME: a system, speech or reference.",
    ),
]
Noise = Annotated[
    bool, typer.Option("--noise", help="Run a system against itself (a minute or two).")
]
NoiseSuite = Annotated[str, typer.Option("--suite", help="With --noise: whose system.")]
NoiseSystem = Annotated[str, typer.Option("--system", help="With --noise: which one.")]
NoiseLimit = Annotated[int, typer.Option("--limit", min=12, help="With --noise: how many clips.")]
Judges = Annotated[
    bool, typer.Option("--judges", help="Examine the networks behind the scores (minutes).")
]
Protocols = Annotated[
    list[str] | None,
    typer.Option("--protocol", metavar="NAME", help="With --judges: whose; repeatable."),
]
Replaced = Annotated[
    list[str] | None,
    typer.Option(
        "--judge", metavar="ROLE=NAME", help="A network to examine, not the protocol's own."
    ),
]
Graded = Annotated[
    str, typer.Option("--gradings", metavar="NAME", help="With --judges: the known sounds.")
]
OutReproduced = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="reproduce.md and .json; default: the run."),
]
Papers = Annotated[
    Path | None,
    typer.Option("--papers", metavar="DIR", help="Tables of papers; default: those of stabench."),
]
PaperNames = Annotated[
    list[str] | None,
    typer.Option("--paper", metavar="NAME", help="Only this table; repeatable."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 5 when inconclusive or not measured.")]
