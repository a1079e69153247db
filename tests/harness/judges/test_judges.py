"""Judges before graded tones: good ones pass, bad ones fail, scoring refuses those that failed."""

import json
import sys
from pathlib import Path

import pytest

from stabench.harness.cli import main
from stabench.harness.cli.doctor import WIDTH
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.judges import judges
from stabench.harness.judges.gradings import Gradings, load
from stabench.harness.report.report import report
from stabench.harness.scoring.examination import (
    FOREIGN,
    Record,
    find,
    kept_at,
    read,
    shipped_at,
    write,
)
from stabench.harness.scoring.features import Network
from stabench.harness.scoring.score import ON_CPU, network_of, score_run
from stabench.harness.suites import protocols
from stabench.metrics.frechet import frechet_distance
from tests.harness.fake_run import FakeRun
from tests.harness.judges import tones

GOOD = {"fad": "Ear", "tagger": "Classes", "clap": "Words"}


def examined(**names: str) -> judges.Outcome:
    """The networks of tones.py in their roles, all examined together."""
    named = {role: f"{tones.HERE}:{name}" for role, name in names.items()}
    protocol = protocols.load("pocket", named)
    rules = {role: protocol.networks[role] for role in names}
    networks = {role: network_of(role, rule, ON_CPU, kept=False) for role, rule in rules.items()}
    return judges.examine(networks, protocol, tones.tones(), lambda *_: None)


@pytest.fixture(scope="module")
def good() -> dict[str, Record]:
    outcome = examined(**GOOD)
    assert not outcome.errors
    return outcome.records


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_judges_that_hear_what_is_there_pass(good):
    assert {role: record.faults for role, record in good.items()} == dict.fromkeys(GOOD, ())
    assert good["fad"].figures.accuracy_of == "probe"
    assert good["tagger"].figures.accuracy_of == "classes"
    assert good["clap"].figures.accuracy_of == "captions"
    assert good["fad"].agreement.value == good["tagger"].agreement.value > 0.8
    assert good["fad"].agreement.sets == 18


def test_curves_hold_the_metric_itself_at_every_level(good):
    """FAD of the loudest noise, calculated here from the sounds as the protocol brings them."""
    gradings = tones.tones()
    ear, rule = tones.Ear(), protocols.load("pocket").networks["fad"]
    noise = gradings.damages[0]

    def rows(sounds):
        from stabench.metrics.preprocess import Ear

        parts = [Ear(sound).waveforms(rule, ear.rate_hz) for sound in sounds]
        return [row for [part] in parts for row in ear.one(part).embeddings]

    plain = rows(known.audio() for known in gradings.test)
    damaged = rows(noise.apply(known, noise.levels[-1]) for known in gradings.test)
    curve = good["fad"].figures.curves["fad"]["noise"]
    assert curve.levels == noise.levels
    assert curve.values[-1] == pytest.approx(frechet_distance(damaged, plain), rel=1e-6)
    assert good["fad"].figures.loudness["fad"].plain == pytest.approx(0, abs=1e-9)


def test_loudness_is_what_the_gain_of_12_db_does(good):
    figures = good["clap"].figures
    quieter = figures.curves["clap"]["gain"].values[1]
    assert figures.loudness["clap"].quieter == pytest.approx(quieter, rel=1e-6)
    assert figures.loudness["clap"].louder > figures.loudness["clap"].quieter


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("OneAxis", ["linear probe 0", "1.0 effective dimensions, at least 5 are needed"]),
        ("Guessing", ["linear probe 0", "times as far from the other half as white noise"]),
        ("Infinite", ["NaN or infinity for"]),
    ],
)
def test_judges_that_hear_little_fail_with_what_they_lack(name, faults):
    record = examined(fad=name).records["fad"]
    assert not record.passed
    assert all(any(fault in one for one in record.faults) for fault in faults), record.faults
    assert record.thresholds == FOREIGN


def test_a_bad_judge_does_not_make_a_good_one_fail():
    records = examined(fad="Guessing", tagger="Classes").records
    assert not records["fad"].passed
    assert records["tagger"].passed
    assert records["tagger"].agreement.counts is False


def test_missing_weights_do_not_keep_others_from_being_examined():
    outcome = examined(fad="Gone", tagger="Classes")
    assert outcome.records["tagger"].passed
    assert isinstance(outcome.errors["fad"], MissingError)


def test_the_verdict_is_that_of_the_figures(good, tmp_path):
    path = tmp_path / "record.json"
    write(path, good["fad"])
    assert read(path) == good["fad"]
    content = json.loads(path.read_text())
    content["figures"]["dimensions"] = 1.7
    path.write_text(json.dumps(content))
    with pytest.raises(StabenchError, match=r"record.json: .*passed is True.*doctor --judges"):
        read(path)
    path.write_text(json.dumps({**content, "passed": False}))
    assert read(path).faults == ("1.7 effective dimensions, at least 2 are needed",)
    path.write_text(json.dumps({**content, "version": 0}))
    assert read(path) is None
    path.write_text("{")
    with pytest.raises(StabenchError, match="not JSON"):
        read(path)


def test_a_record_belongs_to_one_identity_in_one_role(good, cache, tmp_path):
    class Shipped(tones.Ear):
        examinations = tmp_path / "weights"

    ear = Shipped()
    identity = good["fad"].identity
    assert find(ear, "fad", identity) is None
    write(shipped_at(ear.examinations, "fad"), good["fad"])
    assert find(ear, "fad", identity) == good["fad"]
    assert find(ear, "fad", "other weights") is None
    assert find(ear, "tagger", identity) is None
    failed = good["fad"].model_copy(update={"refused": 1, "figures": None, "passed": False})
    write(kept_at("fad", identity), failed)
    assert find(ear, "fad", identity) == failed


def keep_failed(good: dict[str, Record]) -> None:
    """The judge of FAD has failed, the others have passed."""
    figures = good["fad"].figures.model_copy(update={"dimensions": 1.7})
    failed = good["fad"].model_copy(update={"figures": figures, "passed": False})
    for record in (failed, good["tagger"], good["clap"]):
        write(kept_at(record.role, record.identity), record)


def scored(root: Path) -> Path:
    networks = {role: f"{tones.HERE}:{name}" for role, name in GOOD.items()}
    sanity = {"sanity": ["other-half", "noise"]}
    folder = FakeRun(root, n=12, metrics={**networks, **sanity}).make()
    score_run(folder.path)
    return folder.path


def test_scoring_refuses_a_judge_that_failed(good, cache, tmp_path, capsys):
    keep_failed(good)
    run = scored(tmp_path)
    metrics = json.loads((run / "metrics.json").read_text())
    reason = (
        "the network failed its examination: 1.7 effective dimensions, at least 2 are needed; "
        "see stabench doctor --judges"
    )
    for part in (*metrics["systems"].values(), *metrics["sanity"].values()):
        assert part["cells"]["fad"]["value"] is None
    for system in metrics["systems"].values():
        assert system["cells"]["fad"]["reason"] == reason
        assert system["cells"]["fd"]["value"] is not None
        assert system["cells"]["clap"]["value"] is not None
    found = metrics["provenance"]["examinations"]
    assert {role: one["verdict"] for role, one in found.items()} == {
        "fad": "failed",
        "tagger": "passed",
        "clap": "passed",
    }
    assert found["fad"]["faults"] == ["1.7 effective dimensions, at least 2 are needed"]
    assert not any("not examined" in note for note in metrics["notes"])
    text = report(run).read_text()
    assert reason in text
    assert "## Judges" in text
    assert reason in " ".join(capsys.readouterr().out.split())


def test_judges_that_nobody_examined_are_named_with_the_command(cache, tmp_path):
    run = scored(tmp_path)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["systems"]["star"]["cells"]["fad"]["value"] is not None
    assert {one["verdict"] for one in metrics["provenance"]["examinations"].values()} == {
        "not examined"
    }
    [note] = [note for note in metrics["notes"] if "not examined" in note]
    assert "stabench doctor --judges --protocol pocket --judge fad=" in note


@pytest.mark.parametrize(
    ("fad", "code", "said"),
    [
        ("Ear", 0, "passed"),
        ("OneAxis", 1, "OneAxis (fad) fails: 1.0 effective dimensions"),
        ("Gone", 3, "not examined: embedder"),
    ],
)
def test_the_doctor_says_who_can_judge(fad, code, said, cache, tmp_path, monkeypatch, capsys):
    names = {**GOOD, "fad": fad}
    rules = [f"[networks.{role}]\nnetwork = '{tones.HERE}:{name}'" for role, name in names.items()]
    head = 'name = "mine"\nversion = 1\ncolumns = ["fad"]'
    (tmp_path / "mine.toml").write_text("\n".join([head, *rules]))
    words = ["doctor", "--judges", "--protocol", str(tmp_path / "mine.toml"), "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["stabench", *words, "--gradings", f"{tones.HERE}:tones"])
    assert main.main() == code
    out = capsys.readouterr().out
    assert said in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= WIDTH
    assert "12 dB quieter" in out
    kept = [read(path) for path in (cache / "judges").iterdir()]
    assert {record.role for record in kept} == ({*GOOD} - {"fad"} if code == 3 else {*GOOD})


def test_options_of_the_doctor_are_checked(monkeypatch, capsys):
    for words, line in (
        (["--judge", "fad"], "expected ROLE=NAME, such as fad=vggish"),
        (["--judge", "tager=cnn14-16k"], "unknown role 'tager'; did you mean 'tagger'?"),
        (["--gradings", "pockett"], "unknown grading 'pockett'; did you mean 'pocket'?"),
    ):
        monkeypatch.setattr(sys, "argv", ["stabench", "doctor", "--judges", *words])
        assert main.main() == 2
        assert line in capsys.readouterr().err


def test_gradings_that_prove_too_little_are_refused():
    whole = load(f"{tones.HERE}:tones")
    parts = {name: getattr(whole, name) for name in whole.__dataclass_fields__}
    few = tones.noise((-20, 0))
    for changes, line in (
        ({"damages": (few,)}, "'noise' has 2 levels, at least 6"),
        ({"test": whole.train}, "sound 'tone100' is there twice"),
        ({"damages": ()}, "12 of them for 0 damages"),
        ({"damaged": 2}, "2 of them for 4 damages"),
        ({"damages": whole.damages[:1] * 2}, "damage 'noise' is there twice"),
    ):
        with pytest.raises(StabenchError, match=line):
            Gradings(**{**parts, **changes})


def test_a_network_knows_its_record(good, cache):
    def judge() -> Network:
        rule = protocols.load("pocket", {"fad": f"{tones.HERE}:Ear"}).networks["fad"]
        return network_of("fad", rule, ON_CPU, kept=False)

    assert judge().examination is judge().refusal is None
    keep_failed(good)
    assert judge().refusal.startswith("the network failed its examination: 1.7")
