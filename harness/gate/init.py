"""`stabench gate --init`: policy, baseline and a workflow of GitHub for the user's repository."""

import json
import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Template
from typing import NamedTuple

import stabench
from stabench.harness import files, registry
from stabench.harness.compare.evidence import Evidence
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.formatting import counted, plain
from stabench.harness.gate import policy
from stabench.harness.gate.command import write_baseline
from stabench.harness.gate.interleaved import BASE, HEAD
from stabench.harness.gate.policy import Policy
from stabench.harness.gate.trees import find_root
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import LATEST, Request, is_latest
from stabench.harness.stats.bootstrap import LEAST_BLOCKS
from stabench.harness.suites.suite import Suite, load

POLICY, BASELINE = "gate.toml", "baseline.json.gz"
WORKFLOW = Path(".github") / "workflows" / "stabench.yml"
# By which a folder is known for one of results.
RESULTS = ("run.json", "metrics.json")
# What a run may have been asked for beyond its suite, and the gate cannot repeat.
UNREPEATABLE = {"set": "--set", "clips": "--clip", "speech": "--speech", "captions": "--captions"}


class Plan(NamedTuple):
    """What is guarded: the suite by the name or path that a command takes, its systems, clips.

    `run` is the one that the baseline is made of, `limit` the --limit that it had.
    """

    suite: str
    systems: tuple[str, ...]
    columns: tuple[str, ...]
    run: Results | None = None
    limit: int | None = None


def write_gate(place: Path, folder: Path, suite: str | None) -> Iterator[str]:
    """Write what a gate needs into `folder`, or beside the run `place`; yield a line for each file.

    `place` is a run, whose numbers become the first baseline, or the folder to write to. What is
    there already stays. Raises MissingError for neither, StabenchError for a run that no gate can
    repeat and where the suite is not known.
    """
    is_run = is_latest(place) or any((place / name).is_file() for name in RESULTS)
    if not is_run and not place.is_dir():
        raise MissingError(f"'{place}' is neither a run nor a folder; give latest, or a folder")
    folder = folder if is_run else place
    plan = _plan_of_run(place, folder, suite) if is_run else _plan_of_suite(folder, suite)
    rules, reasons = policy.load_default(), dict[str, str]()
    if plan.run is not None:
        # First, as it refuses a run that is not whole.
        baseline = folder / BASELINE
        with_baseline = baseline if not baseline.exists() else None
        evidence = write_baseline(place, with_baseline)
        yield _tell(baseline, with_baseline is not None, f"the numbers of {plan.run.folder.name}")
        rules = policy.derive(evidence)
        reasons = {name: _find_reason(evidence, name) for name in rules.may_be_unmeasured}
    else:
        effects = {name: policy.choose_effect(name, rules) for name in plan.columns}
        quality = rules.quality.model_copy(update={"effects": effects})
        rules = rules.model_copy(update={"systems": plan.systems, "quality": quality})
    guarded = f"{counted(len(rules.systems), 'system')}, {', '.join(rules.quality.effects)}"
    yield _write(folder / POLICY, format_policy(rules, reasons), f"what is guarded: {guarded}")
    root = find_root(folder.resolve())
    text = format_workflow(plan, folder.resolve().relative_to(root))
    yield _write(
        root / WORKFLOW,
        text,
        f"each pull request against its base; it installs stabench=={stabench.__version__} from "
        "PyPI, change that line where yours is from elsewhere",
    )
    if plan.run is None:
        words = " ".join(_list_words(plan))
        yield (
            f"the workflow needs no baseline, stabench gate RUN does: stabench run {words}, then "
            f"stabench baseline {LATEST} --out {BASELINE}"
        )
    else:
        yield f"try it: stabench gate {LATEST} --baseline {BASELINE}"


def _plan_of_run(place: Path, folder: Path, suite: str | None) -> Plan:
    """Return what repeats a run. Raises StabenchError where a gate could not."""
    results = Results.read(place)
    if results.run is None:
        raise StabenchError(
            f"'{place}' is a folder of scores, which no gate can run again; give a run of a suite"
        )
    record = results.run.record
    if any(use.name.endswith((BASE, HEAD)) for use in record.suite.systems):
        raise StabenchError(f"'{place}' is a run of the gate itself; give a run of the suite")
    usual = Request()
    for key, option in UNREPEATABLE.items():
        if getattr(record.request, key) != getattr(usual, key):
            raise StabenchError(
                f"run '{place}' had {option}, which a gate has not; put that into the suite and "
                "run it again"
            )
    name = record.suite.name
    if suite is None:
        suite = name if name in registry.entries("suites") else _find_suite(folder, name)
    chosen = load(str(folder / suite) if suite.endswith(".toml") else suite)
    known = {use.name for use in chosen.systems}
    systems = tuple(use.name for use in record.suite.systems)
    for system in systems:
        if system not in known:
            raise StabenchError(
                f"system '{system}' of run '{place}' is not in suite '{suite}'; add it there, or "
                "give the run's own with --suite"
            )
    return Plan(suite, systems, (), results, record.request.limit)


def _plan_of_suite(folder: Path, suite: str | None) -> Plan:
    """Return what a suite holds."""
    suite = suite or _find_suite(folder, None)
    chosen: Suite = load(str(folder / suite) if suite.endswith(".toml") else suite)
    systems = tuple(use.name for use in chosen.systems)
    return Plan(suite, systems, tuple(chosen.metrics.columns))


def _find_suite(folder: Path, name: str | None) -> str:
    """Return the path of the one suite in a folder, or of the one with a name.

    Raises StabenchError where there is none, or more than one.
    """
    paths = []
    for path in sorted((*folder.glob("*.toml"), *folder.glob("*/*.toml"))):
        try:
            chosen = load(str(path))
        except StabenchError:
            continue  # Another TOML file, such as pyproject.toml.
        if name in (None, chosen.name):
            paths.append(str(path.relative_to(folder)))
    if len(paths) != 1:
        known = f"suites here are {', '.join(paths)}" if paths else "no suite is here"
        what = f"the suite '{name}' of the run" if name else "which suite"
        raise StabenchError(f"{what} is not clear: {known}; name its file with --suite FILE")
    return paths[0]


def _find_reason(evidence: Evidence, name: str) -> str:
    """Return why a system has no number of a metric."""
    system, metric = name.split("/", 1)
    cell = evidence.systems[system].columns.get(metric)
    return (cell.reason if cell else evidence.systems[system].untimed) or "not measured"


def _tell(path: Path, written: bool, about: str) -> str:
    name = os.path.relpath(path)
    return f"wrote {name}: {about}" if written else f"{name} is there already: left as it is"


def _write(path: Path, text: str, about: str) -> str:
    """Write a file that is not there; say what came of it."""
    if path.exists():
        return _tell(path, False, about)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path, text.encode())
    return _tell(path, True, about)


def format_policy(rules: Policy, reasons: dict[str, str]) -> str:
    """Return a policy as a TOML file; `reasons` say why what may be unmeasured has no number."""
    lines = [
        "# What `stabench gate` guards, and how large a change counts.",
        f"systems = {json.dumps(rules.systems)}",
        f"max_failed_share = {rules.max_failed_share}",
    ]
    if rules.may_be_unmeasured:
        lines.append("# What the run that this was made of could not measure.")
        lines.append("may_be_unmeasured = [")
        for name in rules.may_be_unmeasured:
            lines.append(f"    {_quote(name)},  # {plain(reasons[name])}")
        lines.append("]")
    lines += [
        "",
        "# The least change that counts, in the metric's unit or in percent of the baseline.",
        "[quality.effects]",
        *(
            f'{_quote(name)} = "{100 * size.value:g} %"'
            if size.relative
            else f"{_quote(name)} = {size.value:g}"
            for name, size in rules.quality.effects.items()
        ),
        "",
        "# The least slowdown that counts. machine: what `stabench doctor --noise` measured; until",
        "# it has, `unmeasured`.",
        "[latency]",
    ]
    if rules.latency.phases is not None:
        lines.append(f"phases = {json.dumps(rules.latency.phases)}")
    lines += ['threshold = "machine"', f'unmeasured = "{100 * rules.latency.unmeasured:g} %"']
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    """Return a text as TOML has it, bare where it may be."""
    bare = text.replace("_", "").replace("-", "").isalnum() and text.isascii()
    return text if bare else json.dumps(text, ensure_ascii=False)


def _list_words(plan: Plan) -> Iterable[str]:
    """Return the words of a command that choose what the plan guards."""
    yield shlex.quote(plan.suite)
    for system in plan.systems:
        yield f"--system {shlex.quote(system)}"
    if plan.limit is not None:
        yield f"--limit {plan.limit}"


def format_workflow(plan: Plan, inner: Path) -> str:
    """Return the workflow; `inner` is the gate's folder in the repository."""
    suite, *chosen = _list_words(plan)
    up = "/".join(["..", *[".." for _ in inner.parts]])
    kept = POLICY if plan.run is None else BASELINE
    noise, head_folder = "", (Path("head") / inner).as_posix()
    if plan.run is not None and plan.run.run and len(plan.run.run.clips) >= LEAST_BLOCKS:
        system = [word for word in chosen if not word.startswith("--system")]
        words = [f"--suite {suite}", f"--system {shlex.quote(plan.systems[0])}", *system]
        noise = NOISE.substitute(words=" ".join(words), head_folder=head_folder)
    baseline = "" if plan.run is None else f'--baseline "$from/{BASELINE}" '
    return WORKFLOW_TEXT.substitute(
        version=stabench.__version__,
        head_folder=head_folder,
        up=up,
        base_folder=(Path(up) / "base" / inner).as_posix(),
        kept=kept,
        noise=noise,
        suite=suite,
        chosen=" ".join(chosen),
        baseline=baseline,
    )


NOISE = Template("""      - name: Measure this machine's noise
        working-directory: $head_folder
        run: stabench doctor --noise $words
""")
WORKFLOW_TEXT = Template("""\
# Quality and latency of a pull request against its base: both run interleaved in one job, on one
# machine, so that a slow runner is slow for both. Exit codes: 1 regression, 4 clips failed, 5 not
# measured. Written by `stabench gate --init`.
name: stabench

on:
  pull_request:

permissions:
  contents: read

jobs:
  gate:
    runs-on: ubuntu-latest
    timeout-minutes: 60
    steps:
      - name: Check out the head
        uses: actions/checkout@v4
        with:
          path: head
          persist-credentials: false
      - name: Check out the base
        uses: actions/checkout@v4
        with:
          ref: $${{ github.event.pull_request.base.sha }}
          path: base
          persist-credentials: false
      - name: Set up Python
        uses: actions/setup-python@v5
        with:
          python-version: "3.11"
      - name: Install stabench, and what the systems need
        run: |
          python -m pip install "stabench==$version"
          if test -f head/requirements.txt; then python -m pip install -r head/requirements.txt; fi
          if test -f head/pyproject.toml; then python -m pip install -e head; fi
$noise      - name: Run base and head interleaved, and judge
        working-directory: $head_folder
        # Policy and baseline of the base: no pull request is judged by what it loosened itself.
        run: |
          from=$base_folder
          if ! test -f "$$from/$kept"; then from=.; fi
          stabench gate --suite $suite --base $up/base $chosen \\
            --policy "$$from/gate.toml" $baseline--out $up/gate
      - name: Show the answer
        if: always()
        run: test ! -f gate/gate.md || cat gate/gate.md >> "$$GITHUB_STEP_SUMMARY"
      - name: Keep the results
        if: always()
        uses: actions/upload-artifact@v4
        with:
          name: gate
          path: gate/
          if-no-files-found: ignore
""")
