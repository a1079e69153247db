"""The runs under other instruction sets: what is asked for, and what counts as tried."""

from itertools import combinations, product
from xml.etree import ElementTree

import pytest

from tests import isa
from tests.isa import COMBINATIONS, Combination, Outcome, Probe

OLD = Combination("default", "SSE41", "Nehalem", "baseline", 1)
WIDE = Combination("avx512", "AVX512_CORE", "SkylakeX", "native", 1)
WITHOUT_AVX512 = {"avx2", "fma"}


def test_the_combinations_of_avx2_and_less_have_every_pair_of_values():
    tried = [one for one in COMBINATIONS if one.torch in ("default", "avx2")]
    tried = [one for one in tried if one.onednn in ("SSE41", "AVX2")]
    assert len(tried) >= 6
    for one, other in combinations(range(5), 2):
        values = [{combination[place] for combination in tried} for place in (one, other)]
        assert {(row[one], row[other]) for row in tried} == set(product(*values))


def test_variables_are_set_for_what_is_asked_and_for_nothing_else():
    plain = isa.variables(Combination("", "", "", "native", 2), ["X86_V3"], {"HOME": "/"})
    assert plain == {"HOME": "/", "OMP_NUM_THREADS": "2"}
    old = isa.variables(OLD, ["X86_V3"], {})
    assert old["ATEN_CPU_CAPABILITY"] == "default"
    assert old["NPY_DISABLE_CPU_FEATURES"] == "X86_V3"


def test_kernels_of_openblas_that_the_environment_names_stay(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    asked = []

    def probe(environment):
        asked.append(environment["OPENBLAS_CORETYPE"])
        return Probe(crash="signal 4")

    monkeypatch.setattr(isa, "probe", probe)
    monkeypatch.setattr(isa, "LOGS", tmp_path)
    assert isa.main(["--only", "3,9"]) == 1
    assert asked == ["Haswell"] * 3
    assert "0 of 2 combinations tried" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "used", "reason"),
    [
        (OLD, Probe("DEFAULT", "Intel SSE4.1", "Nehalem", (), 1), ""),
        (OLD, Probe("AVX2", "Intel AVX2", "Nehalem", (), 1), "torch default: AVX2 used, oneDNN"),
        (OLD, Probe("DEFAULT", "Intel SSE4.1", "Nehalem", ("X86_V3",), 1), "NumPy without X86_V3"),
        (OLD, Probe("DEFAULT", "Intel SSE4.1", "Nehalem", (), 2), "1 threads: 2 used"),
        (OLD._replace(openblas="Zen"), Probe("DEFAULT", "Intel SSE4.1", "Haswell", (), 1), ""),
        (WIDE, Probe("AVX512", "Intel AVX-512", "SkylakeX", (), 1), "torch avx512"),
        (WIDE, Probe(crash="signal 4"), "torch avx512, SkylakeX (signal 4)"),
    ],
)
def test_what_the_machine_lacks_is_not_available(asked, used, reason):
    """torch says AVX512 wherever ATEN_CPU_CAPABILITY does; the processor's flags decide."""
    found = isa.missing(asked, used, WITHOUT_AVX512)
    assert found.startswith(reason)
    assert bool(found) == bool(reason)
    if reason:
        row = isa.show(Outcome(asked, used, missing=found))
        assert f"not available here: {reason}" in row


def test_failures_errors_and_runs_without_a_count_are_failures(tmp_path, monkeypatch):
    def pytest_ends(code: int, results: list[str]):
        def run(command, **_):
            (report,) = (part.split("=")[1] for part in command if part.startswith("--junit-xml="))
            suite = ElementTree.Element("testsuite")
            for number, result in enumerate(results):
                case = ElementTree.SubElement(suite, "testcase", classname="a", name=str(number))
                if result:
                    ElementTree.SubElement(case, result)
            if results:
                ElementTree.ElementTree(suite).write(report)
            return isa.subprocess.CompletedProcess(command, code)

        monkeypatch.setattr(isa.subprocess, "run", run)
        return isa.run(1, {}, [])

    monkeypatch.setattr(isa, "LOGS", tmp_path)
    assert pytest_ends(1, ["", "failure", "error", "skipped"]) == (1, ("a::1", "a::2"), 1)
    assert pytest_ends(0, ["", ""]) == (2, (), 0)
    passed, (failure,), _ = pytest_ends(2, [])
    assert passed == 0
    assert "pytest ended with 2" in failure
    passed, (failure,), _ = pytest_ends(4, ["", ""])
    assert passed == 2
    assert "pytest ended with 4" in failure
