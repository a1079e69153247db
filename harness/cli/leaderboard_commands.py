"""The board's commands: `stabench submit | check-submission | leaderboard | export | history`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from stabench.harness.cli import options
from stabench.harness.errors import StabenchError

HISTORY = Path("results/history.jsonl")
ENTRIES = Path("results/leaderboard")

leaderboard = typer.Typer(no_args_is_help=True, add_completion=False)

System = Annotated[str, typer.Option("--system", metavar="NAME", help="Of the run.")]
About = Annotated[
    Path | None,
    typer.Option("--about", metavar="TOML", help="What you say of it; without: an example."),
]
OutPackage = Annotated[
    Path, typer.Option("--out", metavar="DIR|FILE.zip", help="Where the package is written.")
]
Package = Annotated[Path, typer.Argument(metavar="PACKAGE", help="A .zip of `submit`.")]
SuiteName = Annotated[
    str | None, typer.Option("--suite", help="Default: the one that the package names.")
]
Rescore = Annotated[bool, typer.Option(help="Recompute the numbers from the packed audio.")]
Trusted = Annotated[
    str | None,
    typer.Option("--system", metavar="NAME|path.py:Class", help="Run it, too: only trusted code."),
]
Source = Annotated[Path, typer.Option("--from", metavar="DIR", help="Accepted submissions.")]
Site = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the site is written.")]
Records = Annotated[Path, typer.Option("--history", metavar="FILE", help="Recorded runs.")]
Root = Annotated[Path, typer.Option("--to", metavar="DIR", help="Accepted submissions.")]
Id = Annotated[str | None, typer.Option("--id", help="Of the entry; default: run and system.")]
KeptSounds = Annotated[
    int,
    typer.Option("--sounds", min=0, max=12, metavar="N", help="Kept to be listened to; 0: none."),
]
SubmitTo = Annotated[
    str | None,
    typer.Option(
        "--submit-to",
        metavar="ADDRESS",
        help="Where packages are sent: an https:// or e-mail address. Default: the site says to "
        "open an issue in the repository.",
    ),
]
Format = Annotated[
    Literal["every-eval-ever"], typer.Option("--format", help="Every Eval Ever, schema 0.3.0.")
]
OutData = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where data/ is written.")]
ModelId = Annotated[
    str | None,
    typer.Option("--model-id", metavar="DEVELOPER/MODEL", help="The system's name on the Hub."),
]
Organization = Annotated[
    str | None, typer.Option("--organization", metavar="NAME", help="Who ran the evaluation.")
]
Relationship = Annotated[
    Literal["first_party", "third_party", "collaborative", "other"] | None,
    typer.Option("--relationship", help="Of who ran it to who made the system."),
]
Metric = Annotated[str | None, typer.Argument(metavar="[METRIC]", help="fad, kl, processing, ...")]
OneSystem = Annotated[str | None, typer.Option("--system", metavar="NAME", help="Only this one.")]
HistorySuite = Annotated[str, typer.Option("--suite", help="Runs of this suite.")]
Machine = Annotated[str | None, typer.Option("--machine", help="Runs on this machine.")]
Plot = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Draw a plot, from five runs on: a .svg."),
]
Add = Annotated[
    Path | None, typer.Option("--add", metavar="RUN", help="Record a run instead of showing any.")
]
Dirty = Annotated[bool, typer.Option("--dirty", help="Also a run of a changed git tree.")]
HistoryFile = Annotated[Path, typer.Option("--file", metavar="FILE", help="The history.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(submit)
    app.command("check-submission")(check_submission)
    app.command()(history)
    app.command()(export)
    app.add_typer(
        leaderboard, name="leaderboard", help="Accepted submissions, and a site made of them."
    )


def submit(
    run: options.Run,
    system: System,
    about: About = None,
    out: OutPackage = Path(),
) -> None:
    """Pack one system of a scored run, with every sound, for a leaderboard.

    Example: stabench submit latest --system star --about about.toml
    """
    from stabench.harness.runner.progress import Scoring
    from stabench.harness.submission.pack import submit as pack

    print(pack(run, out, system, about, Scoring(sys.stderr)))


def check_submission(
    package: Package,
    suite: SuiteName = None,
    rescore: Rescore = True,
    system: Trusted = None,
    device: options.OnDevice = None,
) -> None:
    """Say all that is wrong with a submission: what a leaderboard runs before it takes one.

    Example: stabench check-submission star.zip
    """
    from stabench.harness.runner.progress import Scoring
    from stabench.harness.submission.check import check

    check(
        package,
        suite=suite,
        rescore=rescore,
        system=system,
        device=device or "cpu",
        progress=Scoring(sys.stderr),
    )


@leaderboard.command()
def build(
    source: Source = ENTRIES,
    out: Site = Path("board"),
    history: Records = HISTORY,
    submit_to: SubmitTo = None,
) -> None:
    """Make a static site of the accepted submissions.

    Example: stabench leaderboard build --out board --submit-to board@example.org
    """
    from stabench.harness.leaderboard import site

    print(site.build(source, out, history, submit_to=submit_to))


@leaderboard.command()
def add(
    package: Package,
    root: Root = ENTRIES,
    name: Id = None,
    suite: SuiteName = None,
    sounds: KeptSounds = 12,
    device: options.OnDevice = None,
) -> None:
    """Check a submission and, where nothing is wrong, accept it.

    Example: stabench leaderboard add star.zip
    """
    from stabench.harness.leaderboard.entries import accept
    from stabench.harness.runner.progress import Scoring

    folder = accept(
        package,
        root,
        name=name,
        suite=suite,
        device=device or "cpu",
        sounds=sounds,
        progress=Scoring(sys.stderr),
    )
    print(folder)


def export(
    run: options.Run,
    out: OutData,
    form: Format = "every-eval-ever",
    system: OneSystem = None,
    model_id: ModelId = None,
    organization: Organization = None,
    relationship: Relationship = None,
) -> None:
    """Write a scored run's systems, and each clip's values, in a format that others read.

    Example: stabench export latest --out data
    """
    from stabench.harness.leaderboard.export import Evaluator, export_run

    evaluator = Evaluator(organization or "unknown", relationship or "other", model_id)
    for path in export_run(run, out, system, evaluator):
        print(path)
    optional = {
        "--organization": organization,
        "--relationship": relationship,
        "--model-id": model_id,
    }
    if lacking := [name for name, value in optional.items() if value is None]:
        print(
            f"not told: {', '.join(lacking)}; written as unknown or other, which the datastore of "
            "Every Eval Ever may refuse",
            file=sys.stderr,
        )


def history(
    metric: Metric = None,
    system: OneSystem = None,
    suite: HistorySuite = "pocket",
    machine: Machine = None,
    out: Plot = None,
    add: Add = None,
    dirty: Dirty = False,
    file: HistoryFile = HISTORY,
) -> None:
    """A metric over the recorded runs, with change points; or record a run.

    Example: stabench history kl
    """
    from stabench.harness.history import page, record

    if (metric is None) == (add is None):
        raise StabenchError("history takes METRIC, or --add RUN")
    if add is not None:
        print(record.add(add, file, dirty=dirty).run)
    elif metric is not None:
        page.show(metric, file, suite=suite, system=system, machine=machine, out=out)
