"""The whole suite `table2` by one command: 15 systems, all columns, no network.

Numbers of untrained networks mean nothing; that each is there, with its interval, is the claim.
"""

import csv
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from stabench.checkpoints.digests import digest
from stabench.harness import registry
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.stats.bootstrap import DRIFT
from stabench.metrics.registry import METRICS
from tests.table2 import machine
from tests.table2.conftest import TIMEOUT_S

pytestmark = [pytest.mark.timeout(TIMEOUT_S), pytest.mark.slow]
PEOPLE = {"ovl", "rel"}
"""Columns that need listeners."""
SHIPPED = tomllib.loads(registry.toml_path("suites", "table2").read_text("utf-8"))
SYSTEMS = {system["name"]: system for system in SHIPPED["system"]}
CASCADES = {name for name, system in SYSTEMS.items() if system["paradigm"] == "cascade"}
HEARD = ["asr.mel", "asr.encode", "asr.decode"]
READ = ["text_encoder.cond", "text_encoder.uncond", "sampler", "decoder", "vocoder"]
STAGES = {
    "audioldm2": [*READ, "ranking"],
    "tango2": READ,
    "audit": READ,
    "stable-audio-open": ["text_encoder", "sampler", "decoder"],
    "tangoflux": ["text_encoder.cond", "text_encoder.uncond", "sampler", "decoder"],
    "meanaudio": ["text_encoder.t5", "text_encoder.clap", "sampler", "decoder", "vocoder"],
    "star": ["speech_encoder", "bridge", "sampler", "decoder"],
    "nobridge": ["speech_encoder", "sampler", "decoder"],
    "dac": ["speech_encoder", "bridge", "sampler", "decoder"],
}
SAMPLES = {
    "audioldm2": (160_000, 16_000),
    "tango2": (163_872, 16_000),
    "audit": (159_744, 16_000),
    "meanaudio": (160_256, 16_000),
    "stable-audio-open": (441_000, 44_100),
    "tangoflux": (441_000, 44_100),
}
"""And their rate; STAR and its ablations give 240,000 at 24 kHz."""


@pytest.fixture(scope="module")
def report(table2: Path) -> dict[str, Any]:
    return json.loads((table2 / "report.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def cells(report: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Every cell by system and column."""
    return {
        (row["system"], key): cell for row in report["rows"] for key, cell in row["cells"].items()
    }


def model(system: str) -> str:
    """`audioldm2` of `whisper-audioldm2`, `dac` of `star-dac`."""
    first, _, rest = system.partition("-")
    return rest or first


def test_the_run_is_that_of_the_shipped_suite(table2: Path) -> None:
    suite = RunFolder.open(table2).suite.resolved()
    assert (suite["name"], suite["dataset"]) == ("table2", SHIPPED["dataset"])
    assert suite["metrics"]["columns"] == SHIPPED["metrics"]["columns"]
    shipped = [(name, system["use"]) for name, system in SYSTEMS.items()]
    assert [(system["name"], system["use"]) for system in suite["system"]] == shipped


def test_every_cell_of_every_system_has_a_value_and_an_interval(
    report: dict[str, Any], cells: dict[tuple[str, str], dict[str, Any]]
) -> None:
    assert {system for system, _ in cells} == set(SYSTEMS)
    wanted = {
        "processing",
        "generation",
        "total",
        "rtf",
        *SHIPPED["metrics"]["columns"],
        *PEOPLE,
        "wer",
    }
    assert {column for _, column in cells} == wanted
    bare = {key for key, cell in cells.items() if cell["value"] is None}
    reasons = {key: cells[key]["reason"] for key in sorted(bare)}
    unheard = {(name, "wer") for name in SYSTEMS.keys() - CASCADES}
    # Of so few clips no interval of these would hold.
    few = {key for key in wanted & METRICS.keys() if METRICS[key].least > machine.CLIPS}
    # What untrained networks sound like may lie on no line: FAD-infinity says so instead.
    unfit = {key for key in bare if key[1] == "fad_inf" and "of the line is" in reasons[key]}
    assert len(unfit) <= len(SYSTEMS) // 3
    expected = unheard | unfit | {(name, key) for name in SYSTEMS for key in (*PEOPLE, *few)}
    assert bare == expected, reasons
    # A machine that drifts through the run gives times without an interval, whatever the code does.
    times = {"processing", "generation", "total", "rtf"}
    adrift = {key for key, cell in cells.items() if DRIFT in (cell.get("reason") or "")}
    assert {column for _, column in adrift} <= times
    whole = [cell for key, cell in cells.items() if key not in bare | adrift]
    assert all(cell["low"] <= cell["value"] <= cell["high"] for cell in whole)
    assert all(cell["low"] < cell["high"] for cell in whole), "an interval of no width"
    assert {cell["n"] for cell in whole} == {machine.CLIPS}
    assert {row["failed"] for row in report["rows"]} == {0}


def test_sanity_rows_and_differences_are_there(report: dict[str, Any]) -> None:
    assert [row["system"] for row in report["sanity"]] == SHIPPED["metrics"]["sanity"]
    differences = {(line["a"], line["b"]) for line in report["paired"]}
    assert {("star", name) for name in SYSTEMS if name != "star"} <= differences
    assert {(f"oracle-{model(name)}", name) for name in CASCADES} <= differences


def test_markdown_and_csv_hold_the_same_systems(table2: Path) -> None:
    page = (table2 / "report.md").read_text("utf-8")
    assert all(system["label"] in page for system in SYSTEMS.values())
    assert f"{machine.ABSENT} clips of the dataset could not be had" in page
    with (table2 / "report.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["system"] for row in rows} >= set(SYSTEMS)
    assert all(float(row["fad_low"]) <= float(row["fad_high"]) for row in rows if row["fad_low"])


def test_clips_that_cannot_be_had_are_listed(table2: Path) -> None:
    folder = RunFolder.open(table2)
    absent = [machine.youtube_id(machine.CLIPS + index) for index in range(machine.ABSENT)]
    assert [one.id for one in folder.dataset.missing] == [f"Y{name}" for name in absent]
    assert {one.reason for one in folder.dataset.missing} == {
        "no recording in 'audiocaps/audio'",
    }
    assert len(folder.clips) == machine.CLIPS


def test_every_stage_is_timed_and_every_output_is_of_its_model(table2: Path) -> None:
    for row in RunFolder.open(table2).rows():
        asr = HEARD if row.system in CASCADES else []
        assert [span.name for span in row.spans] == [*asr, *STAGES[model(row.system)]]
        native = SAMPLES.get(model(row.system), (240_000, 24_000))
        assert (row.samples, row.rate_hz) == native


def test_weights_of_the_systems_are_those_on_the_disk(table2: Path, whole: Path) -> None:
    about = json.dumps(json.loads((table2 / "systems.json").read_text("utf-8")))
    assert '"random"' not in about
    folder = whole / "cache" / "weights"
    for file in (
        "whisper-base/base.pt",
        "audioldm2/unet/diffusion_pytorch_model.safetensors",
        "stable-audio-open/transformer/diffusion_pytorch_model.safetensors",
        "tango2/pytorch_model_main.bin",
        "tangoflux/tangoflux.safetensors",
        "flan-t5-large/config.json",
        "audit/ckpts/tta/hifigan_checkpoints/g_01250000",
        "t5-base/model.safetensors",
    ):
        assert digest(folder / file) in about, file
    for star in ("star", "star-nobridge", "star-dac"):
        assert digest(whole / "weights" / star / "udit.safetensors") in about


def test_numbers_say_which_networks_are_not_the_protocol_s(report: dict[str, Any]) -> None:
    embedders = report["provenance"]["embedders"]
    assert embedders["clap"]["origin"] == "published: clap-htsat-unfused"
    assert {embedders[role]["origin"] for role in ("fad", "tagger", "clap_music")} == {
        "tiny, seeded"
    }
    assert "fad and tagger and clap_music replaced" in report["metrics"]["fad"]["protocol"]
