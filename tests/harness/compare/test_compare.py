"""Comparisons: what is matched, refused, settled and said."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stabench.harness.cli import compare_commands
from stabench.harness.compare import read_evidence
from stabench.harness.compare.command import (
    compare_runs,
    exit_code,
    named_bounds,
    named_pairs,
    to_json,
)
from stabench.harness.compare.compare import Comparison, OtherProvenance, compare
from stabench.harness.compare.evidence import ColumnEvidence, Hardware
from stabench.harness.compare.page import build_page, format_p
from stabench.harness.compare.paired import Sampling
from stabench.harness.compare.verdict import Bounds, Line, Options
from stabench.harness.errors import StabenchError
from stabench.harness.formatting import plain
from stabench.harness.render.markdown import to_markdown
from tests.harness.worlds import clip_ids, column, evidence, mean, system, times, whole

N = 40
RNG = np.random.default_rng(0)
KL, SHARES = RNG.gamma(2, 1, N), RNG.normal(0, 0.1, N)
SAMPLING = Sampling(resamples=100, draws=999)
QUICK = Options(sampling=SAMPLING)


def star(name="star", kl=KL, slower=0.0, stage=0.0, **known):
    logs = np.linspace(0, 0.5, N)
    usual = {
        "columns": {"kl": mean(kl), "fd": whole(20.0, SHARES - SHARES.mean())},
        "samples_ns": {"generate": times(logs + slower)},
        "stages_ns": {"generate/a": times(logs + stage - 1), "generate/b": times(logs - 2)},
        "audio": {clip: f"{index:064}" for index, clip in enumerate(clip_ids(N))},
    }
    return system(name, N, **{**usual, **known})


def lines(comparison: Comparison) -> dict[str, Line]:
    return {line.key: line for line in comparison.systems[0].lines}


def test_the_same_run_is_the_same() -> None:
    comparison = compare(evidence(star()), evidence(star()), QUICK)
    assert {line.verdict for line in comparison.systems[0].lines} == {"same", "not measured"}
    assert (comparison.systems[0].identical, comparison.systems[0].pareto) == (N, "same")
    assert lines(comparison)["kl"].reason == "the audio is the same to the bit"
    assert lines(comparison)["processing"].reason == "not timed in the old run"
    assert exit_code(comparison, strict=True) == 0


def test_identical_audio_settles_quality_and_leaves_latency_a_small_family() -> None:
    comparison = compare(evidence(star()), evidence(star(slower=0.2, stage=0.3)), QUICK)
    verdicts = {key: line.verdict for key, line in lines(comparison).items()}
    assert verdicts["generation"] == verdicts["generate/a"] == "regressed"
    assert verdicts["generate/b"] == verdicts["kl"] == "same"
    assert comparison.systems[0].family == 1
    assert lines(comparison)["generation"].change.change == pytest.approx(np.exp(0.2))
    assert (comparison.systems[0].pareto, exit_code(comparison, strict=False)) == ("dominated", 1)


def test_a_stage_is_not_called_where_its_phase_has_not_changed() -> None:
    called = lines(compare(evidence(star()), evidence(star(stage=0.3)), QUICK))
    assert (called["generation"].verdict, called["generate/a"].verdict) == ("same", "inconclusive")


def test_a_stage_that_is_less_than_a_hundredth_of_its_phase_is_not_called() -> None:
    """0.5 % of the phase, and twice as long; a stage of 2 % is called."""
    for share, word in ((0.005, "inconclusive"), (0.02, "regressed")):
        old, new = (
            star(stages_ns={"generate/a": times(np.linspace(0, 0.5, N) + np.log(share) + more)})
            for more in (0.0, np.log(2))
        )
        slower = times(np.linspace(0, 0.5, N) + 0.2)
        new = new.model_copy(update={"samples_ns": {"generate": slower}})
        stage = lines(compare(evidence(old), evidence(new), QUICK))["generate/a"]
        assert stage.verdict == word
    assert stage.reason == ""


def test_a_slowdown_of_less_than_five_percent_does_not_count_unless_asked() -> None:
    pair = evidence(star()), evidence(star(slower=0.03))
    assert lines(compare(*pair, QUICK))["generation"].verdict == "same"
    asked = Options(bounds={"generation": Bounds(0.02, 0.02)}, sampling=SAMPLING)
    assert lines(compare(*pair, asked))["generation"].verdict == "regressed"


def test_what_the_page_and_the_json_say_of_stages() -> None:
    """Open ones are not in the summary; changes of all times are ratios; p has three decimals."""
    comparison = compare(evidence(star()), evidence(star(stage=0.3)), QUICK)
    (summary,) = build_page(comparison).section("verdicts").points
    assert "inconclusive" not in summary
    scales = {line["key"]: line["scale"] for line in to_json(comparison)["systems"][0]["lines"]}
    assert scales["generate/a"] == scales["generation"] == "ratio"
    assert scales["kl"] == "difference"
    assert [format_p(value) for value in (0.0009, 0.001, 0.0096)] == ["< 0.001", "0.001", "0.010"]


def test_new_audio_is_tested() -> None:
    noisy = KL + np.random.default_rng(1).normal(0.5, 0.2, N)
    called = lines(compare(evidence(star()), evidence(star(kl=noisy, audio={})), QUICK))
    assert (called["kl"].verdict, called["fd"].verdict) == ("regressed", "same")
    assert called["kl"].p_adjusted == pytest.approx(3 * called["kl"].change.p_value)


def test_one_family_for_all_systems_when_asked() -> None:
    noisy = KL + np.random.default_rng(1).normal(0.5, 0.2, N)
    old = evidence(star("a"), star("b"))
    new = evidence(star("a", kl=noisy, audio={}), star("b", kl=noisy, audio={}))
    row, every = (
        compare(old, new, Options(family=family, sampling=SAMPLING)) for family in ("row", "all")
    )
    assert [each.family for each in row.systems] == [3, 3]
    assert [each.family for each in every.systems] == [6, 6]
    assert lines(every)["kl"].p_adjusted == pytest.approx(6 * lines(row)["kl"].change.p_value)


def test_one_more_failure_is_a_regression_and_sets_are_not_compared() -> None:
    left = dict.fromkeys(clip_ids(N)[1:], KL[0])
    kl = mean(KL).model_copy(update={"per_clip": left})
    fd = whole(20.0, SHARES - SHARES.mean())
    columns = {"kl": kl, "fd": fd.model_copy(update={"n": N - 1})}
    new = star(columns=columns, failed_clips=("c000",), audio={})
    called = lines(compare(evidence(star()), evidence(new), QUICK))
    assert (called["failed"].verdict, called["fd"].verdict) == ("regressed", "not measured")
    assert "not the same ones failed" in called["fd"].reason
    assert called["kl"].note == "1 clip only in the old run, 0 clips only in the new"


def test_other_hardware_has_no_verdict_on_times() -> None:
    other = Hardware(device="cpu", cpu_model="Another", gpu=None, threads=1)
    pair = evidence(star()), evidence(star(slower=0.3), hardware=other)
    generation = lines(compare(*pair, QUICK))["generation"]
    assert (generation.verdict, generation.change) == ("not measured", None)
    assert "Some CPU" in generation.reason
    assert "--" not in generation.reason, "the gate, which shows it too, has no such option"
    asked = Options(across_hardware=True, sampling=SAMPLING)
    generation = lines(compare(*pair, asked))["generation"]
    assert (generation.verdict, generation.change.change) == (
        "not measured",
        pytest.approx(np.exp(0.3)),
    )


@pytest.mark.parametrize("cpu", ["", "unknown", "x86_64", "aarch64", "arm", "armv7l", "AMD64"])
def test_two_unknown_machines_may_be_two(cpu: str) -> None:
    nameless = Hardware(device="cpu", cpu_model=cpu, gpu=None, threads=1)
    pair = [evidence(star(slower=slower), hardware=nameless) for slower in (0, 0.3)]
    generation = lines(compare(*pair, QUICK))["generation"]
    assert generation.verdict == "not measured"
    assert "not known by name" in generation.reason
    nowhere = [run.model_copy(update={"hardware": None}) for run in pair]
    assert lines(compare(*nowhere, QUICK))["generation"].verdict == "not measured"


def test_two_unknown_gpus_may_be_two_and_a_named_one_is_one() -> None:
    gpu = Hardware(device="cuda", cpu_model="Some CPU", gpu=None, threads=1)
    for name, word in ((None, "not measured"), ("H200", "regressed")):
        known = gpu.model_copy(update={"gpu": name})
        pair = [evidence(star(slower=slower), hardware=known) for slower in (0, 0.3)]
        assert lines(compare(*pair, QUICK))["generation"].verdict == word


def count_words(order: list[str], wrong: dict[str, int]) -> ColumnEvidence:
    """A word error rate whose clips were read in some order."""
    counts = {clip: (wrong[clip], 3 + int(clip[1:]) % 7) for clip in order}
    rate = sum(e for e, _ in counts.values()) / sum(w for _, w in counts.values())
    values, weights, _ = read_evidence.pseudo_values(counts, rate)
    return column(values, rate, "ratio", "lower").model_copy(update={"weights": weights})


@pytest.mark.parametrize("seed", range(8))
def test_word_errors_that_are_equal_are_the_same_in_any_order_and_among_others(seed: int) -> None:
    """On another CPU the sounds differ, the transcripts do not; one run may have more clips."""
    rng = np.random.default_rng(seed)
    wrong = {clip: int(rng.integers(0, 4)) for clip in clip_ids(3 * N)}
    few, many = [list(rng.permutation(clip_ids(n))) for n in (N, 3 * N)]
    again = list(rng.permutation(few))
    for old, new in ((few, again), (few, many), (many, few)):
        pair = [
            evidence(star(columns={"wer": count_words(order, wrong)}, audio={}))
            for order in (old, new)
        ]
        line = lines(compare(*pair, QUICK))["wer"]
        assert (line.verdict, line.change.change) == ("same", 0.0)
        assert line.reason == f"equal on all {N} clips"
        assert exit_code(compare(*pair, QUICK), strict=True) == 0


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_rounding_of_equal_values_is_no_change_even_if_every_clip_has_it(better: str) -> None:
    rounded = np.nextafter(KL, np.inf)
    pair = [evidence(star(columns={"kl": mean(v, better)}, audio={})) for v in (KL, rounded)]
    assert lines(compare(*pair, QUICK))["kl"].verdict == "same"
    shares = SHARES - SHARES.mean()
    sets = [whole(20.0, shares, better), whole(np.nextafter(20.0, 0), shares, better)]
    pair = [evidence(star(columns={"fd": fd}, audio={})) for fd in sets]
    assert lines(compare(*pair, QUICK))["fd"].verdict == "same"
    real = KL + 1e-6
    pair = [evidence(star(columns={"kl": mean(v, better)}, audio={})) for v in (KL, real)]
    assert lines(compare(*pair, QUICK))["kl"].verdict != "same", "a change that small is one"


def test_equal_times_are_the_same_whatever_the_least_effect() -> None:
    for bounds in (Bounds(), Bounds(0.05, 0.05)):
        options = Options(bounds={"generation": bounds}, sampling=SAMPLING)
        line = lines(compare(evidence(star()), evidence(star(audio={})), options))["generation"]
        assert (line.verdict, line.reason) == ("same", f"equal on all {N} clips")


def test_hints_name_options_of_the_command_that_shows_them(tmp_path: Path) -> None:
    other = Hardware(device="cpu", cpu_model="Another", gpu=None, threads=1)
    paths = [tmp_path / "a.json.gz", tmp_path / "b.json.gz"]
    for path, run in zip(paths, (evidence(star()), evidence(star(), hardware=other)), strict=True):
        path.write_bytes(run.to_bytes())
    stream = io.StringIO()
    compare_runs(*paths, QUICK, stream=stream)
    assert "--across-hardware shows their ratios" in stream.getvalue()
    stream = io.StringIO()
    compare_runs(*paths, Options(across_hardware=True, sampling=SAMPLING), stream=stream)
    assert "--across-hardware" not in stream.getvalue()
    paths[1].write_bytes(evidence(star(), dataset_version="v2").to_bytes())
    with pytest.raises(StabenchError, match=r"dataset was .* same provenance, or use --force$"):
        compare_runs(*paths, QUICK)


def skew(slow: float, share: float) -> np.ndarray:
    """Logs of times [N] that a share of the clips has slower by `slow`."""
    return np.where(np.arange(N) < share * N, slow, 0.0)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (np.linspace(0, 1, N), np.linspace(0, 1, N) + 0.2, False),
        (np.zeros(N), skew(0.3, 0.8), False),
        # The clips around the median became quicker, most others slower.
        (np.linspace(0, 1, N), np.linspace(0, 1, N) + np.where(np.arange(N) % 3, 0.1, -0.4), True),
        (skew(1.0, 0.6), skew(1.0, 0.4) + 0.01, True),
    ],
)
def test_medians_that_disagree_with_the_change_are_explained(
    old: np.ndarray, new: np.ndarray, told: bool
) -> None:
    pair = [
        evidence(star(samples_ns={"generate": times(logs)}, stages_ns={})) for logs in (old, new)
    ]
    comparison = compare(*pair, QUICK)
    change = lines(comparison)["generation"].change
    apart = abs(change.new / change.old - change.change) > 0.0011
    assert apart == told, "the world is what the case says"
    text = to_markdown(build_page(comparison))
    assert ("the change is the median of each clip's own ratio" in text) == told


@pytest.mark.parametrize("what", ["dataset", "seed", "provenance of kl"])
def test_other_provenance_is_refused_and_marked_when_forced(what: str) -> None:
    old, new = evidence(star()), evidence(star(slower=0.1))
    if what == "dataset":
        new = new.model_copy(update={"dataset_version": "v2"})
    elif what == "seed":
        seeded = new.settings.model_copy(update={"seed": 7})
        new = new.model_copy(update={"settings": seeded})
    else:
        kl = mean(KL).model_copy(update={"digest": "e"})
        new = evidence(star(columns={"kl": kl}))
    with pytest.raises(OtherProvenance, match=f"{what} was .*not comparable") as caught:
        compare(old, new, QUICK)
    assert caught.value.exit_code == 2
    comparison = compare(old, new, Options(force=True, sampling=SAMPLING))
    assert f"forced although {what} was" in lines(comparison)["kl"].note
    assert (lines(comparison)["generation"].note == "") == (what == "provenance of kl")


def test_names_that_differ_and_names_that_are_not_there() -> None:
    old, new = evidence(star("cascade"), star("gone")), evidence(star("star"), star("fresh"))
    with pytest.raises(StabenchError, match=r"no system in common.*--system OLD=NEW"):
        compare(old, new, QUICK)
    with pytest.raises(
        StabenchError, match=r"new run: unknown system 'sttar'; did you mean 'star'"
    ):
        compare(old, new, Options(names={"cascade": "sttar"}))
    comparison = compare(old, new, Options(names={"cascade": "star"}, sampling=SAMPLING))
    assert (comparison.systems[0].old, comparison.systems[0].new) == ("cascade", "star")
    assert (comparison.only_old, comparison.only_new) == (("gone",), ("fresh",))


def test_words_of_the_command_line() -> None:
    run = evidence(star())
    assert named_pairs(["a=b", "c"]) == {"a": "b", "c": "c"}
    bounds = named_bounds(["kl=0.1", "generation=0.2"], ["kl=0.3"], run, run)
    assert bounds == {"kl": Bounds(0.1, 0.3), "generation": Bounds(0.2, 0.2)}
    for wrong, message in (
        ("klx=1", "did you mean 'kl'"),
        ("kl=-1", "0 or more"),
        ("kl", "NUMBER"),
    ):
        with pytest.raises(StabenchError, match=message):
            named_bounds([wrong], [], run, run)
    with pytest.raises(StabenchError, match="OLD=NEW"):
        named_pairs(["=b"])


def test_hostile_names_come_out_plain(tmp_path) -> None:
    bad = "\x1b[31m<script>|`x`"
    run = evidence(star(label=bad, name=bad), name=bad, versions={bad: bad})
    comparison = compare(run, run, QUICK)
    text = to_markdown(build_page(comparison))
    assert "\x1b" not in text
    assert "\\<script\\>\\|" in text
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert json.loads(json.dumps(to_json(comparison), allow_nan=False))["systems"][0]["old"] == bad
    assert plain(bad) != bad


def test_files_page_and_exit_codes(tmp_path) -> None:
    old, new = tmp_path / "old.gz", tmp_path / "new.gz"
    old.write_bytes(evidence(star()).to_bytes())
    new.write_bytes(evidence(star(slower=0.3)).to_bytes())
    stream = io.StringIO()
    assert compare_runs(old, new, QUICK, out=tmp_path / "out", stream=stream) == 1
    assert "Generation" in stream.getvalue()
    assert "regressed" in stream.getvalue()
    written = json.loads((tmp_path / "out" / "compare.json").read_text())
    verdicts = {line["key"]: line["verdict"] for line in written["systems"][0]["lines"]}
    assert verdicts["generation"] == "regressed"
    assert "**regressed**" in (tmp_path / "out" / "compare.md").read_text()
    lost = system("star", 0, untimed="never")
    new.write_bytes(evidence(lost).to_bytes())
    assert compare_runs(old, new, QUICK, stream=stream) == 0
    assert compare_runs(old, new, QUICK, strict=True, stream=stream) == 5


def test_comparing_needs_no_torch(tmp_path) -> None:
    path = tmp_path / "run.gz"
    path.write_bytes(evidence(star()).to_bytes())
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from stabench.harness.compare.command import compare_runs\n"
        f"compare_runs(Path({str(path)!r}), Path({str(path)!r}))\n"
        "print([m for m in ('torch', 'scipy', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_two_runs_with_nothing_in_them_are_not_shown_to_be_equal() -> None:
    bare = star(columns={}, samples_ns={}, stages_ns={})
    comparison = compare(evidence(bare), evidence(bare), QUICK)
    assert lines(comparison)["failed"].verdict == "same"
    assert [exit_code(comparison, strict=strict) for strict in (False, True)] == [0, 5]


def test_a_clip_that_was_not_run_is_not_said_to_have_failed() -> None:
    left = star(columns={}, failed_clips=("c000",))
    failures = lines(compare(evidence(star(columns={})), evidence(left), QUICK))["failed"]
    assert (failures.verdict, failures.reason) == (
        "regressed",
        "0 of 40 clips failed or not run, now 1",
    )


def test_runs_of_two_tasks_are_not_comparable() -> None:
    other = evidence(star()).model_copy(update={"task": "spoken_dialogue"})
    with pytest.raises(StabenchError, match="task was speech_to_audio and is spoken_dialogue"):
        compare(evidence(star()), other, QUICK)


def test_failures_of_clips_that_the_other_run_was_not_given_do_not_count() -> None:
    left = star(columns={}, samples_ns={}, stages_ns={}, failed_clips=("elsewhere",))
    failures = lines(compare(evidence(star(columns={})), evidence(left), QUICK))["failed"]
    assert (failures.verdict, failures.reason[:12]) == ("same", "0 of 40 clip")


def test_options_that_say_nothing_of_benchmarks_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.json").write_text('{"machine_info": {}, "benchmarks": []}')
    pair = tmp_path / "a.json", tmp_path / "b.json"
    assert compare_commands.compare(*pair) == 0
    for options in ({"margin": ["kl=1"]}, {"out": tmp_path}, {"family": "all"}, {"force": True}):
        with pytest.raises(StabenchError, match="no option"):
            compare_commands.compare(*pair, **options)


def test_a_table_of_clips_without_words_is_named(tmp_path: Path) -> None:
    from pyarrow import Table, parquet

    parquet.write_table(Table.from_pydict({"system": ["star"]}), tmp_path / "clips.parquet")
    with pytest.raises(StabenchError, match=r"clips\.parquet: not a table of clips"):
        read_evidence.read_wer(tmp_path, "star")
