"""`stabench doctor`: what this machine offers for a run, what is missing, which networks can judge.

`--judges` examines the networks of protocols on sounds whose truth is known, and keeps a record of
each in the cache folder, where scoring looks it up.
"""

import importlib.util
import os
import platform
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stabench.checkpoints.cache import cache_folder
from stabench.harness import environment, registry
from stabench.harness.errors import StabenchError, one_line
from stabench.harness.formatting import NOTHING, figure
from stabench.harness.scoring.examination import LOUDNESS_DB, Record, kept_at, write
from stabench.metrics.registry import METRICS
from stabench.metrics.text_tower import UNRELATED, explain_collapse, measure_likeness

if TYPE_CHECKING:
    from stabench.harness.scoring.features import Network, Progress
    from stabench.harness.scoring.score import Hearing

# Columns that a table of judges takes at most.
WIDTH = 80
# Roles whose networks read captions.
CLAPS = ("clap", "clap_music")
# Exit code where a judge fails.
REFUSED = 1


class Finding(NamedTuple):
    """One line of the doctor; `ok` is None for what is neither good nor bad.

    `mark` is what a line that is not ok begins with.
    """

    ok: bool | None
    what: str
    text: str
    mark: str = "missing"

    def __str__(self) -> str:
        mark = {True: "ok", False: self.mark, None: "-"}[self.ok]
        return f"{mark:8} {self.what:14} {self.text}"


def examine(runs: Path, judges: Mapping[str, str] | None = None) -> list[Finding]:
    """Return what this machine offers: Python, torch, devices, threads, names, weights, disk.

    `judges` are networks by role; of those that read captions, and of the protocols' own, the text
    tower is examined.
    """
    busy = environment.load_average()
    load = f", load average {busy[0]:.2f}" if busy else ""
    cores = f"{environment.usable_cores()} of {os.cpu_count()} cores usable"
    return [
        Finding(None, "python", platform.python_version()),
        *_check_torch(),
        Finding(None, "processor", f"{environment.cpu_model()}, {cores}{load}"),
        *_check_registered(),
        *_check_weights(),
        *_check_text_towers(judges or {}),
        _check_writable("run folders", runs, "use --out DIR"),
        _check_cache(),
    ]


def _check_torch() -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding(False, "torch", f"{error}; make install")
        return
    yield Finding(True, "torch", metadata.version("torch"))
    if torch.cuda.is_available():
        names = (torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        yield Finding(True, "device", f"cuda: {', '.join(names)}")
    else:
        yield Finding(None, "device", "cpu only; --device cuda needs a GPU and a CUDA torch")
    yield Finding(None, "threads", f"{torch.get_num_threads()} by default; a suite sets its own")


def _check_registered() -> Iterator[Finding]:
    """Yield one line a kind, and one for each name that is missing or wrong."""
    faults = list(registry.faults())
    for kind in registry.BUILT_IN:
        entries = registry.entries(kind)
        # A wrong entry point that has the name of a built-in thing leaves that as it is.
        wrong = {fault.name for fault in faults if fault.kind == kind} - {*registry.BUILT_IN[kind]}
        absent = [
            entry.name
            for entry in entries.values()
            if entry.name not in wrong and not _is_present(entry.target)
        ]
        for name in absent:
            yield Finding(False, kind, f"'{name}': no module '{entries[name].target}'")
        present = [name for name in entries if name not in absent and name not in wrong]
        yield Finding(True if present else None, kind, ", ".join(present) or "none")
    for fault in faults:
        yield Finding(False, fault.kind, fault.text, "wrong")


def _is_present(target: str) -> bool:
    """Return whether the module is there; of its packages only the parents are imported."""
    try:
        return importlib.util.find_spec(target.split(":")[0]) is not None
    except (Exception, SystemExit):
        return False  # a parent that is not there, or that raises what it likes


def _check_weights() -> Iterator[Finding]:
    """Yield weights that registered packages carry in a folder `weights` of theirs."""
    targets = [
        entry.target for kind in registry.BUILT_IN for entry in registry.entries(kind).values()
    ]
    modules = {target.split(":")[0] for target in targets}
    packages = {name.rpartition(".")[0] or name for name in modules} | modules
    for package in sorted(filter(_is_present, packages)):
        spec = importlib.util.find_spec(package)
        for place in (spec and spec.submodule_search_locations) or ():
            folder = Path(place) / "weights"
            if folder.is_dir():
                sizes = [path.stat().st_size for path in folder.rglob("*.safetensors")]
                text = f"{folder}: {len(sizes)} files, {sum(sizes) / 2**20:.1f} MiB"
                yield Finding(bool(sizes), "weights", text)


def _check_text_towers(judges: Mapping[str, str]) -> Iterator[Finding]:
    """Yield whether each network that reads captions tells them apart.

    Raises StabenchError for a judge that is not known.
    """
    from stabench.harness.suites import protocols

    rules = [protocols.load(name).networks for name in registry.entries("protocols")]
    networks = [(role, rule.network) for roles in rules for role, rule in roles.items()]
    for name in dict.fromkeys(n for role, n in (*networks, *judges.items()) if role in CLAPS):
        make = registry.load("embedders", name)
        # "path.py:Name" is as long as the path.
        short = Path(name).name
        try:
            ok, text = _examine_text_tower(make())
        except FileNotFoundError:
            ok, text = None, "not examined, its weights are not here"
        except Exception as error:  # whatever the code of another package raises
            ok, text = False, one_line(error)
        yield Finding(ok, "text tower", f"{short}: {text}", "broken")


def _examine_text_tower(embedder: Any) -> tuple[bool | None, str]:
    """Return whether a CLAP tells captions apart, and why; of ours its text tower alone is read."""
    if not hasattr(embedder, "embed_text"):
        return False, "reads no captions"
    if embedder.origin.startswith("random"):
        return None, "random weights, which tell no captions apart"
    if hasattr(embedder, "measure_text"):
        likeness = embedder.measure_text()
    else:
        embedder.load("cpu")
        likeness = measure_likeness(embedder.embed_text(list(UNRELATED)))
    fault = explain_collapse(likeness)
    return not fault, fault or f"tells captions apart (cosine of unrelated ones {likeness:.2f})"


def _check_writable(what: str, folder: Path, advice: str) -> Finding:
    """Return whether a folder, or the nearest that is there above it, can be written."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            return Finding(True, what, f"'{folder}' can be written")
    except OSError as error:
        return Finding(False, what, f"'{folder}': {error.strerror}; {advice}")


def _check_cache() -> Finding:
    try:
        return _check_writable("cache", cache_folder(), "set STABENCH_CACHE to another folder")
    except OSError as error:
        return Finding(False, "cache", str(error.strerror))


class Verdicts(NamedTuple):
    """The records of all judges, and why networks could not be examined, by their name."""

    records: tuple[Record, ...]
    errors: dict[str, StabenchError]

    @property
    def exit_code(self) -> int:
        """0 where all pass, 1 where a judge fails, else the code of the first that is missing."""
        if not all(record.passed for record in self.records):
            return REFUSED
        return next((error.exit_code for error in self.errors.values()), 0)


def examine_judges(
    protocols: Iterable[str],
    judges: dict[str, str],
    gradings: str,
    hearing: "Hearing",
    progress: "Progress",
) -> Verdicts:
    """Examine the networks of some protocols, each once in a role, and keep their records.

    `judges` are put in place of a protocol's own networks, by role. Raises StabenchError for names
    that are not known.
    """
    from stabench.harness.judges import gradings as graded
    from stabench.harness.judges import judges as examination
    from stabench.harness.scoring import score
    from stabench.harness.suites import protocols as rules

    sounds = graded.load(gradings)
    records: list[Record] = []
    errors: dict[str, StabenchError] = {}
    seen: set[tuple[str, str]] = set()
    for protocol in [rules.load(name, judges) for name in protocols]:
        networks: dict[str, Network] = {}
        for role, rule in protocol.networks.items():
            if (role, rule.network) not in seen:
                seen.add((role, rule.network))
                try:
                    # Not kept: the known sounds are heard only here.
                    networks[role] = score.network_of(role, rule, hearing, kept=False)
                except StabenchError as error:
                    errors[rule.network] = error
        outcome = examination.examine(networks, protocol, sounds, progress)
        records += outcome.records.values()
        errors |= {networks[role].name: error for role, error in outcome.errors.items()}
    for record in records:
        write(kept_at(record.role, record.identity), record)
    return Verdicts(tuple(records), errors)


HEADS = ("Network", "Role", "Accuracy", "Axes", "Follows", "Floor", "Agrees", "Verdict")


def judge_lines(verdicts: Verdicts) -> Iterator[str]:
    """Yield the verdicts as a table of at most WIDTH columns, then faults, loudness and errors."""
    rows = [HEADS, *(_print_row(record) for record in verdicts.records)]
    if verdicts.records:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        # The names alone give way where the table is too wide.
        widths[0] = min(widths[0], WIDTH - sum(widths[1:]) - 2 * (len(HEADS) - 1))
        for name, role, *figures, verdict in rows:
            # The end of a long name tells more than its beginning.
            end = f"...{name[len(name) - widths[0] + 3 :]}" if len(name) > widths[0] else name
            cells = [f"{end:{widths[0]}}", f"{role:{widths[1]}}"]
            cells += [f"{cell:>{width}}" for cell, width in zip(figures, widths[2:-1], strict=True)]
            yield "  ".join([*cells, verdict]).rstrip()
    for record in verdicts.records:
        for fault in record.faults:
            yield from _wrap(f"{record.network} ({record.role}) fails: {fault}")
    yield from _explain_loudness(verdicts.records)
    for name, error in verdicts.errors.items():
        yield from _wrap(f"{name}, not examined: {error}")


def _print_row(record: Record) -> tuple[str, ...]:
    figures, agreement = record.figures, record.agreement
    if figures is None:
        return (record.network, record.role, *[NOTHING] * 5, record.verdict)
    return (
        record.network,
        record.role,
        figure(figures.accuracy, 3),
        figure(figures.dimensions, 1),
        NOTHING if record.monotony is None else figure(record.monotony, 2),
        NOTHING if figures.floor is None else figure(figures.floor.share, 3),
        NOTHING if agreement is None else figure(agreement.value, 2),
        record.verdict,
    )


def _explain_loudness(records: Iterable[Record]) -> Iterator[str]:
    """Yield what the same sounds get when they are only quieter or louder."""
    lines = [
        f"  {METRICS[column].label}: {figure(loudness.plain, digits)}; {LOUDNESS_DB} dB quieter "
        f"{figure(loudness.quieter, digits)}, louder {figure(loudness.louder, digits)}"
        for record in records
        if record.figures
        for column, loudness in record.figures.loudness.items()
        for digits in [METRICS[column].digits]
    ]
    if lines:
        yield "The recordings themselves, and what loudness alone does to each column:"
        yield from lines


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
