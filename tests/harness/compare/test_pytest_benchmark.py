"""Files of pytest-benchmark under the verdicts of runs."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stabench.harness.cli.compare_commands import compare
from stabench.harness.compare import pytest_benchmark
from stabench.harness.compare.paired import Sampling
from stabench.harness.compare.pytest_benchmark import Stats
from stabench.harness.errors import MissingError, StabenchError
from tests.harness.worlds import evidence, system

QUICK = Sampling(resamples=200, draws=499)


def entry(name: str, seconds: np.ndarray, data: bool = True) -> dict[str, Any]:
    stats = {"median": float(np.median(seconds)), "rounds": len(seconds), "iqr": 0.1, "ops": 3}
    if data:
        stats["data"] = list(seconds)
    return {"fullname": name, "name": name, "stats": stats}


def file(path: Path, *entries: dict[str, Any], cpu: str = "Some CPU") -> Path:
    value = {"machine_info": {"cpu": {"brand_raw": cpu}}, "benchmarks": entries, "version": "5"}
    path.write_text(json.dumps(value))
    return path


def rounds(rng: np.random.Generator, median: float = 0.01, n: int = 60) -> np.ndarray:
    """Rounds that remember: an autoregressive series of spread 5 %."""
    logs = np.zeros(n)
    for index in range(1, n):
        logs[index] = 0.5 * logs[index - 1] + rng.normal(0, 0.043)
    return median * np.exp(logs)


def words(old: Path, new: Path) -> dict[str, str]:
    pair = pytest_benchmark.read(old), pytest_benchmark.read(new)
    return {line.key: line.verdict for line in pytest_benchmark.compare(*pair, sampling=QUICK)}


def test_slower_quicker_unsaved_and_missing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = ("slow", "quick", "equal", "unsaved")
    old = [entry(name, rounds(rng), name != "unsaved") for name in names]
    calm = 0.1 * rounds(rng) ** 0.5  # half the spread
    old[2] = entry("equal", calm)
    new = [
        entry("slow", rounds(rng, 0.013)),
        entry("quick", rounds(rng, 0.007)),
        entry("equal", calm),
        entry("unsaved", rounds(rng)),
        entry("new", rounds(rng)),
    ]
    verdicts = words(file(tmp_path / "a.json", *old), file(tmp_path / "b.json", *new))
    assert verdicts == {
        "slow": "regressed",
        "quick": "improved",
        "equal": "same",
        "unsaved": "not measured",
        "new": "not measured",
    }


def test_unchanged_benchmarks_are_rarely_called_and_ten_percent_is_found() -> None:
    rng = np.random.default_rng(1)
    called, detected = 0, 0
    for _ in range(150):
        old, same, slow = (rounds(rng, size) for size in (1.0, 1.0, 1.1))
        pair = [
            pytest_benchmark.measure_change(
                *(Stats(median=1, rounds=60, data=tuple(x)) for x in (old, new)), QUICK
            )
            for new in (same, slow)
        ]
        called += pair[0].p_value <= 0.05 and abs(pair[0].change - 1) >= 0.05
        detected += pair[1].p_value <= 0.05 and pair[1].change >= 1.05
    assert called / 150 <= 0.05
    assert detected / 150 >= 0.9


def test_p_values_share_the_family_and_are_never_0(tmp_path: Path) -> None:
    """Three, ten times slower: no deal of 499 is as far apart, so p is 1 / 500, and 3 times it."""
    rng = np.random.default_rng(4)
    old = [entry(name, rounds(rng)) for name in "abc"]
    new = [entry(name, rounds(rng, 0.1)) for name in "abc"]
    pair = [
        pytest_benchmark.read(file(tmp_path / f"{index}.json", *line))
        for index, line in enumerate((old, new))
    ]
    lines = pytest_benchmark.compare(*pair, sampling=QUICK)
    assert [line.change.p_value for line in lines] == [1 / 500] * 3
    assert [line.p_adjusted for line in lines] == pytest.approx([3 / 500] * 3)


def test_many_rounds_that_remember_are_taken_in_blocks() -> None:
    """300 neighbours that tell as much as 100: one by one, p <= 0.05 one time in four."""
    rng, called = np.random.default_rng(6), 0
    for _ in range(150):
        old, new = (Stats(median=1, rounds=300, data=tuple(rounds(rng, 1.0, 300))) for _ in "ab")
        called += pytest_benchmark.measure_change(old, new, QUICK).p_value <= 0.05
    assert called / 150 <= 0.12


def test_other_hardware_is_not_measured(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    old = file(tmp_path / "a.json", entry("a", rounds(rng)))
    new = file(tmp_path / "b.json", entry("a", rounds(rng, 1.0)), cpu="Other CPU")
    assert words(old, new) == {"a": "not measured"}


def test_exit_codes_and_the_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    fast = file(tmp_path / "a.json", entry("test_x.py::test_a", rounds(rng)))
    slow = file(tmp_path / "b.json", entry("test_x.py::test_a", rounds(rng, 0.02)))
    bare = file(tmp_path / "c.json", entry("test_x.py::test_a", rounds(rng), data=False))
    output = io.StringIO()
    assert pytest_benchmark.compare_files(fast, slow, stream=output) == 1
    assert "regressed" in output.getvalue()
    for pair, strict, code in (
        ((slow, fast), True, 0),
        ((fast, bare), False, 0),
        ((fast, bare), True, 5),
    ):
        assert pytest_benchmark.compare_files(*pair, strict=strict, stream=io.StringIO()) == code


def test_files_are_recognised_and_others_refused(tmp_path: Path) -> None:
    good = file(tmp_path / "a.json", entry("a", np.ones(9)))
    odd = tmp_path / "0001_without_suffix"
    odd.write_bytes(b"\xef\xbb\xbf" + good.read_bytes())
    assert all(map(pytest_benchmark.is_json, (good, odd, tmp_path / "none.json")))
    assert pytest_benchmark.read(odd) == pytest_benchmark.read(good)
    baseline = tmp_path / "base.json"
    baseline.write_bytes(evidence(system()).to_bytes())
    assert not any(map(pytest_benchmark.is_json, (tmp_path, baseline, tmp_path / "none.json.gz")))
    bad = file(tmp_path / "d.json", {"fullname": "a", "stats": {"median": -1, "rounds": 1}})
    with pytest.raises(StabenchError, match=r"benchmarks\.0\.stats\.median"):
        pytest_benchmark.read(bad)


STRANGE = {
    "absent": (None, "'{path}' is not there"),
    "cut": (b'{"machine_info": {"cpu": {', "'{path}' is not whole JSON"),
    "empty": (b"", "'{path}' is not whole JSON"),
    "bytes": (b"{\xff\xfe", "'{path}' is not whole JSON"),
    "deep": (b'{"a":' * 99_999, "'{path}' is not whole JSON"),
    "asv": (
        b'{"commit_hash": "1a", "params": {}, "results": {"time_it": [[0.1]]}, "version": 2}',
        "'{path}' is no file of pytest-benchmark: it lacks machine_info and benchmarks; it has "
        "commit_hash, params, results, version",
    ),
    "hyperfine": (b'{"results": [{"mean": 0.1}]}', "it lacks machine_info and benchmarks"),
    "list": (b"[1, 2]", "'{path}' is no file of pytest-benchmark: it lacks"),
    "earlier": (b'{"benchmarks": [{"name": "a", "stats": {}}]}', "it lacks machine_info"),
}


@pytest.mark.parametrize("side", ["old", "new"])
@pytest.mark.parametrize("case", STRANGE)
def test_the_file_that_is_wrong_is_named_whichever_side_it_is_on(
    tmp_path: Path, case: str, side: str
) -> None:
    good = file(tmp_path / "good.json", entry("a", np.ones(9)))
    wrong, (data, message) = tmp_path / "wrong.json", STRANGE[case]
    if data is not None:
        wrong.write_bytes(data)
    pair = (wrong, good) if side == "old" else (good, wrong)
    with pytest.raises(StabenchError, match=re.escape(message.format(path=wrong))) as caught:
        compare(*pair)
    assert "good.json" not in str(caught.value)
    assert isinstance(caught.value, MissingError) == (case == "absent")


@pytest.mark.parametrize("other", ["folder", "latest", "baseline"])
def test_a_run_beside_a_file_of_benchmarks_is_said(tmp_path: Path, other: str) -> None:
    good = file(tmp_path / "good.json", entry("a", np.ones(9)))
    asv = tmp_path / "asv.json"
    asv.write_text('{"commit_hash": "1a"}')
    run = {"folder": tmp_path, "latest": Path("latest"), "baseline": tmp_path / "b.json.gz"}[other]
    if other == "baseline":
        run.write_bytes(evidence(system()).to_bytes())
    with pytest.raises(StabenchError, match=f"'{run}' is no file of pytest-benchmark; compare two"):
        compare(run, good)
    with pytest.raises(StabenchError, match=r"asv\.json' is no file"):
        compare(run, asv)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("", "", "no name in the old and the new file"),
        ("", "Some CPU", "no name in the old file"),
        ("Some CPU", "", "no name in the new file"),
        ("x86_64", "x86_64", "no name in the old and the new file"),
        ("AMD EPYC", "Some CPU", "other hardware: AMD EPYC, now Some CPU"),
    ],
)
def test_a_processor_without_a_name_may_be_another(
    tmp_path: Path, old: str, new: str, reason: str
) -> None:
    slow, fast = entry("a", np.full(30, 0.2)), entry("a", np.full(30, 0.1))
    pair = (
        pytest_benchmark.read(file(tmp_path / "a.json", fast, cpu=old)),
        pytest_benchmark.read(file(tmp_path / "b.json", slow, cpu=new)),
    )
    (line,) = pytest_benchmark.compare(*pair, sampling=QUICK)
    assert line.verdict == "not measured"
    assert reason in line.reason


def test_equal_rounds_are_the_same_however_they_scatter() -> None:
    wild = tuple(np.random.default_rng(0).lognormal(0, 2, 40))
    stats = Stats(median=1, rounds=40, data=wild)
    change = pytest_benchmark.measure_change(stats, stats, QUICK)
    assert (change.change, change.low, change.high, change.p_value) == (1, 1, 1, 1)


def test_a_name_twice_and_a_round_that_is_no_time_are_refused(tmp_path: Path) -> None:
    again = file(tmp_path / "a.json", entry("a", np.ones(9)), entry("a", np.ones(9)))
    with pytest.raises(StabenchError, match="'a' is there 2 times"):
        pytest_benchmark.read(again)
    for bad in (np.nan, np.inf):
        nan = file(tmp_path / "b.json", entry("a", np.array([1.0, 1, 1, 1, bad])))
        with pytest.raises(StabenchError, match=r"b\.json: "):
            pytest_benchmark.read(nan)


def test_an_interval_ends_at_the_expanded_quantiles_of_its_blocks(monkeypatch) -> None:
    rng, asked = np.random.default_rng(5), []
    pair = [Stats(median=1, rounds=60, data=tuple(rounds(rng, 1.0))) for _ in "ab"]
    wide = pytest_benchmark.measure_change(*pair, QUICK)
    monkeypatch.setattr(
        pytest_benchmark, "tails", lambda blocks: asked.append(blocks) or (0.4, 0.6)
    )
    narrow = pytest_benchmark.measure_change(*pair, QUICK)
    assert asked == [pytest_benchmark.MOST_BLOCKS]
    assert narrow.high / narrow.low < wide.high / wide.low
