"""Runs to be shown, with what an enemy may write into them, and their pages."""

import json
from pathlib import Path
from typing import Any

from stabench.harness.report.html.document import to_html
from stabench.harness.report.report import page_of
from stabench.harness.report.table import tabulate
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.scoring.score import score_run
from tests.harness.fake_run import FakeRun

EVIL = (
    "=HYPERLINK(1)</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    "\x1b[31m\u202e'\"&amp;{{7*7}}<!--\u2028"
)
SAFE = "=HYPERLINK(1)</script><script>alert(1)</script><img src=x onerror=alert(1)>[31m'\"&amp;"
SYSTEMS = (
    ("cascade", "cascade", EVIL),
    ("star", "end-to-end", "STAR"),
    ("star-small", "end-to-end", "STAR, small"),
    ("oracle", "oracle", "Tones from the true caption"),
)


def made(root: Path, *, scored: bool = True, **how: Any) -> RunFolder:
    """A run whose clips have speech and hostile captions, labels and reasons."""
    how = {"systems": SYSTEMS, "metrics": {"sanity": ["other-half", "noise"]}, **how}
    folder = FakeRun(root, **how).make()
    record = json.loads((folder.path / "run.json").read_text())
    for clip in record["dataset"]["clips"]:
        clip["speech"] = clip["reference"]
        clip["caption"] = f"{clip['caption']} {EVIL}"
    (folder.path / "run.json").write_text(json.dumps(record))
    folder = RunFolder.open(folder.path)
    if scored:
        score_run(folder.path)
    return folder


def html(path: Path, **how: Any) -> str:
    """The page of the results in a folder, with the recordings that FakeRun puts beside `runs`."""
    how = {"sound_from": (path.resolve().parents[1],), **how}
    results = Results.read(path)
    table = tabulate(results)
    return to_html(results, table, page_of(results, table), **how)
