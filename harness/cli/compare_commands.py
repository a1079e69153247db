"""The commands of verdicts: `stabench compare | gate | baseline | ab`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from stabench.harness.cli import options
from stabench.harness.errors import StabenchError

# Where a policy is looked for that nobody names.
POLICIES = (Path("gate.toml"), Path("results/baselines/gate.toml"))
# The policy and the baselines that come with stabench, in a checkout and in a wheel.
PACKAGED = Path(__file__).resolve().parents[2] / "results" / "baselines"

Old = Annotated[
    Path, typer.Argument(metavar="OLD", help="A run, scores, baseline, or pytest-benchmark.")
]
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
Baseline = Annotated[
    Path | None,
    typer.Option(
        "--baseline", metavar="FILE|pocket", help="What the run is compared with; pocket: ours."
    ),
]
Suite = Annotated[
    str | None,
    typer.Option("--suite", help="Run it now with --base, by turns, instead of judging a RUN."),
]
Init = Annotated[
    bool, typer.Option("--init", help="Write gate.toml and a workflow; of a RUN a baseline too.")
]
Base = Annotated[
    Path | None,
    typer.Option("--base", metavar="TREE", help="Another state of this repository, or a checkout."),
]
BasePython = Annotated[
    Path | None, typer.Option("--base-python", metavar="PYTHON", help="Its interpreter.")
]
Policy = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="TOML",
        help="What is guarded, and how closely; default: gate.toml here, or all of the baseline.",
    ),
]
Reports = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="gate.md, .json, junit.xml; default: the run."),
]
File = Annotated[Path, typer.Option("--out", metavar="FILE", help="The baseline (.json.gz).")]


Words = Annotated[
    list[str], typer.Argument(metavar="OLD... ::: NEW...", help="The words of both commands.")
]
Threshold = Annotated[
    str, typer.Option("--threshold", metavar="PERCENT", help="Least slowdown that counts.")
]
# With fewer than 6 blocks no p is below 0.05: nothing could be found.
Blocks = Annotated[
    int, typer.Option("--blocks", min=6, max=10_000, help="Each runs both commands twice.")
]
Warmups = Annotated[
    int, typer.Option("--warmups", min=0, max=1000, help="Runs of each that are not counted.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(compare)
    app.command()(gate)
    app.command()(baseline)
    # What follows the first word of a command is its own.
    app.command(context_settings={"allow_interspersed_args": False})(ab)


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
    as_json: options.AsJson = False,
) -> int:
    """Compare two runs clip by clip, with a verdict on every metric; exit 1 for a regression.

    Example: stabench compare latest~1 latest --strict
    """
    from stabench.harness.compare import pytest_benchmark, read_evidence
    from stabench.harness.compare.command import compare_runs, named_bounds, named_pairs
    from stabench.harness.compare.verdict import Options

    if pytest_benchmark.is_json(old) or pytest_benchmark.is_json(new):
        if any((system, effect, margin, across_hardware, force, out, as_json)) or family != "row":
            raise StabenchError("files of pytest-benchmark are compared with --strict or no option")
        return pytest_benchmark.compare_files(old, new, strict=strict)
    bounds = {}
    if effect or margin:
        both = read_evidence.read(old), read_evidence.read(new)
        bounds = named_bounds(effect or (), margin or (), *both)
    wanted = Options(
        names=named_pairs(system or ()),
        bounds=bounds,
        family=family,
        across_hardware=across_hardware,
        force=force,
    )
    return compare_runs(old, new, wanted, out=out, strict=strict, as_json=as_json)


def gate(
    run: options.MaybeRun = None,
    baseline: Baseline = None,
    init: Init = False,
    suite: Suite = None,
    base: Base = None,
    base_python: BasePython = None,
    system: options.Systems = None,
    limit: options.Limit = None,
    device: options.OnDevice = None,
    policy: Policy = None,
    strict: options.Strict = False,
    out: Reports = None,
    as_json: options.AsJson = False,
) -> int:
    """Judge a run against a baseline, or this tree against another; exit 1 for a regression.

    --init writes a policy and a workflow for your repository, of a run also the first baseline.

    Example: stabench gate latest --baseline pocket
    """
    from stabench.harness.gate.command import gate_command
    from stabench.harness.gate.init import write_gate
    from stabench.harness.runs.run_folder import Request

    asked = {"systems": tuple(system or ()), "limit": limit, "device": device}
    if init:
        if any((baseline, base, base_python, policy, strict, out, as_json, *asked.values())):
            raise StabenchError("gate --init takes RUN or a folder, and --suite; nothing else")
        for line in write_gate(run or Path(), Path(), suite):
            print(line)
        return 0
    kept = _find_baseline(baseline)
    if policy is None:
        ours = (PACKAGED / "gate.toml",) if kept and kept.parent == PACKAGED else ()
        policy = next((path for path in (*POLICIES, *ours) if path.is_file()), None)
    return gate_command(
        run,
        policy,
        suite=suite,
        base=base,
        base_python=base_python,
        request=Request(**{name: value for name, value in asked.items() if value}),
        baseline=kept,
        out=out,
        strict=strict,
        as_json=as_json,
        runs=options.RUNS,
    )


def _find_baseline(baseline: Path | None) -> Path | None:
    """Return the file, or that of a baseline which comes with stabench."""
    if baseline is None or baseline.is_file():
        return baseline
    # A checkout has a folder called as the suite is: only one that holds results is meant.
    if any((baseline / name).is_file() for name in ("run.json", "metrics.json")):
        return baseline
    packaged = PACKAGED / f"{baseline}.json.gz"
    return packaged if packaged.is_file() else baseline


def baseline(run: options.Run, out: File) -> None:
    """Keep what a later run is compared with in one small file.

    Example: stabench baseline latest --out baseline.json.gz
    """
    from stabench.harness.gate.command import write_baseline

    write_baseline(run, out)
    print(out)


def ab(
    words: Words,
    threshold: Threshold = "5 %",
    blocks: Blocks = 15,
    warmups: Warmups = 1,
    strict: options.Strict = False,
    as_json: options.AsJson = False,
) -> int:
    """Time any two commands against each other, in blocks of old new new old; exit 1 if slower.

    Example: stabench ab --blocks 20 ./old input.wav ::: ./new input.wav
    """
    from stabench.harness.gate.ab import compare_commands
    from stabench.harness.gate.policy import percent

    try:
        share = percent(threshold)
    except ValueError as error:
        raise StabenchError(f"--threshold: {error}") from None
    return compare_commands(
        words,
        threshold=share,
        blocks=blocks,
        warmups=warmups,
        strict=strict,
        as_json=as_json,
    )
