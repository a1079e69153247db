"""The gate: passes what is unchanged, names what is worse, and never takes nothing for good."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from stabench.harness.cli.main import app
from stabench.harness.compare.evidence import Evidence, Hardware
from stabench.harness.compare.paired import STANDARD, Sampling
from stabench.harness.errors import StabenchError
from stabench.harness.gate.gate import Counts, Gate, gate
from stabench.harness.gate.noise import Noise, PhaseNoise
from stabench.harness.gate.page import build_page, name_answer
from stabench.harness.gate.policy import Policy, parse
from stabench.harness.render.markdown import to_markdown
from tests.harness import worlds
from tests.harness.worlds import evidence, mean, system, times, whole

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


def words(outcome: Gate) -> dict[str, str]:
    return {check.metric: check.verdict for check in outcome.checks}


@pytest.mark.slow
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
        outcome = judged(run(a, rng), run(b, rng, stage=1.15))
        generation = next(check for check in outcome.checks if check.metric == "generation")
        stages = [check.key for check in generation.stages]
        named += outcome.exit_code == 1 and stages[:1] == ["generate/sampler"]
    assert named >= 40


def test_fifteen_percent_of_the_phase_in_one_stage_is_found() -> None:
    rng = np.random.default_rng(1)
    olds, news = worlds.interleaved(rng, 50, N)
    outcomes = [
        judged(run(a, rng), run(b, rng, stage=1.25)) for a, b in zip(olds, news, strict=True)
    ]
    assert sum(outcome.exit_code == 1 for outcome in outcomes) >= 48
    assert all(outcome.checks[-2].stages == () for outcome in outcomes), (
        "the other phase is not slower"
    )
    named = [outcome.checks[-1].stages[:1] for outcome in outcomes]
    assert sum([s.key for s in stages] == ["generate/sampler"] for stages in named) >= 48


def test_worse_quality_fails_and_names_the_metrics() -> None:
    rng, still = np.random.default_rng(2), np.zeros(N)
    outcome = judged(run(still, rng), run(still, rng, worse=0.2))
    assert outcome.exit_code == 1
    assert {key for key, word in words(outcome).items() if word == "regressed"} == {
        *("fad", "kl", "clap")
    }


def test_a_significant_change_below_the_effect_passes() -> None:
    rng, still = np.random.default_rng(3), np.zeros(N)
    loose = parse("policy", {"quality": {"effects": {"clap": 0.5, "kl": "900 %"}}})
    outcome = judged(run(still, rng), run(still, rng, worse=0.2), loose)
    assert outcome.exit_code == 0
    assert "regressed" not in words(outcome).values()


def test_a_stage_that_is_slower_in_a_phase_that_is_quicker_passes() -> None:
    """Work that moved from one stage to another is no regression."""
    rng = np.random.default_rng(4)
    old, new = run(np.zeros(N), rng), run(np.full(N, np.log(0.7)), rng, stage=1.5)
    star = new.systems["star"]
    assert sum(star.samples_ns["generate"]["c000"]) < 240e6
    assert judged(old, new).exit_code == 0


def test_other_hardware_is_not_measured_and_never_a_regression() -> None:
    rng = np.random.default_rng(5)
    there = Hardware(device="cpu", cpu_model="Other CPU", gpu=None, threads=1)
    slow = run(np.full(N, 1.0), rng).model_copy(update={"hardware": there})
    outcome = judged(run(np.zeros(N), rng), slow)
    assert words(outcome)["generation"] == "not measured"
    assert "hardware was" in outcome.checks[-1].reason
    assert outcome.exit_code == 5
    assert name_answer(outcome).startswith("not passed, ")


def _without(run_: Evidence, **update: object) -> Evidence:
    star = run_.systems["star"].model_copy(update=update)
    return run_.model_copy(update={"systems": {"star": star}})


def _blind(name: str) -> tuple[Evidence, Evidence, Policy, dict[str, Counts]]:
    """Return old run, new run, policy and counts of a situation in which something is not seen."""
    rng = np.random.default_rng(5)
    old, new = run(np.zeros(N), rng), run(np.zeros(N), rng)
    star, counts, policy = new.systems["star"], {"star": Counts(0, 0, N)}, POLICY
    columns = {key: column for key, column in star.columns.items() if key != "kl"}
    lost = {"value": None, "per_clip": {}, "weights": {}, "reason": "weights missing"}
    nothing = star.columns["kl"].model_copy(update=lost)
    other = Hardware(device="cpu", cpu_model="Other CPU", gpu=None, threads=1)
    match name:
        case "a metric left the run":
            new = _without(new, columns=columns)
        case "a metric lost its number":
            new = _without(new, columns={**columns, "kl": nothing})
        case "a metric is in neither run":
            old, new = (_without(each, columns=columns) for each in (old, new))
        case "the run is of other hardware":
            new = new.model_copy(update={"hardware": other})
        case "the run was not timed":
            new = _without(new, samples_ns={}, untimed="offline")
        case "one phase was not run":
            samples = {k: v for k, v in star.samples_ns.items() if k == "represent"}
            new = _without(new, samples_ns=samples)
        case "the baseline lacks the system":
            old = old.model_copy(update={"systems": {"other": system("other")}})
            policy = policy.model_copy(update={"systems": ("star",)})
        case "the run lacks the system":
            new = new.model_copy(update={"systems": {"other": system("other")}})
            policy = policy.model_copy(update={"systems": ("star",)})
        case "the policy guards nothing":
            policy = parse("policy", {"systems": ["star"], "latency": {"phases": []}})
        case "clips were not run":
            counts = {"star": Counts(0, 3, N)}
        case "no clip is in both":

            def rename(values: Mapping[str, Any]) -> dict[str, Any]:
                return {f"other {clip}": value for clip, value in values.items()}

            columns = {
                key: column.model_copy(update={"per_clip": rename(column.per_clip)})
                for key, column in star.columns.items()
            }
            samples = {phase: rename(walls) for phase, walls in star.samples_ns.items()}
            new = _without(
                new, audio=rename(star.audio), columns=columns, samples_ns=samples, stages_ns={}
            )
        case "nothing was measured at all":
            new = _without(new, columns={}, samples_ns={}, stages_ns={}, untimed="never")
    return old, new, policy, counts


BLIND = (
    "a metric left the run",
    "a metric lost its number",
    "a metric is in neither run",
    "the run is of other hardware",
    "the run was not timed",
    "one phase was not run",
    "the baseline lacks the system",
    "the run lacks the system",
    "the policy guards nothing",
    "clips were not run",
    "no clip is in both",
    "nothing was measured at all",
)


@pytest.mark.parametrize("name", BLIND)
def test_a_blind_gate_is_never_green(name: str) -> None:
    old, new, policy, counts = _blind(name)
    outcome = gate(old, new, policy, counts, sampling=QUICK)
    assert outcome.exit_code == 5
    answer = name_answer(outcome)
    assert answer == "not measured" or answer.startswith("not passed, ")
    assert "passed" not in answer.replace("not passed", "")


@pytest.mark.parametrize("allowed", ["kl", "star/kl"])
def test_what_the_policy_names_may_be_unmeasured_and_is_counted(allowed: str) -> None:
    old, new, policy, counts = _blind("a metric left the run")
    policy = policy.model_copy(update={"may_be_unmeasured": (allowed,)})
    outcome = gate(old, new, policy, counts, sampling=QUICK)
    assert outcome.exit_code == 0
    assert name_answer(outcome) == "passed, 1 of 6 checks not measured (allowed)"
    others = policy.model_copy(update={"may_be_unmeasured": ("other/kl", "fad")})
    assert gate(old, new, others, counts, sampling=QUICK).exit_code == 5


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
    outcome = judged(run(np.zeros(N), rng), run(np.ones(N), rng), only)
    assert set(words(outcome)) == {"kl"}
    assert outcome.checks[0].line.p_adjusted == outcome.checks[0].line.change.p_value


def test_systems_of_the_policy() -> None:
    rng = np.random.default_rng(8)
    still = run(np.zeros(N), rng)
    with pytest.raises(StabenchError, match="did you mean 'star'"):
        judged(still, still, POLICY.model_copy(update={"systems": ("sttar",)}))
    lacking = still.model_copy(update={"systems": {}})
    outcome = judged(still, lacking, strict=True)
    assert set(words(outcome).values()) == {"not measured"}
    assert outcome.exit_code == 5


@pytest.mark.parametrize(
    ("counts", "allowed", "code", "strict_code"),
    [
        (Counts(0, 0, 72), 0.0, 0, 0),
        (Counts(1, 0, 72), 0.0, 4, 4),
        (Counts(1, 0, 72), 0.02, 0, 0),
        (Counts(0, 3, 72), 0.0, 5, 5),
    ],
)
def test_failed_clips_and_those_not_run(
    counts: Counts, allowed: float, code: int, strict_code: int
) -> None:
    still = run(np.zeros(N), np.random.default_rng(9))
    policy = POLICY.model_copy(update={"max_failed_share": allowed})
    codes = [
        gate(still, still, policy, {"star": counts}, strict=s).exit_code for s in (False, True)
    ]
    assert codes == [code, strict_code]


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
    assert [outcome.exit_code for outcome in (here, there, none)] == [0, 1, 1]
    assert "this machine's own noise: generation 30.0%" in here.notes[0]
    assert "not measured" in there.notes[0]


def test_no_failures_alone_are_no_measurement() -> None:
    untimed = evidence(system(n=N, untimed="never"))
    for strict in (False, True):
        outcome = gate(untimed, untimed, POLICY, {"star": Counts(0, 0, N)}, strict=strict)
        assert (outcome.exit_code, name_answer(outcome)) == (5, "not measured")


def test_the_checks_of_all_systems_are_one_family() -> None:
    rng = np.random.default_rng(11)
    old, new = run(np.zeros(N), rng), run(np.zeros(N), rng, worse=0.2)
    pair = [
        evidence(*(star_run.systems["star"].model_copy(update={"name": name}) for name in "ab"))
        for star_run in (old, new)
    ]
    line = judged(*pair).checks[1].line
    assert line.p_adjusted == pytest.approx(10 * line.change.p_value), "5 tests, 2 systems"


def test_the_stage_that_lost_most_is_named_first() -> None:
    """The decoder loses 40 of 96 ms, which is more in per cent and less in time than 90 of 144."""
    rng = np.random.default_rng(12)
    old, new = run(np.zeros(N), rng), run(np.zeros(N), rng, stage=1.625)
    star = new.systems["star"]
    slower = {"generate/decoder": times(np.full(N, np.log(0.4 + 40 / 240)))}
    walls = {"generate": times(np.full(N, np.log(1 + (90 + 40) / 240)))}
    star = star.model_copy(
        update={
            "stages_ns": {**slower, "generate/sampler": star.stages_ns["generate/sampler"]},
            "samples_ns": {**star.samples_ns, **walls},
        }
    )
    outcome = judged(old, new.model_copy(update={"systems": {"star": star}}))
    assert [stage.key for stage in outcome.checks[-1].stages] == [
        "generate/sampler",
        "generate/decoder",
    ]
    (row,) = (
        line
        for line in to_markdown(build_page(outcome)).splitlines()
        if "| generate/sampler" in line
    )
    assert "| slower |" in row
    assert "| 5 % |" in row, "from where a change counts"


@pytest.mark.parametrize(("better", "closed"), [("higher", True), ("lower", False)])
def test_what_is_open_but_surely_no_worse_does_not_hold_a_strict_gate(
    better: str, closed: bool
) -> None:
    """0.009 more on average and up to 0.013 perhaps: less than counts, and more than the same."""
    rng = np.random.default_rng(13)
    old = rng.normal(0.7, 0.01, N)
    new = old + rng.normal(0.009, 0.015, N)
    rules = parse("policy", {"quality": {"effects": {"clap": 0.01}}, "latency": {"phases": []}})
    pair = [evidence(system(n=N, columns={"clap": mean(values, better)})) for values in (old, new)]
    (check,) = gate(*pair, rules, {}, sampling=STANDARD).checks
    assert (check.verdict, check.closed) == ("inconclusive", closed)


def test_medians_that_disagree_with_the_change_are_explained_on_the_page() -> None:
    logs = np.linspace(0, 1, N)
    turned = logs + np.where(np.arange(N) % 3, 0.1, -0.4)
    for new, told in ((logs + 0.2, False), (turned, True)):
        # One seed for both: their first phase is equal.
        pair = [run(each, np.random.default_rng(0)) for each in (logs, new)]
        text = to_markdown(build_page(judged(*pair)))
        assert ("- star: old and new are medians over the clips" in text) == told


def test_a_refusal_names_no_option_that_the_gate_does_not_have() -> None:
    rng, still = np.random.default_rng(0), np.zeros(N)
    other = run(still, rng).model_copy(update={"dataset_version": "v2"})
    with pytest.raises(StabenchError, match="not comparable") as caught:
        judged(run(still, rng), other)
    there = Hardware(device="cpu", cpu_model="Other CPU", gpu=None, threads=1)
    elsewhere = run(still, rng).model_copy(update={"hardware": there})
    text = to_markdown(build_page(judged(run(still, rng), elsewhere))) + str(caught.value)
    # Options of another command are named with it: "stabench doctor --noise".
    hinted = re.findall(
        r"--[a-z][a-z-]*", re.sub(r"stabench (doctor|baseline|run|score)[^);,]*", "", text)
    )
    gate_options = typer.main.get_command(app).commands["gate"].params
    assert {*hinted} <= {option for param in gate_options for option in param.opts}
