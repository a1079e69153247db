"""What `stabench run` does with a suite of probes (harness/probing)."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from stabench.harness.errors import StabenchError

if TYPE_CHECKING:
    from stabench.harness.probing.run_file import ProbeRun

PAPER = "star-table1.toml"
# What asks for clips or systems, of which such a run has none.
WORDS = {
    "clips": "--clip",
    "limit": "--limit",
    "phase": "--phase",
    "in_process": "--in-process",
    "speech": "--speech",
    "captions": "--captions",
}


def run_probes(
    suite: str | None,
    resume: Path | str | None,
    asked: Mapping[str, Any],
    out: Path,
    stream: TextIO | None = None,
) -> "ProbeRun | None":
    """Run a suite of probes, or take one up again; return None where it is of systems.

    `asked` are the options of `stabench run`; `systems` name encoders. Raises StabenchError for an
    option that means nothing here, and what `probing.run` raises.
    """
    # Late: they load numpy, which no other command should wait for.
    from stabench.harness.probing.run_file import Request, find_probe_run
    from stabench.harness.suites.probes import is_probe_suite

    kept = find_probe_run(resume, out) if resume is not None else None
    if kept is None and (resume is not None or suite is None or not is_probe_suite(suite)):
        return None
    from stabench.harness.probing import run

    for name, word in WORDS.items():
        if asked[name]:
            raise StabenchError(f"{word}: a suite of probes has none; leave it out")
    if kept is None:
        assert suite is not None
        request = Request(device=asked["device"] or "cpu")
        folder = run.begin(suite, asked["systems"], asked["set"], request, out)
    else:
        for name, word in (("systems", "--system"), ("set", "--set")):
            if asked[name]:
                raise StabenchError(
                    f"{word}: a resumed run keeps what was asked first; leave it out"
                )
        request = Request(device=asked["device"] or kept.record.request.device)
        folder = run.resume(kept, suite, request)
    run.execute(folder)
    report_probes(folder, stream)
    run.check_failures(folder)
    return folder


def report_probes(run: "ProbeRun", stream: TextIO | None = None) -> None:
    """Write the report of a run of probes, beside what STAR's Table 1 prints; print it."""
    from stabench.harness.probing.page import report
    from stabench.harness.reproduce.paper import FOLDER, read
    from stabench.harness.reproduce.probe_cells import list_published

    published = list_published(read(FOLDER / PAPER), run.record.probes)
    report(run, published, stream)
