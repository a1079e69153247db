"""Files of pytest-benchmark under the verdicts of runs."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stabench.harness.compare import pytest_benchmark
from stabench.harness.compare.paired import Sampling
from stabench.harness.compare.pytest_benchmark import Stats
from stabench.harness.errors import MissingError, StabenchError

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
    assert pytest_benchmark.is_benchmark_file(good)
    (tmp_path / "b.json").write_text("{}")
    (tmp_path / "c.json").write_text("{")
    for other in (tmp_path, tmp_path / "none.json", tmp_path / "b.json", tmp_path / "c.json"):
        assert not pytest_benchmark.is_benchmark_file(other)
    with pytest.raises(MissingError):
        pytest_benchmark.read(tmp_path / "none.json")
    bad = file(tmp_path / "d.json", {"fullname": "a", "stats": {"median": -1, "rounds": 1}})
    with pytest.raises(StabenchError, match=r"benchmarks\.0\.stats\.median"):
        pytest_benchmark.read(bad)


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
