"""junit.xml holds to the usual schema, whatever the texts of a run are."""

from xml.etree import ElementTree

import pytest

from stabench.harness.compare.verdict import Word
from stabench.harness.gate.gate import Check, Gate
from stabench.harness.gate.page import clean_text, to_junit
from tests.harness.worlds import evidence, system

BAD = "a\x00\x1b[31m<b>&\"'\ufffe\uffff\ud800]]>\nline\u202e"
ATTRIBUTES = {
    "testsuites": {"name", "tests", "failures", "errors", "time", "disabled"},
    "testsuite": {
        *("name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"),
        *("disabled", "id", "package"),
    },
    "testcase": {"name", "classname", "time", "assertions", "status"},
    "failure": {"message", "type"},
    "skipped": {"message", "type"},
    "system-out": set(),
}
"""What the JUnit schema of CI servers allows; the children are below."""
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testcase"},
    "testcase": {"failure", "skipped", "system-out"},
}


def check(
    name: str, word: Word, closed: bool = True, reason: str = "why", allowed: bool = False
) -> Check:
    return Check(name, "fad", "FAD", None, word, reason, closed=closed, allowed=allowed)


def gate(*checks: Check, strict: bool = False) -> Gate:
    run = evidence(system())
    return Gate(run, run, checks, (), (), strict)


def parsed(outcome: Gate) -> ElementTree.Element:
    """The file's root, every element held against the schema."""
    root = ElementTree.fromstring(to_junit(outcome))
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.attrib) <= ATTRIBUTES[element.tag]
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
    for suite in root:
        assert int(suite.get("tests")) == len(suite)
        assert int(suite.get("failures")) == len(suite.findall("*/failure"))
        assert int(suite.get("skipped")) == len(suite.findall("*/skipped"))
        assert all(case.get("name") and case.get("classname") for case in suite)
    return root


def test_a_case_for_each_system_and_metric() -> None:
    checks = (
        check("star", "regressed"),
        check("star", "same"),
        check("star", "improved"),
        check("cascade", "not measured", allowed=True),
        check("cascade", "inconclusive", closed=False),
    )
    root = parsed(gate(*checks))
    assert [suite.get("name") for suite in root] == ["star", "cascade"]
    assert [len(list(root.iter(tag))) for tag in ("testcase", "failure", "skipped")] == [5, 1, 2]
    assert root.find(".//failure").get("message") == "FAD regressed; why"
    assert root.find(".//skipped").get("message") == "FAD not measured; why"


def test_what_is_open_fails_when_strict() -> None:
    checks = (
        check("star", "inconclusive", closed=False),
        check("star", "not measured", allowed=True),
    )
    root = parsed(gate(*checks, strict=True))
    assert [len(list(root.iter(tag))) for tag in ("failure", "skipped")] == [1, 1]
    assert root.find(".//failure").get("type") == "inconclusive"


@pytest.mark.parametrize("word", ["regressed", "not measured", "same"])
def test_texts_that_xml_cannot_hold(word: Word) -> None:
    root = parsed(gate(check(BAD, word, reason=BAD)))
    assert root[0].get("name") == clean_text(BAD)
    assert clean_text(BAD) == "a[31m<b>&\"']]> line"


def test_no_check_at_all_is_still_a_file() -> None:
    assert parsed(gate()).get("tests") == "0"


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("strict", [False, True])
def test_a_gate_that_measured_nothing_fails(allowed: bool, strict: bool) -> None:
    """As its exit code does, although nothing was expected of the new run."""
    checks = (check("star", "not measured", allowed=allowed),) * 2
    outcome = gate(*checks, strict=strict)
    assert outcome.exit_code == 5
    assert len(list(parsed(outcome).iter("failure"))) == 2
