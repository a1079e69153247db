"""Where the wait of a one-step cascade goes: the report's stage table of a run names every part."""

import json

import pytest

from stabench.harness.report.table import tabulate
from stabench.harness.report.timing_sections import describe_stages
from stabench.harness.runner import plan
from stabench.harness.runner.engine import Engine
from stabench.harness.runner.progress import Silent
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import Request
from stabench.metrics.audio import encode
from stabench.systems.tta.meanaudio.transformer import MeanFlowTransformer
from tests.systems.asr import tiny_whisper
from tests.systems.tta import tiny_meanaudio

CLIPS, WARM_UPS = 2, 1
STAGES = {
    "represent": ["asr.mel", "asr.encode", "asr.decode", "text_encoder.t5", "text_encoder.clap"],
    "generate": ["sampler", "decoder", "vocoder"],
}
SUITE = """
name = "one-step"
[dataset]
use = "folder"
speech = {speech}
[run]
warmups = {warm_ups}
threads = 1
profile = 0
[[system]]
name = "one-step"
label = "One step"
paradigm = "cascade"
use = "cascade"
[system.options]
asr = {{ use = "whisper", weights = {whisper} }}
tta = {{ use = "meanaudio", weights = "random", duration_s = 0.1 }}
"""


@pytest.fixture(scope="module")
def evaluations() -> list[int]:
    """The rows of every evaluation of the transformer."""
    return []


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, evaluations: list[int]) -> Results:
    """One run of a tiny Whisper before a tiny random MeanAudio."""
    home = tmp_path_factory.mktemp("one-step")
    whisper = tiny_whisper.write(home / "whisper.pt", tiny_whisper.TINY._replace(n_text_ctx=48))
    (home / "speech").mkdir()
    for index in range(CLIPS):
        spoken = tiny_whisper.utterance(index, samples=16_000).samples
        (home / "speech" / f"clip{index}.wav").write_bytes(encode(spoken, 16_000))
    places = {"speech": json.dumps(str(home / "speech")), "whisper": json.dumps(str(whisper))}
    suite = home / "one-step.toml"
    suite.write_text(SUITE.format(warm_ups=WARM_UPS, **places))
    forward = MeanFlowTransformer.forward

    def count(self, latent, *rest):
        evaluations.append(len(latent))
        return forward(self, latent, *rest)

    with pytest.MonkeyPatch.context() as patch:
        tiny_meanaudio.shrink(patch)
        patch.setattr(MeanFlowTransformer, "forward", count)
        folder = plan.begin(str(suite), Request(in_process=True), home / "runs")
        Engine(folder, Silent()).run()
    return Results.read(folder.path)


def test_the_stage_table_says_where_the_wait_goes(results: Results) -> None:
    section = describe_stages(results, tabulate(results))
    assert section is not None
    heading, *lines = section.grid.lines
    assert heading.heading == "One step"
    stages: dict[str, list[str]] = {}
    for line in lines:
        stages.setdefault(line.cells[0].main, []).append(line.cells[1].main)
    assert stages == {phase: [*names, "(remainder)"] for phase, names in STAGES.items()}
    shares = [float(line.cells[4].main.removesuffix(" %")) for line in lines]
    assert sum(shares) == pytest.approx(100, abs=0.5)


def test_a_clip_is_recognised_once_and_sampled_in_one_evaluation(
    results: Results, evaluations: list[int]
) -> None:
    rows = results.timed("one-step")
    assert evaluations == [1] * (len(rows) + WARM_UPS) == [1] * (CLIPS + WARM_UPS)
    for row in rows:
        spans = [(span.phase, span.name) for span in row.spans]
        assert spans == [(phase, name) for phase, names in STAGES.items() for name in names]
        assert row.samples == 4 * 512
        assert row.tokens
