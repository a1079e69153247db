"""Run the tests under other instruction sets of this x86 processor, one combination at a time.

`python -m tests.isa [--only 3,5] [pytest arguments]`; `make test-isa TESTS=tests/metrics`. A
library picks its kernels by the processor, and each kernel rounds in its own way: a test that
passes on one vendor's processor only asks too much. The variables below make the libraries here
act as on another processor. What is really used is asked of the libraries in a fresh process: a
combination that this machine cannot do is shown as `not available here` and not counted.

Exit code 0: all passed; 1: a test failed, or a run ended without a count.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / "build" / "isa"


class Combination(NamedTuple):
    """What to ask for; "" leaves the library its own choice. `rest` is "baseline" where MKL, NumPy,
    CTranslate2 and the C library's mathematics are held to what every x86-64 has."""

    torch: str
    onednn: str
    openblas: str
    rest: str
    threads: int


COMBINATIONS = (
    Combination("", "", "", "native", 2),
    Combination("", "", "", "native", 1),
    # Of any two columns these eight have every pair of values once or more.
    Combination("default", "SSE41", "Nehalem", "baseline", 1),
    Combination("default", "AVX2", "Haswell", "native", 1),
    Combination("avx2", "SSE41", "Haswell", "baseline", 2),
    Combination("avx2", "AVX2", "Nehalem", "native", 2),
    Combination("avx2", "SSE41", "Zen", "native", 1),
    Combination("default", "AVX2", "Zen", "baseline", 2),
    Combination("avx512", "AVX512_CORE", "SkylakeX", "native", 1),
    Combination("avx512", "AVX2", "Haswell", "baseline", 2),
    Combination("avx2", "AVX512_CORE", "SkylakeX", "baseline", 2),
)

# NumPy's OpenBLAS has no kernels of its own for Zen and takes Haswell's.
KERNELS = {"Zen": ("Zen", "Haswell")}
ISAS = {"SSE41": "Intel SSE4.1", "AVX2": "Intel AVX2", "AVX512_CORE": "Intel AVX-512"}

PROBE = """
import json, sys, threadpoolctl
import numpy, torch
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
square = numpy.ones((300, 300))
assert (square @ square == 300).all()
# Large enough for oneDNN, which names its instruction set when it is first used.
torch.nn.functional.conv2d(torch.ones(4, 16, 64, 64), torch.ones(16, 16, 3, 3))
pools = threadpoolctl.threadpool_info()
print("probe " + json.dumps({
    "torch": torch.backends.cpu.get_cpu_capability(),
    "openblas": [one["architecture"] for one in pools if one["internal_api"] == "openblas"][0],
    "numpy": [name for name in __cpu_dispatch__ if __cpu_features__[name]],
    "threads": torch.get_num_threads(),
}))
"""


class Probe(NamedTuple):
    """What a fresh process used. `crash` is the signal that ended it, or ""."""

    torch: str = ""
    onednn: str = ""
    openblas: str = ""
    numpy: tuple[str, ...] = ()
    threads: int = 0
    crash: str = ""


class Outcome(NamedTuple):
    """Of one combination: counts of its tests, or why there are none."""

    combination: Combination
    used: Probe
    passed: int = 0
    failed: tuple[str, ...] = ()
    skipped: int = 0
    seconds: float = 0.0
    missing: str = ""


def variables(
    combination: Combination, dispatched: Sequence[str], inherited: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a run; `dispatched` are NumPy's optional instruction sets here."""
    chosen = {
        "ATEN_CPU_CAPABILITY": combination.torch,
        "ONEDNN_MAX_CPU_ISA": combination.onednn,
        "OPENBLAS_CORETYPE": combination.openblas,
        "OMP_NUM_THREADS": str(combination.threads),
    }
    if combination.rest == "baseline":
        chosen |= {
            "MKL_CBWR": "COMPATIBLE",
            "NPY_DISABLE_CPU_FEATURES": " ".join(dispatched),
            "CT2_FORCE_CPU_ISA": "GENERIC",
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA",
        }
    return {**inherited, **{name: value for name, value in chosen.items() if value}}


def probe(environment: Mapping[str, str]) -> Probe:
    """Ask the libraries, in a process of that environment, what they use."""
    process = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={**environment, "ONEDNN_VERBOSE": "1"},
        capture_output=True,
        text=True,
    )
    if process.returncode < 0:
        return Probe(crash=f"signal {-process.returncode}")
    if process.returncode:
        raise SystemExit(f"isa: the probe failed:\n{process.stderr}")
    lines = process.stdout.splitlines()
    (answer,) = (json.loads(line[6:]) for line in lines if line.startswith("probe "))
    (isa,) = (line.split("isa:")[1] for line in lines if "info,cpu,isa:" in line)
    return Probe(
        answer["torch"], isa, answer["openblas"], tuple(answer["numpy"]), answer["threads"]
    )


def missing(combination: Combination, used: Probe, flags: Iterable[str]) -> str:
    """Return what the machine lacks of a combination, or "". `flags` are those of /proc/cpuinfo:
    torch repeats ATEN_CPU_CAPABILITY whether or not the processor can do it."""
    lacking = []
    needed = {"avx2": {"avx2", "fma"}, "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"}}
    if not needed.get(combination.torch, set()) <= set(flags):
        lacking.append(f"torch {combination.torch}")
    if used.crash:
        return ", ".join([*lacking, f"{combination.openblas} ({used.crash})"])
    if combination.torch and used.torch.lower() != combination.torch:
        lacking.append(f"torch {combination.torch}: {used.torch} used")
    if combination.onednn and not used.onednn.startswith(ISAS[combination.onednn]):
        lacking.append(f"oneDNN {combination.onednn}: {used.onednn} used")
    kernels = KERNELS.get(combination.openblas, (combination.openblas,))
    if combination.openblas and used.openblas not in kernels:
        lacking.append(f"OpenBLAS {combination.openblas}: {used.openblas} used")
    if combination.rest == "baseline" and used.numpy:
        lacking.append(f"NumPy without {' '.join(used.numpy)}")
    if used.threads != combination.threads:
        lacking.append(f"{combination.threads} threads: {used.threads} used")
    return ", ".join(dict.fromkeys(lacking))


def run(
    number: int, environment: Mapping[str, str], arguments: Sequence[str]
) -> tuple[int, tuple[str, ...], int]:
    """Run pytest; return passed, names of the failed, skipped. Its output is build/isa/N.log."""
    report = LOGS / f"{number}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    command += ["-n", "auto", "--dist", "worksteal"]
    with (LOGS / f"{number}.log").open("w") as log:
        code = subprocess.run(
            [*command, f"--junit-xml={report}", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        ).returncode
    if not report.exists():
        return 0, (f"pytest ended with {code}: see {LOGS / f'{number}.log'}",), 0
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    passed = len(cases) - len(failed) - skipped
    if not failed and code:
        failed = [f"pytest ended with {code}: see {LOGS / f'{number}.log'}"]
    return passed, tuple(failed), skipped


def show(outcome: Outcome) -> str:
    """Return a row of the table: what was used, not what was asked for."""
    used, asked = outcome.used, outcome.combination
    if outcome.missing:
        names = (asked.torch, asked.onednn, asked.openblas, asked.rest, asked.threads)
        return f"{_cells(names)}  not available here: {outcome.missing}"
    isa = used.onednn.removeprefix("Intel ")
    row = _cells((used.torch.lower(), isa, used.openblas, asked.rest, used.threads))
    counts = (outcome.passed, len(outcome.failed), outcome.skipped)
    return f"{row} {counts[0]:>7} {counts[1]:>7} {counts[2]:>8} {outcome.seconds:>8.0f}"


def _cells(values: Sequence[object]) -> str:
    return "{:<8} {:<12} {:<9} {:<9} {:>7}".format(*map(str, values))


def main(given: Sequence[str]) -> int:
    """Run the combinations and print the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m tests.isa", description=__doc__.split("\n")[0])
    parser.add_argument("--only", help="numbers of combinations, from 1: 3,5; without it, all")
    options, arguments = parser.parse_known_args(given)
    numbers = [int(number) for number in options.only.split(",")] if options.only else None
    LOGS.mkdir(parents=True, exist_ok=True)
    flags = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    native = probe(os.environ)
    head = _cells(("torch", "oneDNN", "OpenBLAS", "rest", "threads"))
    print(f"{head} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8}", flush=True)
    outcomes = []
    for number, combination in enumerate(COMBINATIONS, 1):
        if numbers and number not in numbers:
            continue
        if os.environ.get("OPENBLAS_CORETYPE"):
            # It stays: it may be set since OpenBLAS computes wrong results here without it.
            combination = combination._replace(openblas="")
        environment = variables(combination, native.numpy, os.environ)
        used = probe(environment)
        outcome = Outcome(combination, used, missing=missing(combination, used, flags))
        if not outcome.missing:
            start = time.monotonic()
            passed, failed, skipped = run(number, environment, arguments or ["tests"])
            seconds = time.monotonic() - start
            outcome = Outcome(combination, used, passed, failed, skipped, seconds)
        print(show(outcome), flush=True)
        for name in outcome.failed:
            print(f"  failed: {name}", flush=True)
        outcomes.append(outcome)
    tried = [one for one in outcomes if not one.missing]
    broken = sum(bool(one.failed) for one in tried)
    print(
        f"{len(tried)} of {len(outcomes)} combinations tried, {broken} with failures; logs: {LOGS}"
    )
    return 1 if broken or not tried else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
