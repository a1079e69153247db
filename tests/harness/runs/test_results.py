"""Results: mean times on the clips that two systems share; statistics are computed once."""

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stabench.harness.compare.read_evidence import build_evidence
from stabench.harness.report.report import report
from stabench.harness.report.table import table
from stabench.harness.runs import journal
from stabench.harness.runs import results as module
from stabench.harness.runs.journal import Row, to_json
from stabench.harness.runs.results import Results
from stabench.harness.runs.timings import Read, clip_times, list_timings
from stabench.harness.scoring.score import score_run
from stabench.harness.stats.bootstrap import block_length
from stabench.harness.stats.latency import Latency
from stabench.harness.stats.permutation import adjusted, sign_flip
from stabench.harness.tasks.task import DEFAULT, load_task
from tests.harness.fake_run import FakeRun

SYSTEMS = (("a", "cascade", "A"), ("be", "end-to-end", "B"), ("cee", "oracle", "C"))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    made = FakeRun(tmp_path_factory.mktemp("run"), systems=SYSTEMS, failed={"be": ["clip005"]})
    return Results.read(Path(made.make().path))


def read(phase: str) -> Read:
    [timing] = (timing for timing in list_timings(load_task(DEFAULT)) if timing.name == phase)
    return timing.read


def test_the_total_is_of_rows_with_every_phase_and_the_factor_of_those_with_a_sound():
    whole = Row("a", "x", 0, False, "ok", seed=0, phase_ns={"represent": 10**9, "generate": 10**9})
    part = replace(whole, phase_ns={"represent": 10**9})
    sound = replace(whole, samples=32_000, rate_hz=8_000)
    assert [read("total")(row) for row in (whole, part, sound)] == [2e9, None, 2e9]
    # Two seconds for four seconds of sound.
    assert [read("rtf")(row) for row in (whole, part, sound)] == [None, None, 0.5e9]


def test_totals_are_means_of_the_sums_of_each_clip(results):
    rows = results.timed("a")
    sums = [sum(row.phase_ns.values()) for row in rows]
    assert results.latency("a", "total").mean.value == pytest.approx(np.mean(sums))
    factors = [ns * row.rate_hz / row.samples for ns, row in zip(sums, rows, strict=True)]
    assert results.latency("a", "rtf").mean.value == pytest.approx(np.mean(factors))


def test_repeats_are_averaged_and_clips_without_the_phase_left_out():
    rows = [
        Row("a", "x", 0, False, "ok", seed=0, phase_ns={"represent": 10}),
        Row("a", "x", 1, False, "ok", seed=0, phase_ns={"represent": 20}),
        Row("a", "y", 0, False, "ok", seed=0, phase_ns={"represent": 40, "generate": 7}),
    ]
    assert clip_times(rows, read("represent")) == {"x": 15.0, "y": 40.0}
    assert clip_times(rows, read("generate")) == {"y": 7.0}


def test_differences_are_paired_in_the_units_of_the_table(results):
    found = {(one.a, one.b, one.column): one for one in results.paired_latencies}
    assert len(found) == 3 * 4
    a, b = (clip_times(results.timed(name), read("represent")) for name in ("a", "be"))
    minus = np.array([a[clip] - b[clip] for clip in sorted(a.keys() & b.keys())]) / 1e6
    one = found["a", "be", "processing"].difference
    assert (one.n, one.value) == (23, pytest.approx(minus.mean()))
    half = 1.96 * minus.std(ddof=1) / np.sqrt(len(minus))
    assert one.high - one.low == pytest.approx(2 * half, rel=0.35)
    assert one.low < one.value < one.high


def test_a_ratio_of_a_system_to_itself_is_1_without_doubt(results):
    assert results.latency_ratio("a", "a", "generate")[:4] == (1.0, 1.0, 1.0, 24)


def test_a_ratio_is_the_first_over_the_second_on_common_clips(results):
    a, b = (clip_times(results.timed(name), read("represent")) for name in ("a", "be"))
    assert len(b) == 23
    found = results.latency_ratio("a", "be", "represent")
    assert found.n == 23
    assert found.value == pytest.approx(sum(a[clip] for clip in b) / sum(b.values()))
    back = results.latency_ratio("be", "a", "represent")
    assert back.value == pytest.approx(1 / found.value)


def test_bursts_of_a_busy_machine_widen_differences_and_ratios(tmp_path):
    """The same times count for less where slow ones follow one another."""
    widths = {}
    for kind in ("bursts", "mixed"):
        folder = FakeRun(tmp_path / kind, n=96, systems=SYSTEMS[:2]).make()
        slow = np.repeat(np.random.default_rng(3).permutation([0, 1] * 16), 3)
        order = slow if kind == "bursts" else np.random.default_rng(0).permutation(slow)
        rows = [
            replace(
                row,
                spans=(),
                phase_ns={"generate": 10**8 * (1 + int(row.system == "a" and order[place]))},
            )
            for place, row in zip([*range(96)] * 2, folder.rows(), strict=True)
        ]
        lines = [json.dumps(to_json(row)) + "\n" for row in rows]
        folder.journal_path.write_text("".join(lines))
        results = Results.read(folder.path)
        paired = results.paired_latencies
        minus = next(one.difference for one in paired if one.column == "generation")
        over = results.latency_ratio("a", "be", "generate")
        widths[kind] = (minus.high - minus.low, over.high - over.low)
    assert all(np.array(widths["bursts"]) > 1.3 * np.array(widths["mixed"])), widths


def test_times_that_drift_through_the_run_have_no_interval(tmp_path):
    """What one system took longer may be the machine's: value and reason, and no ends."""
    folder = FakeRun(tmp_path, n=48, systems=SYSTEMS[:2]).make()
    random = np.random.default_rng(1)
    slower = {"a": np.linspace(0, 1, 48), "be": np.zeros(48)}
    rows = [
        replace(
            row,
            spans=(),
            phase_ns={
                "generate": int(1e8 * (1 + slower[row.system][place] + random.uniform(0, 0.05)))
            },
        )
        for place, row in zip([*range(48)] * 2, folder.rows(), strict=True)
    ]
    folder.journal_path.write_text("".join(json.dumps(to_json(row)) + "\n" for row in rows))
    results = Results.read(folder.path)
    (minus,) = (r.difference for r in results.paired_latencies if r.column == "generation")
    cells = [
        minus,
        results.latency_ratio("a", "be", "generate"),
        results.latency("a", "generate").mean,
        results.latency("a", "generate").median,
    ]
    for cell in cells:
        assert cell.value > 0
        assert (cell.low, cell.high) == (None, None)
        assert cell.reason == "the machine drifted during the run: no interval"
    assert results.latency("be", "generate").mean.low is not None


def test_what_was_not_timed_has_no_ratio(results, tmp_path):
    offline = FakeRun(tmp_path, n=2, systems=SYSTEMS, protocol={"scenario": "offline"}).make()
    found = Results.read(offline.path).latency_ratio("a", "be", "generate")
    assert (found.value, found.reason) == (None, "offline run: a batch has no latency")
    assert Results.read(offline.path).paired_latencies == ()
    assert results.latency_ratio("a", "nobody", "generate").value is None


def test_a_system_that_does_everything_at_once_has_no_time_of_a_phase(tmp_path):
    folder = FakeRun(tmp_path, n=6, systems=SYSTEMS).make()
    whole = [
        replace(row, phase_ns={"represent+generate": sum(row.phase_ns.values())}, spans=())
        if row.system == "be"
        else row
        for row in folder.rows()
    ]
    folder.journal_path.write_text("".join(json.dumps(to_json(row)) + "\n" for row in whole))
    results = Results.read(folder.path)
    reason = "not measured apart: it does everything at once, see Total"
    assert [results.latency("be", phase) for phase in ("represent", "generate")] == [reason] * 2
    assert isinstance(results.latency("a", "generate"), Latency)
    phases = ("processing", "generation")
    pairs = [(pair.a, pair.b) for pair in results.paired_latencies if pair.column in phases]
    assert pairs == [("a", "cee")] * 2
    assert results.latency_ratio("a", "be", "generate").value is None
    assert [part.phase for part in results.stages("be")] == ["represent+generate"]
    [cells] = [row.cells for row in table(folder.path) if row.system == "be"]
    assert [cells[name].value for name in phases] == [None, None]
    mean_s = np.mean([sum(row.phase_ns.values()) for row in results.timed("be")]) / 1e9
    assert cells["total"].value == pytest.approx(mean_s)
    report(folder.path, sound_mb=1.0)


def test_the_report_names_the_python_and_torch_of_another_interpreter(tmp_path):
    use = {"use": "recorded", "python": "/other/python"}
    folder = FakeRun(tmp_path, n=3, systems=SYSTEMS[:1], use=use).make()
    folder.add_system("a", {"python": "3.13.1", "packages": {"torch": "0.0.other"}})
    report(folder.path)
    text = (folder.path / "report.md").read_text().replace("\\", "")
    assert "A: Python 3.13.1, torch 0.0.other (/other/python)" in text


def test_every_statistic_of_a_report_is_computed_once(tmp_path, monkeypatch):
    """One report asks for the latencies in its table, its sections, its charts and its LaTeX."""
    folder = FakeRun(tmp_path, systems=SYSTEMS).make()
    calls: dict[str, list[tuple]] = {"read": [], "_measure_latency": [], "measure_difference": []}
    for owner, name in (
        (journal, "read"),
        (Results, "_measure_latency"),
        (module, "measure_difference"),
    ):
        original = getattr(owner, name)

        def count(*arguments, original=original, kept=calls[name]):
            kept.append(arguments)
            return original(*arguments)

        monkeypatch.setattr(owner, name, count)
    means, mean = [], Latency.mean.func
    monkeypatch.setattr(
        Latency.mean, "func", lambda self: means.append(tuple(self.samples_ns)) or mean(self)
    )
    with open(os.devnull, "w") as nowhere:
        report(folder.path, nowhere, sound_mb=0)
    assert len(calls["read"]) == 1
    # Three pairs and three systems: each phase, their total and the real-time factor.
    assert len(calls["measure_difference"]) == 3 * 4
    kinds = ("represent", "generate", "total", "rtf")
    asked = Counter((system, timing.name) for _, system, timing in calls["_measure_latency"])
    assert asked == {(name, kind): 1 for name, *_ in SYSTEMS for kind in kinds}
    assert len(means) == len(set(means)) == 3 * 4


def test_a_latency_is_one_object_however_often_it_is_asked_for(results):
    assert results.latency("a", "represent") is results.latency("a", "represent")
    assert results.stages("a") is results.stages("a")
    assert results.timed("a") is results.timed("a")
    assert results.paired_latencies is results.paired_latencies
    assert results.latency("a", "represent") is not results.latency("a", "generate")
    assert results.latency("nobody", "represent").n == 0


def test_p_values_of_differences_are_those_of_sign_flips_adjusted_by_holm(results):
    """Times of one family; the smallest of m p-values is multiplied by m."""
    raw = [record.difference.p_value for record in results.paired_latencies]
    judged = [record.difference.p_value for record in results.judged_latencies]
    assert judged == adjusted(raw)
    assert min(judged) == pytest.approx(len(raw) * min(raw), rel=1e-9) or min(judged) == 1
    first = results.paired_latencies[0]
    times = [clip_times(results.timed(name), read("represent")) for name in (first.a, first.b)]
    minus = np.array([times[0][clip] - times[1][clip] for clip in times[0] if clip in times[1]])
    # The clips of this journal are independent: every clip is a block of its own.
    assert block_length(minus) == 1
    assert first.difference.p_value == sign_flip(minus, seed=results.run.suite.run.seed).p_value


def test_quality_is_a_family_of_its_own(tmp_path):
    made = FakeRun(tmp_path, systems=SYSTEMS, deaf=("be",)).make()
    score_run(made.path)
    scored = Results.read(made.path)
    raw = [record.difference.p_value for record in scored.paired]
    assert [p for p in raw if p is not None]
    known = [p for p in raw if p is not None]
    assert [record.difference.p_value for record in scored.judged if record.difference.p_value] == (
        adjusted(known)
    )
    # A column without a difference has no test.
    for record in scored.paired:
        assert (record.difference.p_value is None) is (record.difference.value is None)


def test_copies_of_speech_are_repeats_of_one_clip(tmp_path):
    """24 clips of which each three say the same: eight to count, with three times each."""
    folder = FakeRun(tmp_path / "run", n=24, systems=SYSTEMS[:2]).make()
    record = json.loads((folder.path / "run.json").read_text())
    for place, clip in enumerate(record["dataset"]["clips"]):
        speech = tmp_path / f"{clip['id']}.wav"
        speech.write_bytes(b"speech %d" % (place % 8))
        clip["speech"] = str(speech)
    (folder.path / "run.json").write_text(json.dumps(record))
    results = Results.read(folder.path)
    latency = results.latency("a", "generate")
    assert (latency.n, latency.n_clips, latency.mean.n) == (24, 8, 8)
    assert latency.median.reason == "p50 needs 11 clips, there are 8"
    assert {record.difference.n for record in results.paired_latencies} == {8}
    assert results.latency_ratio("a", "be", "generate").n == 8
    evidence = build_evidence(results).systems["a"]
    times = (*evidence.samples_ns.values(), *evidence.stages_ns.values())
    assert {(len(samples), len(clip)) for samples in times for clip in samples.values()} == {(8, 3)}
