"""A suite of probes on the toy corpus, and runs of it in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stabench.harness.probing import run as probing
from stabench.harness.probing.probe import run_probe
from stabench.harness.probing.run_file import ProbeRun, Request

TOY = Path(__file__).with_name("toy_corpus.py")
SUITE = """
name = "toy-table1"
title = "Toy"
notes = ["a toy"]

[probes]
corpus = "{toy}:Toy"
options = {{ folder = "{folder}" }}
bootstrap = 200

[recipe.mlp]
rate = 1e-2
batch = 16
epochs = 6
depths = [1]
mlp = {{ hidden = 8 }}

[recipe.qformer]
rate = 1e-2
batch = 16
epochs = 6
qformer = {{ queries = 2, width = 8, heads = 2, ffn = 16, output_width = 8 }}
"""
ENCODER = (
    '\n[[encoder]]\nname = "{name}"\nlabel = "{label}"\nreads = "{reads}"\nuse = "{toy}:Encoder"\n'
)


def write_suite(folder: Path, names: tuple[str, ...] = ("good", "deaf")) -> Path:
    text = SUITE.format(toy=TOY, folder=folder / "features")
    for name in names:
        reads = "caption" if name == "good" else "speech"
        text += ENCODER.format(name=name, label=name.upper(), reads=reads, toy=TOY)
    path = folder / "toy.toml"
    path.write_text(text)
    return path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Have probes run in this process, and list them."""
    trained: list[tuple[str, str]] = []

    def run_all(run: ProbeRun, waiting: list) -> None:
        for unit in waiting:
            trained.append(tuple(unit))
            run_probe(run, *unit)

    monkeypatch.setattr(probing, "_run_all", run_all)
    return trained


@pytest.fixture(scope="session")
def toy_run(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Return the folder of a finished run of two encoders by two bridges."""

    def make(folder: Path) -> None:
        run = probing.begin(str(write_suite(folder)), (), (), Request(), folder / "runs")
        for use in run.record.probes.encoders:
            for bridge in run.record.probes.probes.bridges:
                run_probe(run, use.name, bridge)
        from stabench.harness.probing.figures import make_figures

        make_figures(run)

    return (once("toy_probes", make) / "runs" / "latest").resolve()
