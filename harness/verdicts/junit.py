"""junit.xml of a gate: one test case per system and metric, as CI servers read it."""

from xml.etree import ElementTree

from harness.figures import plain
from harness.verdicts.gate import Check, Gate
from harness.verdicts.gate_page import said

LAST = {"\ufffe", "\uffff"}
"""Beside control characters and surrogates, what XML 1.0 has no way to hold."""


def to_junit(found: Gate) -> bytes:
    """A suite per system. Regressed: failure. Not shown: skipped, with --strict a failure.

    Texts of runs lose their control characters; the rest is escaped by the XML writer.
    """
    root = ElementTree.Element("testsuites", name="stabench gate")
    for system in dict.fromkeys(one.system for one in found.checks):
        checks = [one for one in found.checks if one.system == system]
        _suite(root, system, checks, found)
    _total(root, list(root))
    del root.attrib["skipped"]
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def clean(text: str) -> str:
    """One line that XML 1.0 can hold."""
    return "".join(c for c in plain(text) if c not in LAST)


def _suite(root: ElementTree.Element, system: str, checks: list[Check], found: Gate) -> None:
    made = (found.new.made_at or "1970-01-01T00:00:00")[:19]
    name = clean(system)
    suite = ElementTree.SubElement(root, "testsuite", name=name, timestamp=clean(made), time="0")
    suite.set("hostname", "unknown")
    for one in checks:
        where = {"classname": f"stabench.gate.{name}", "name": clean(one.label), "time": "0"}
        case = ElementTree.SubElement(suite, "testcase", where)
        _outcome(case, one, one.verdict == "regressed" or found.opened(one))
    _total(suite, [suite])


def _outcome(case: ElementTree.Element, check: Check, failed: bool) -> None:
    text = clean(said(check))
    if failed:
        kind = clean(check.verdict)
        ElementTree.SubElement(case, "failure", message=text, type=kind).text = text
    elif check.verdict in ("not measured", "inconclusive"):
        ElementTree.SubElement(case, "skipped", message=text)
    else:
        ElementTree.SubElement(case, "system-out").text = text


def _total(element: ElementTree.Element, suites: list[ElementTree.Element]) -> None:
    """The counts of the test cases below `element`."""
    for name, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
        element.set(name, str(sum(1 for suite in suites for _ in suite.iter(tag))))
    element.set("errors", "0")
