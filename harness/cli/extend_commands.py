"""The commands for what is one's own: `stabench new | check`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from stabench.harness.cli import options
from stabench.harness.tasks.task import DEFAULT

Kind = Annotated[
    Literal["system", "suite", "metric", "dataset", "condition"],
    typer.Argument(metavar="system|suite|metric|dataset|condition"),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="An identifier, such as my_system.")]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Default: NAME.py or NAME.toml.")
]
Thing = Annotated[
    str,
    typer.Argument(
        metavar="path.py:NAME",
        help="A system's class or function (a registered system too), a metric, a sanity row or "
        "a dataset's function.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="What it is made with; repeatable."),
]
Task = Annotated[
    str, typer.Option("--task", metavar="NAME", help="Whose phases a system must have.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(new)
    app.command()(check)


def new(kind: Kind, name: Name, out: Out = None) -> None:
    """Write a first file that runs at once; print the command that runs it.

    Example: stabench new system my_system
    """
    from stabench.harness.cli.new import write_new

    print(write_new(kind, name, out))


def check(
    thing: Thing,
    option: Settings = None,
    device: options.OnDevice = None,
    task: Task = DEFAULT,
) -> int:
    """Try a system on one clip, or a metric, sanity row or dataset; exit 1 for a fault.

    Example: stabench check my_system.py:MySystem
    """
    from stabench.harness.cli.check import check as outcomes
    from stabench.harness.cli.check import parse_options
    from stabench.harness.formatting import counted

    faults = 0
    for outcome in outcomes(thing, parse_options(option or ()), device or "cpu", task):
        print(outcome, flush=True)
        faults += outcome.ok is False
    print(f"{thing}: {counted(faults, 'fault') if faults else 'nothing wrong'}")
    return 1 if faults else 0
