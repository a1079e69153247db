"""The page of a gate, gate.md: the answer first, then every check, then what it rests on."""

from collections.abc import Iterator
from xml.etree import ElementTree

from stabench.harness.compare.page import ends, inline, p
from stabench.harness.compare.verdict import Line
from stabench.harness.formatting import NOTHING, counted, plain
from stabench.harness.gate.gate import Check, Gate
from stabench.harness.render.page import Grid, Head, Page, Printed, Section
from stabench.harness.render.page import Line as Row

HEADS = (
    Head("System"),
    Head("Metric or stage"),
    Head("Verdict"),
    Head("baseline", "numbers"),
    Head("now", "numbers"),
    Head("difference [95 %]", "numbers"),
    Head("counts from", "numbers"),
    Head("adjusted p", "numbers"),
)
ANSWERS = {
    0: "passed",
    1: "failed: regression",
    4: "failed: too many clips failed",
    5: "failed: not shown to be as good (--strict)",
}
NO_CHECKS = ("The policy guards nothing that this run holds.",)
METHOD = (
    "Paired by clip id. regressed: the sign-flip permutation p, adjusted over all checks (Holm), "
    "is at most 0.05, and the change is at least the one that counts. Times are compared by the "
    "median of the clips' ratios. Under a phase that became slower stand its stages whose own "
    "change is significant, the largest first."
)


def page(found: Gate) -> Page:
    """The whole gate."""
    return Page(f"Gate: {answer(found)}", _lead(found), tuple(_sections(found)))


def answer(found: Gate) -> str:
    """The answer in a few words."""
    code = found.exit_code
    return ANSWERS[code] if found.measured or code not in (0, 5) else "not measured"


def _lead(found: Gate) -> str:
    said = []
    for one in (found.new, found.old):
        commit = one.git_commit and f"commit {one.git_commit[:12]}"
        said.append(", ".join(part for part in (one.name, one.made_at, commit) if part))
    return f"Run: {said[0]}. Baseline: {said[1]}."


def _sections(found: Gate) -> Iterator[Section]:
    yield Section("answer", "Answer", points=tuple(_points(found)))
    rows = tuple(row for check in found.checks for row in _rows(check))
    if rows:
        yield Section("checks", "Checks", grid=Grid(HEADS, rows))
    else:
        yield Section("checks", "No checks", NO_CHECKS)
    yield Section("method", "How it is decided", (METHOD, *found.notes))


def _points(found: Gate) -> Iterator[str]:
    """Each regression with its stages; what is open, counted by reason; what is fine."""
    for one in found.checks:
        if one.verdict == "regressed":
            yield f"{one.system}: {said(one)}"
    for word in ("not measured", "inconclusive", "improved", "same"):
        chosen = [one for one in found.checks if one.verdict == word]
        names = [f"{one.system} {one.label}" for one in chosen]
        if names:
            reasons = dict.fromkeys(one.reason for one in chosen if one.reason)
            why = f" ({'; '.join(reasons)})" if word == "not measured" and reasons else ""
            yield f"{word}: {counted(len(names), 'check')}: {', '.join(names)}{why}"


def said(check: Check) -> str:
    """One line: metric, verdict, numbers, stages, reason."""
    text = f"{check.label} {check.verdict}"
    if check.line and check.line.change:
        old, new = ends(check.line)
        text += f", {old} to {new} ({inline(check.line)})"
    if check.stages:
        text += "; stages: " + ", ".join(f"{one.label} {inline(one)}" for one in check.stages)
    elif check.line and check.line.block == "latency" and check.verdict == "regressed":
        text += "; no single stage stands out"
    return f"{text}; {check.reason}" if check.reason else text


def _rows(check: Check) -> Iterator[Row]:
    strong = check.verdict in ("regressed", "improved")
    verdict = Printed(check.verdict, check.reason, strong)
    yield Row((Printed(check.system), Printed(check.label), verdict, *_numbers(check.line)))
    for one in check.stages:
        head = (Printed(check.system), Printed(one.label), Printed("slower"))
        yield Row((*head, *_numbers(one)))


def _numbers(line: Line | None) -> tuple[Printed, ...]:
    if line is None or line.change is None:
        return tuple([Printed(NOTHING)] * 5)
    shown = NOTHING if line.p_adjusted is None else p(line.p_adjusted)
    size = line.bounds.effect
    least = f"{100 * size:.3g} %" if line.block != "quality" else f"{size:.3g}"
    return tuple(Printed(text) for text in (*ends(line), inline(line), least, shown))


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
