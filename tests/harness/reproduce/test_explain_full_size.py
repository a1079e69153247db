"""Explain with the papers' networks in full size, on random weights: the hidden truth is found."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stabench.harness.reproduce.explain import REPRODUCED, explain_folders, read_targets
from stabench.harness.reproduce.readings import ALL, ROLES
from stabench.harness.runs.metrics_file import read as read_metrics
from stabench.harness.scoring.score import Hearing, score_folders
from stabench.metrics.protocol import Listening, Protocol
from stabench.metrics.resample import NAME

HEARING = Hearing(threads=2, weights="random")
CLIPS, RATE_HZ = 4, 44_100
HIDDEN = Protocol(
    name="hidden",
    version=1,
    columns=("fad",),
    networks={
        "fad": Listening(network="vggish", channels="mean", resampler="polyphase-kaiser-5"),
        "tagger": Listening(network="cnn14-32k", remove_dc=True, resampler="sinc-kaiser-64-0.948"),
        "clap": Listening(
            network="clap-630k", channels="first", int16=True, long="first", via_hz=16_000
        ),
    },
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    for name in ("reference", "outputs"):
        (root / name).mkdir()
        for index in range(CLIPS):
            time_s = np.arange(2 * RATE_HZ) / RATE_HZ
            tone = 0.2 * np.sin(2 * np.pi * rng.uniform(200, 9_000) * time_s)
            noise = rng.uniform(0.01, 0.2, 2) * rng.standard_normal((len(tone), 2))
            sound = tone[:, None] + noise + rng.uniform(0.02, 0.1)
            soundfile.write(root / name / f"{index}.wav", sound, RATE_HZ, subtype="FLOAT")
    lines = (f"{index},a dog barks {index} times\n" for index in range(CLIPS))
    (root / "captions.csv").write_text("id,caption\n" + "".join(lines))
    return root


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("columns", "networks", "only"),
    [
        (("fad",), {}, ("channels=mean",)),
        (("fd", "kl"), {}, ("via=none", "channels=mean")),
        (
            ("clap",),
            {"clap": ["clap-630k"]},
            ("int16=yes", "dc=kept", "channels=first", f"resampler={NAME}"),
        ),
    ],
)
def test_the_hidden_protocol_is_named(folders, tmp_path, monkeypatch, columns, networks, only):
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    captions = folders / "captions.csv"
    outputs, reference = folders / "outputs", folders / "reference"
    score_folders(
        *(reference, {"x": outputs}, captions, tmp_path / "scores", HIDDEN),
        columns=columns,
        sanity=(),
        bootstrap=100,
        hearing=HEARING,
    )
    scores = read_metrics(tmp_path / "scores")
    assert scores is not None
    cells = scores.systems["x"].cells
    figures = {column: f"{cells[column].value:.7g}" for column in columns}
    explanation = explain_folders(
        *(read_targets(figures), outputs, reference, captions),
        judges=networks,
        only=only,
        hearing=HEARING,
    )
    assert explanation.exit_code == REPRODUCED
    fits = explanation.met()[ALL]
    for column, readings in fits.items():
        assert {reading.rule for reading in readings} == {HIDDEN.networks[ROLES[column]]}, column
        # An epsilon of 1e-6 is beyond the printed digits of an FD of thousands.
        constants = {reading.constant for reading in readings}
        assert constants & {"0", ""}, column
        assert column == "fd" or len(constants) == 1, column
