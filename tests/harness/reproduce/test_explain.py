"""Explain: figures made under a hidden protocol are traced back to it, and to no other."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import soundfile

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.render.markdown import to_markdown
from stabench.harness.reproduce.explain import (
    NOT_MEASURED,
    OFF,
    REPRODUCED,
    Explanation,
    build_page,
    explain_folders,
    read_targets,
    state_answer,
)
from stabench.harness.reproduce.readings import (
    ALL,
    AXES,
    NETWORKS,
    PAIRED,
    TANGO,
    add_epsilon,
    restrict_axes,
)
from stabench.harness.runs.metrics_file import read as read_metrics
from stabench.harness.scoring.features import Network
from stabench.harness.scoring.score import score_folders
from stabench.metrics.frechet import distance, fit
from stabench.metrics.protocol import Listening, Protocol
from stabench.metrics.registry import METRICS
from tests.harness import listeners

FILE = Path(listeners.__file__)
JUDGES = {"fad": [f"{FILE}:Frames"], "tagger": [f"{FILE}:Tagger"], "clap": [f"{FILE}:Matcher"]}
CAPTIONS = ("low", "middle", "high")
RATE_HZ, CLIPS = 22_050, 24


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path_factory.getbasetemp() / "explained"))
    # Users get no IS of so few clips; here its splits are to be told apart by as few as will do.
    monkeypatch.setitem(METRICS, "is", replace(METRICS["is"], least=CLIPS))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stereo sounds with an offset, at a rate that no network has; a caption of each."""
    root = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    rows = [["id", "caption"]]
    for index in range(CLIPS):
        caption = CAPTIONS[index % 3]
        rows.append([f"clip-{index:02}", caption])
        for name, noise in (("reference", 0.02), ("outputs", 0.05)):
            write(root / name / f"clip-{index:02}.wav", make_sound(caption, noise, rng))
    # A recording without an output: the reference set is larger than what is paired with it.
    write(root / "reference" / "lonely.wav", make_sound("high", 0.2, rng))
    with (root / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (root / "half.txt").write_text("".join(f"clip-{index:02}\n" for index in range(0, CLIPS, 2)))
    return root


def make_sound(caption: str, noise: float, rng: np.random.Generator) -> np.ndarray:
    time_s = np.arange(RATE_HZ // 4) / RATE_HZ
    pitch = {"low": 500, "middle": 2_000, "high": 3_500}[caption]
    tone = 0.2 * np.sin(2 * np.pi * pitch * time_s + rng.uniform(0, 6))
    channels = [tone + noise * rng.standard_normal(len(tone)) for _ in range(2)]
    return (np.stack(channels, axis=1) + rng.uniform(0.02, 0.1)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")


def score_hidden(folders: Path, tmp_path: Path, protocol: Protocol) -> dict[str, float]:
    """The figures of a protocol, by the way that `stabench score` goes."""
    path = score_folders(
        folders / "reference",
        {"x": folders / "outputs"},
        folders / "captions.csv",
        tmp_path,
        protocol,
        columns=("fad", "fd", "kl", "is", "clap"),
        sanity=(),
        bootstrap=100,
    )
    scores = read_metrics(path.parent)
    assert scores is not None
    # A rate on the way is in the provenance: such scores are not taken for those without it.
    via = protocol.networks["clap"].via_hz
    assert (f"via {via} Hz" in scores.provenance.embedders["clap"].resampler) == (via is not None)
    cells = scores.systems["x"].cells
    return {column: cell.value for column, cell in cells.items() if cell.value is not None}


def hide(**ways: dict[str, object]) -> Protocol:
    rules = {
        role: Listening.model_validate({"network": JUDGES[role][0], **ways.get(role, {})})
        for role in JUDGES
    }
    constants = ways.get("constants", {})
    return Protocol.model_validate(
        {"name": "hidden", "version": 1, "columns": ["fad"], "networks": rules, **constants}
    )


HIDDEN = {
    "as the papers": hide(
        fad={"channels": "first", "remove_dc": True},
        tagger={"channels": "first", "remove_dc": True},
        clap={"int16": True, "long": "first"},
        constants={"kl_epsilon": 1e-6},
    ),
    "another resampler": hide(
        fad={"channels": "mean", "resampler": "polyphase-kaiser-5"},
        tagger={"channels": "mean", "remove_dc": True, "resampler": "sinc-kaiser-64-0.948"},
        clap={"channels": "mean", "resampler": "sinc-kaiser-64-0.948"},
    ),
    "by way of 32 kHz": hide(
        fad={"channels": "first"},
        tagger={"channels": "first", "resampler": "polyphase-kaiser-5"},
        clap={"channels": "first", "remove_dc": True, "via_hz": 32_000},
        constants={"is_splits": 1},
    ),
}


def trace(folders: Path, figures: dict[str, str], **how: object) -> Explanation:
    names = ("fad", "fd", "kl", "is", "clap")
    targets = read_targets({name: figures.get(name) for name in names})
    how = {"judges": JUDGES, **how}
    return explain_folders(
        targets, folders / "outputs", folders / "reference", folders / "captions.csv", **how
    )


@pytest.mark.parametrize("name", HIDDEN)
def test_the_protocol_behind_figures_is_named_and_no_other(folders, tmp_path, name):
    hidden = HIDDEN[name]
    figures = score_hidden(folders, tmp_path, hidden)
    explanation = trace(folders, {key: f"{value:.9f}" for key, value in figures.items()})
    assert explanation.exit_code == REPRODUCED
    (clips, fits), *others = explanation.met().items()
    assert (clips, others) == (ALL, [])
    for column, readings in fits.items():
        role = {"fad": "fad", "clap": "clap"}.get(column, "tagger")
        truth = hidden.networks[role]
        heard = {reading.rule.model_copy(update={"long": truth.long}) for reading in readings}
        assert heard == {truth}, column
    assert {r.constant for r in fits["fad"]} == {"0"}
    assert {r.constant for r in fits["kl"]} == {
        f"{hidden.kl_epsilon:g}" if hidden.kl_epsilon else "0"
    }
    assert {r.constant for r in fits["is"]} == {str(hidden.is_splits)}
    assert "reproduced over the clips 'all' (24)" in state_answer(explanation)


def test_a_hidden_list_of_clips_is_named(folders, tmp_path):
    part = tmp_path / "part"
    for name in ("reference", "outputs"):
        for clip in (folders / "half.txt").read_text().split():
            source = folders / name / f"{clip}.wav"
            (part / name).mkdir(parents=True, exist_ok=True)
            (part / name / source.name).write_bytes(source.read_bytes())
    (part / "captions.csv").write_bytes((folders / "captions.csv").read_bytes())
    figures = score_hidden(part, tmp_path / "scores", HIDDEN["as the papers"])
    texts = {key: f"{figures[key]:.7f}" for key in ("fad", "kl")}
    explanation = trace(folders, texts, lists={"half": folders / "half.txt"})
    assert [*explanation.met()] == ["half"]
    assert "over the clips 'half' (12)" in state_answer(explanation)
    assert {reading.clips for reading in explanation.readings} == {ALL, PAIRED, "half"}


def test_digits_that_are_not_printed_leave_several_ways_open_and_that_is_said(folders, tmp_path):
    figures = score_hidden(folders, tmp_path, HIDDEN["as the papers"])
    explanation = trace(folders, {"clap": f"{figures['clap']:.1f}"})
    assert len(explanation.met()[ALL]["clap"]) > 5
    answer = state_answer(explanation)
    assert "cannot tell them apart" in answer
    assert "others)" in answer


def test_figures_that_no_way_gives_are_said_to_be_so_with_the_nearest(folders, tmp_path):
    figures = score_hidden(folders, tmp_path, HIDDEN["as the papers"])
    near = f"{figures['fad'] * 1.01:.6f}"
    explanation = trace(folders, {"fad": near, "kl": "99.0"})
    assert explanation.exit_code == OFF
    assert explanation.met() == {}
    page = to_markdown(build_page(explanation))
    assert "KL 99.0: reproduced by nothing that was tried" in page
    assert "| near |" in page


def test_figures_of_one_network_must_be_met_by_one_way_of_hearing(folders, tmp_path):
    first = score_hidden(folders, tmp_path / "a", HIDDEN["as the papers"])
    other = score_hidden(folders, tmp_path / "b", HIDDEN["another resampler"])
    mixed = {"fd": f"{first['fd']:.8f}", "kl": f"{other['kl']:.8f}"}
    assert trace(folders, mixed).exit_code == OFF
    assert trace(folders, {"fd": mixed["fd"]}).exit_code == REPRODUCED


def test_what_has_no_weights_is_not_measured_and_never_counted_as_tried(folders, tmp_path):
    figures = score_hidden(folders, tmp_path, HIDDEN["as the papers"])
    texts = {"fad": f"{figures['fad']:.6f}", "fd": "15.42"}
    judges = {**JUDGES, "tagger": NETWORKS["tagger"]}
    explanation = trace(folders, texts, judges=judges)
    assert explanation.exit_code == NOT_MEASURED
    assert [target.column for target in explanation.unmeasured] == ["fd"]
    assert "FD 15.42: not measured" in state_answer(explanation)
    reasons = {each.what: each.why for each in explanation.untried}
    assert reasons["tagger: cnn14-16k"].startswith("not measured, ")
    assert "weights fetch cnn14-16k" in reasons["tagger: cnn14-16k"]
    with pytest.raises(MissingError, match="no figure could be measured; tagger: cnn14-16k"):
        trace(folders, {"fd": "15.42"}, judges=judges)


def test_axes_that_make_no_difference_are_tried_once_and_named(tmp_path):
    rng = np.random.default_rng(1)
    for name in ("reference", "outputs"):
        for index in range(3):
            write(tmp_path / name / f"{index}.wav", make_sound("low", 0.1, rng)[:, 0], 16_000)
    (tmp_path / "captions.csv").write_text("id,caption\n0,low\n1,low\n2,low\n")
    explanation = trace(tmp_path, {"fad": "1.0"})
    # What is left is the mean, and the constant.
    assert len(explanation.readings) == 2 * len(AXES["epsilon"])
    assert explanation.remarks[0].startswith("channels: no difference")
    assert "16000 Hz, the rate of every sound" in explanation.remarks[1]


def test_clips_that_a_known_list_leaves_out_make_a_list_of_their_own(tmp_path):
    rng = np.random.default_rng(1)
    # The first is one of the 89 that TANGO leaves out; the second has the name that others give.
    for clip in ("Lh0UmwRgA7s", "YGI7meqlYZk0", "rqfQRErjfk8"):
        for name in ("reference", "outputs"):
            write(tmp_path / name / f"{clip}.wav", make_sound("low", 0.1, rng))
    explanation = explain_folders(
        read_targets({"fad": "1.0"}), tmp_path / "outputs", tmp_path / "reference", judges=JUDGES
    )
    counts = {reading.clips: reading.n for reading in explanation.readings}
    assert counts == {ALL: 3, TANGO: 2}


def test_broken_sounds_are_named(folders, tmp_path):
    for name in ("reference", "outputs"):
        (tmp_path / name).mkdir()
        for source in (folders / name).glob("clip-0*.wav"):
            (tmp_path / name / source.name).write_bytes(source.read_bytes())
    (tmp_path / "captions.csv").write_bytes((folders / "captions.csv").read_bytes())
    (tmp_path / "outputs" / "clip-03.wav").write_bytes(b"RIFF, and nothing after")
    explanation = trace(tmp_path, {"fad": "1.0"})
    assert {reading.n for reading in explanation.readings} == {9}
    assert "outputs, clip clip-03" in {each.what for each in explanation.untried}


def test_epsilon_is_added_to_both_covariances():
    rng = np.random.default_rng(0)
    # Fewer rows than dimensions, in one set or in both, where it matters; and more.
    for rows in (3, 8, 40):
        gen, ref = rng.normal(size=(rows, 12)), rng.normal(0.3, 2.0, (rows + 3, 12))
        covariances = [np.cov(table.T) + 1e-3 * np.eye(12) for table in (gen, ref)]
        root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
        expected = np.sum((gen.mean(0) - ref.mean(0)) ** 2) + np.trace(
            covariances[0] + covariances[1] - 2 * root
        )
        sides = fit("gen", gen), fit("ref", ref)
        assert add_epsilon(*sides, 1e-3) == pytest.approx(expected, rel=1e-6)
        assert add_epsilon(*sides, 0.0) == pytest.approx(distance(*sides), rel=1e-9)


@pytest.mark.parametrize(
    ("text", "digits", "below", "above"),
    [("1.42", 2, 1.414, 1.4251), ("15", 0, 14.4, 15.6), ("0.30", 2, 0.294, 0.306)],
)
def test_the_digits_of_a_figure_are_those_that_are_printed(text, digits, below, above):
    (target,) = read_targets({"fad": text})
    assert target.digits == digits
    assert target.is_met(float(text))
    assert target.is_met(float(text) + 0.49 * 10**-digits)
    assert not target.is_met(below)
    assert not target.is_met(above)


@pytest.mark.parametrize("text", ["", "abc", "nan", "inf", "1,42", "-1.0", "1e-99", "1.4.2"])
def test_what_is_no_figure_is_refused_in_one_line(text):
    with pytest.raises(StabenchError, match=r"--fad '.*': ") as error:
        read_targets({"fad": text})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("figures", "how", "message"),
    [
        ({}, {}, "explain takes a figure"),
        ({"fad": "1.0"}, {"only": ["resamplr=x"]}, "unknown axis 'resamplr'; did you mean"),
        ({"fad": "1.0"}, {"only": ["dc=gone"]}, "unknown value 'gone'. Known: kept, removed"),
        ({"fad": "1.0"}, {"only": ["dc"]}, "expected AXIS=VALUE"),
        ({"fad": "1.0"}, {"judges": {"fad": ["vgish"]}}, "unknown embedder 'vgish'; did you mean"),
        ({"fad": "1.0"}, {"lists": {"mine": Path("/nowhere")}}, "--clips mine: no file"),
        ({"fad": "1.0"}, {"lists": {"mine": FILE}}, "--clips mine: none of its .* ids is a clip"),
        ({"fad": "1.0"}, {"lists": {"all": FILE}}, "--clips all: that list is here already"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folders, figures, how, message):
    with pytest.raises(StabenchError, match=message):
        trace(folders, figures, **how)


def test_clap_needs_captions(folders):
    with pytest.raises(StabenchError, match="--clap needs the captions"):
        explain_folders(
            read_targets({"clap": "0.4"}), folders / "outputs", folders / "reference", judges=JUDGES
        )


def test_what_is_known_of_an_axis_is_not_tried_otherwise(folders):
    assert restrict_axes(["dc=kept", "via=none", "via=16000"]) == {
        **AXES,
        "dc": ("kept",),
        "via": ("none", "16000"),
    }
    explanation = trace(folders, {"fad": "1.0"}, only=["dc=kept", "epsilon=0", "channels=mean"])
    assert {reading.rule.remove_dc for reading in explanation.readings} == {False}
    assert {reading.rule.channels for reading in explanation.readings} == {"mean"}


def test_a_second_question_hears_nothing_anew(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path))
    heard: list[int] = []
    hear = Network.hear

    def count(network: Network, ears: dict) -> dict:
        heard.append(len(ears))
        return hear(network, ears)

    monkeypatch.setattr(Network, "hear", count)
    only = ["channels=mean", "epsilon=0"]
    first = trace(folders, {"fad": "1.0"}, only=only)
    # Once for each sound and way: two rules for the mean, three resamplers.
    assert sum(heard) == (2 * CLIPS + 1) * 2 * 3
    heard.clear()
    second = trace(folders, {"fad": "2.00"}, only=only)
    assert sum(heard) == 0
    assert [reading.value for reading in second.readings] == [r.value for r in first.readings]
    # Nor does `score` with such a rule, which keeps what it hears in the same place.
    score_hidden(folders, tmp_path / "scores", hide(fad={"channels": "mean"}))
    assert sum(heard) == (2 * CLIPS + 1) * 2
