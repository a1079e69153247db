"""The gate: passes what is unchanged, names what is worse, and never takes nothing for good."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness import journal
from harness.errors import MissingError, StabenchError
from harness.run_folder import RunFolder
from harness.verdicts import evidence as reading
from harness.verdicts.gate import Counts, Gate, gate
from harness.verdicts.gate_run import gate_command, gate_run, write_baseline
from harness.verdicts.noise_record import Noise, PhaseNoise
from harness.verdicts.paired import Sampling
from harness.verdicts.policy import Policy, parse
from harness.verdicts.record import Evidence, Hardware
from tests.harness.fake_run import FakeRun
from tests.harness.verdicts import worlds
from tests.harness.verdicts.worlds import evidence, mean, system, times, whole

ROOT = Path(__file__).resolve().parents[3]
N = 72
QUICK = Sampling(resamples=20, draws=499)
POLICY = parse(
    "policy",
    {
        "quality": {"effects": {"fad": "3 %", "kl": 0.05, "clap": 0.01}},
        "latency": {"threshold": "5 %"},
    },
)


def run(
    logs: np.ndarray, rng: np.random.Generator, stage: float = 1.0, worse: float = 0.0
) -> Evidence:
    """A system whose generation is 60 % sampler; the sampler takes `stage` times as long."""
    sampler, decoder = np.exp(logs) * 0.6 * stage, np.exp(logs) * 0.4
    shares = rng.normal(0, 0.01, N)
    star = system(
        n=N,
        audio={clip: rng.bytes(4).hex() for clip in worlds.clip_ids(N)},
        columns={
            "fad": whole(4.0 + worse * 4, shares - shares.mean()),
            "kl": mean(rng.gamma(9, 0.02, N) + worse),
            "clap": mean(rng.normal(0.7 - worse, 0.01, N), "higher"),
        },
        samples_ns={
            "represent": times(rng.normal(0, 0.05, N), 13.0),
            "generate": times(np.log(sampler + decoder)),
        },
        stages_ns={
            "generate/sampler": times(np.log(sampler)),
            "generate/decoder": times(np.log(decoder)),
        },
    )
    return evidence(star)


def judged(old: Evidence, new: Evidence, policy: Policy = POLICY, **known: object) -> Gate:
    return gate(old, new, policy, {}, sampling=QUICK, **known)


def words(found: Gate) -> dict[str, str]:
    return {one.metric: one.verdict for one in found.checks}


def test_an_unchanged_tree_passes_and_fifteen_percent_in_a_stage_is_found_and_named() -> None:
    """By turns on the pocket's busy machine: 80 gates of nothing, 50 of a slower sampler.

    The sampler is 60 % of its phase, which so becomes 9 % slower.
    """
    rng = np.random.default_rng(0)
    olds, news = worlds.interleaved(rng, 80, N)
    codes = [judged(run(a, rng), run(b, rng)).exit_code for a, b in zip(olds, news, strict=True)]
    assert sum(code == 0 for code in codes) >= 79
    named = 0
    for a, b in zip(olds[:50], news[:50], strict=True):
        found = judged(run(a, rng), run(b, rng, stage=1.15))
        generation = next(one for one in found.checks if one.metric == "generation")
        stages = [one.key for one in generation.stages]
        named += found.exit_code == 1 and stages[:1] == ["generate/sampler"]
    assert named >= 40


def test_fifteen_percent_of_the_phase_in_one_stage_is_found() -> None:
    rng = np.random.default_rng(1)
    olds, news = worlds.interleaved(rng, 50, N)
    found = [judged(run(a, rng), run(b, rng, stage=1.25)) for a, b in zip(olds, news, strict=True)]
    assert sum(one.exit_code == 1 for one in found) >= 48
    assert all(one.checks[-2].stages == () for one in found), "the other phase is not slower"
    named = [one.checks[-1].stages[:1] for one in found]
    assert sum([s.key for s in stages] == ["generate/sampler"] for stages in named) >= 48


def test_worse_quality_fails_and_names_the_metrics() -> None:
    rng, still = np.random.default_rng(2), np.zeros(N)
    found = judged(run(still, rng), run(still, rng, worse=0.2))
    assert found.exit_code == 1
    assert {key for key, word in words(found).items() if word == "regressed"} == {
        *("fad", "kl", "clap")
    }


def test_a_significant_change_below_the_effect_passes() -> None:
    rng, still = np.random.default_rng(3), np.zeros(N)
    loose = parse("policy", {"quality": {"effects": {"clap": 0.5, "kl": "900 %"}}})
    found = judged(run(still, rng), run(still, rng, worse=0.2), loose)
    assert found.exit_code == 0
    assert "regressed" not in words(found).values()


def test_a_stage_that_is_slower_in_a_phase_that_is_quicker_passes() -> None:
    """Work that moved from one stage to another is no regression."""
    rng = np.random.default_rng(4)
    old, new = run(np.zeros(N), rng), run(np.full(N, np.log(0.7)), rng, stage=1.5)
    one = new.systems["star"]
    assert sum(one.samples_ns["generate"]["c000"]) < 240e6
    assert judged(old, new).exit_code == 0


def test_other_hardware_is_not_measured_and_never_a_regression() -> None:
    rng = np.random.default_rng(5)
    there = Hardware(device="cpu", cpu_model="Other CPU", gpu=None, threads=1)
    slow = run(np.full(N, 1.0), rng).model_copy(update={"hardware": there})
    found = judged(run(np.zeros(N), rng), slow)
    assert words(found)["generation"] == "not measured"
    assert "hardware was" in found.checks[-1].reason
    assert found.exit_code == 0
    assert judged(run(np.zeros(N), rng), slow, strict=True).exit_code == 5


def test_numbers_of_another_provenance_are_refused() -> None:
    rng = np.random.default_rng(6)
    old, new = run(np.zeros(N), rng), run(np.zeros(N), rng)
    star = new.systems["star"]
    kl = star.columns["kl"].model_copy(update={"digest": "other"})
    star = star.model_copy(update={"columns": {**star.columns, "kl": kl}})
    with pytest.raises(StabenchError, match="provenance of kl"):
        judged(old, new.model_copy(update={"systems": {"star": star}}))


def test_what_is_not_guarded_costs_no_power() -> None:
    rng = np.random.default_rng(7)
    only = parse("policy", {"quality": {"effects": {"kl": 0.01}}, "latency": {"phases": []}})
    found = judged(run(np.zeros(N), rng), run(np.ones(N), rng), only)
    assert set(words(found)) == {"kl"}
    assert found.checks[0].line.p_adjusted == found.checks[0].line.change.p_value


def test_systems_of_the_policy() -> None:
    rng = np.random.default_rng(8)
    one = run(np.zeros(N), rng)
    with pytest.raises(StabenchError, match="did you mean 'star'"):
        judged(one, one, POLICY.model_copy(update={"systems": ("sttar",)}))
    lacking = one.model_copy(update={"systems": {}})
    found = judged(one, lacking, strict=True)
    assert set(words(found).values()) == {"not measured"}
    assert found.exit_code == 5


@pytest.mark.parametrize(
    ("counts", "allowed", "code", "strict_code"),
    [
        (Counts(0, 0, 72), 0.0, 0, 0),
        (Counts(1, 0, 72), 0.0, 4, 4),
        (Counts(1, 0, 72), 0.02, 0, 0),
        (Counts(0, 3, 72), 0.0, 0, 5),
    ],
)
def test_failed_clips_and_those_not_run(
    counts: Counts, allowed: float, code: int, strict_code: int
) -> None:
    one = run(np.zeros(N), np.random.default_rng(9))
    policy = POLICY.model_copy(update={"max_failed_share": allowed})
    found = [gate(one, one, policy, {"star": counts}, strict=s).exit_code for s in (False, True)]
    assert found == [code, strict_code]


def _noise(threshold: float, cpu: str) -> Noise:
    kept = PhaseNoise(
        threshold=threshold, alarms=0, splits=9, low=0, high=0.1, least_slowdown=None, spread=0.1
    )
    hardware = Hardware(device="cpu", cpu_model=cpu, gpu=None, threads=1)
    return Noise(
        schema=1,
        made_at="now",
        system="star",
        clips=9,
        hardware=hardware,
        load_average=None,
        phases={"processing": kept, "generation": kept},
    )


def test_the_threshold_of_the_machine_counts_where_it_is_this_machine() -> None:
    rng = np.random.default_rng(10)
    old, new = run(np.zeros(N), rng), run(np.full(N, np.log(1.2)), rng)
    policy = parse("policy", {"latency": {"phases": ["generation"], "unmeasured": "5 %"}})
    here = judged(old, new, policy, noise=_noise(0.3, "Some CPU"))
    there = judged(old, new, policy, noise=_noise(0.3, "Other CPU"))
    none = judged(old, new, policy)
    assert [one.exit_code for one in (here, there, none)] == [0, 1, 1]
    assert "this machine's own noise: generation 30.0%" in here.notes[0]
    assert "not measured" in there.notes[0]


Judge = Callable[..., int]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Gates a run folder against a baseline file, under a policy of the latencies and failures."""
    rules = tmp_path / "gate.toml"
    rules.write_text('[latency]\nthreshold = "5 %"\n')

    def call(folder: RunFolder, baseline: Path | None, strict: bool = False) -> int:
        stream = io.StringIO()
        return gate_run(folder.path, baseline, rules, strict=strict, stream=stream)

    return call


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    made = FakeRun(tmp_path / "base").make()
    path = tmp_path / "pocket.json.gz"
    path.write_bytes(reading.read(made.path).to_bytes())
    return path


def test_an_empty_run_is_not_measured(tmp_path: Path, judge: Judge, baseline: Path) -> None:
    folder = FakeRun(tmp_path / "new").make()
    folder.journal_path.write_text("")
    assert judge(folder, baseline) == 0
    assert judge(folder, baseline, strict=True) == 5
    assert (folder.path / "gate.md").read_text().startswith("# Gate: not measured")
    assert json.loads((folder.path / "gate.json").read_bytes())["exit_code"] == 5


def test_a_run_equal_to_its_baseline_passes(tmp_path: Path, judge: Judge, baseline: Path) -> None:
    folder = FakeRun(tmp_path / "new").make()
    assert judge(folder, baseline, strict=True) == 0
    assert (folder.path / "gate.md").read_text().startswith("# Gate: passed")
    assert (folder.path / "junit.xml").read_bytes().count(b"<failure") == 0


def test_a_planted_slow_stage_in_a_journal(tmp_path: Path, judge: Judge, baseline: Path) -> None:
    folder = FakeRun(tmp_path / "new").make()
    rows = [journal.to_json(row) for row in folder.rows()]
    for row in rows:
        for span in row["spans"]:
            if span["name"] == "sampler" and row["system"] == "star":
                row["generate_ns"] += (more := span["wall_ns"] * 15 // 100)
                span["wall_ns"] += more
    folder.journal_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert judge(folder, baseline) == 1
    points = (folder.path / "gate.md").read_text().split("## Checks")[0]
    assert "- star: Generation regressed" in points
    assert "stages: generate/sampler +15.0 %" in points
    assert "decoder" not in points
    assert b"generate/sampler" in (folder.path / "junit.xml").read_bytes()


def test_failed_clips_beyond_the_policy(tmp_path: Path, judge: Judge, baseline: Path) -> None:
    folder = FakeRun(tmp_path / "new", failed={"star": ["clip001"]}).make()
    assert judge(folder, baseline) == 4
    assert "1 of 24 clips failed" in (folder.path / "gate.md").read_text()


def test_no_baseline(tmp_path: Path, judge: Judge) -> None:
    folder = FakeRun(tmp_path / "new").make()
    for missing in (None, tmp_path / "none.json.gz"):
        with pytest.raises(MissingError) as caught:
            judge(folder, missing)
        assert caught.value.exit_code == 3


@pytest.mark.parametrize("given", [{}, {"suite": "pocket"}, {"base": ROOT}])
def test_neither_a_run_nor_what_to_run(given: dict) -> None:
    with pytest.raises(StabenchError, match="gate takes RUN"):
        gate_command(None, ROOT / "results" / "baselines" / "gate.toml", **given)


def test_a_baseline_needs_all_clips_and_metrics(tmp_path: Path) -> None:
    failed = FakeRun(tmp_path / "a", failed={"star": ["clip001"]}).make()
    with pytest.raises(StabenchError, match="1 of 24 clips failed"):
        write_baseline(failed.path, tmp_path / "b.gz")
    unscored = FakeRun(tmp_path / "c").make()
    with pytest.raises(StabenchError, match="has no metrics"):
        write_baseline(unscored.path, tmp_path / "b.gz")
    assert not (tmp_path / "b.gz").exists()


def test_the_gate_loads_nothing_heavy() -> None:
    script = (
        "import sys, harness.verdicts.gate_run, harness.verdicts.benchmarks, "
        "harness.verdicts.noise_run; print('torch' in sys.modules, 'scipy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
