"""The page of a gate, gate.md: the answer first, then every check, then what it rests on."""

from collections.abc import Iterator
from xml.etree import ElementTree

from stabench.harness.compare.page import describe_medians, format_ends, format_inline, format_p
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
HOW_TO_SEE = (
    "what to do about what was not measured: run the baseline's systems, metrics and clips on its "
    "kind of machine, or keep a new baseline (stabench baseline RUN --out FILE); what can never be "
    "measured is named in the policy's may_be_unmeasured"
)
NO_CHECKS = ("The policy guards nothing that this run holds.",)
METHOD = (
    "Paired by clip id. regressed: the sign-flip permutation p, adjusted over all checks (Holm), "
    "is at most 0.05, and the change is at least the one that counts. Times are compared by the "
    "median of the clips' ratios. Under a phase that became slower are its stages whose own "
    "change is significant, the largest first."
)


def build_page(gate: Gate) -> Page:
    """Build the whole page."""
    titles = []
    for run in (gate.new, gate.old):
        commit = run.git_commit and f"commit {run.git_commit[:12]}"
        titles.append(", ".join(part for part in (run.name, run.made_at, commit) if part))
    rows = []
    for check in gate.checks:
        strong = check.verdict in ("regressed", "improved")
        verdict = Printed(check.verdict, check.reason, strong)
        names = (Printed(check.system), Printed(check.label), verdict)
        rows.append(Row((*names, *_format_numbers(check.line))))
        for stage in check.stages:
            names = (Printed(check.system), Printed(stage.label), Printed("slower"))
            rows.append(Row((*names, *_format_numbers(stage))))
    sections = (
        Section("answer", "Answer", points=tuple(_list_points(gate))),
        Section("checks", "Checks", grid=Grid(HEADS, tuple(rows)))
        if rows
        else Section("checks", "No checks", NO_CHECKS),
        Section("method", "How it is decided", (METHOD, *gate.notes)),
    )
    lead = f"Run: {titles[0]}. Baseline: {titles[1]}."
    return Page(f"Gate: {name_answer(gate)}", lead, sections)


def name_answer(gate: Gate) -> str:
    """Return the answer in a few words, with how many checks have no number."""
    lacking = f"{gate.unmeasured} of {counted(len(gate.checks), 'check')} not measured"
    if not gate.measured:
        return "not measured"
    if gate.exit_code == 5 and any(check.blind for check in gate.checks):
        return f"not passed, {lacking}"
    answer = ANSWERS[gate.exit_code]
    return f"{answer}, {lacking} (allowed)" if gate.unmeasured else answer


def _list_points(gate: Gate) -> Iterator[str]:
    """Return each regression with its stages; what is open, with its reasons; what is fine."""
    for check in gate.checks:
        if check.verdict == "regressed":
            yield f"{check.system}: {describe_check(check)}"
    for word in ("not measured", "inconclusive", "improved", "same"):
        chosen = [check for check in gate.checks if check.verdict == word]
        names = [f"{check.system} {check.label}" for check in chosen]
        if names:
            reasons = dict.fromkeys(check.reason for check in chosen if check.reason)
            why = f" ({'; '.join(reasons)})" if word == "not measured" and reasons else ""
            yield f"{word}: {counted(len(names), 'check')}: {', '.join(names)}{why}"
    for system in dict.fromkeys(check.system for check in gate.checks):
        checks = [check for check in gate.checks if check.system == system]
        lines = [line for check in checks for line in (check.line, *check.stages) if line]
        if medians := describe_medians(lines):
            yield f"{system}: {medians}"
    if any(check.blind for check in gate.checks):
        yield HOW_TO_SEE


def describe_check(check: Check) -> str:
    """Return one line: metric, verdict, numbers, stages, reason."""
    text = f"{check.label} {check.verdict}"
    if check.line and check.line.change:
        old, new = format_ends(check.line)
        text += f", {old} to {new} ({format_inline(check.line)})"
    if check.stages:
        text += "; stages: " + ", ".join(
            f"{stage.label} {format_inline(stage)}" for stage in check.stages
        )
    elif check.line and check.line.block == "latency" and check.verdict == "regressed":
        text += "; no single stage stands out"
    return f"{text}; {check.reason}" if check.reason else text


def _format_numbers(line: Line | None) -> tuple[Printed, ...]:
    if line is None or line.change is None:
        return tuple([Printed(NOTHING)] * 5)
    shown = NOTHING if line.p_adjusted is None else format_p(line.p_adjusted)
    size = line.bounds.effect
    least = f"{100 * size:.3g} %" if line.block != "quality" else f"{size:.3g}"
    return tuple(Printed(text) for text in (*format_ends(line), format_inline(line), least, shown))


# Beside control characters and surrogates, what XML 1.0 has no way to hold.
LAST = {"\ufffe", "\uffff"}


def to_junit(gate: Gate) -> bytes:
    """Return a suite per system. Regressed: failure. Not shown: skipped, with --strict a failure.

    Texts of runs lose their control characters; the rest is escaped by the XML writer.
    """
    root = ElementTree.Element("testsuites", name="stabench gate")
    for system in dict.fromkeys(check.system for check in gate.checks):
        checks = [check for check in gate.checks if check.system == system]
        _add_suite(root, system, checks, gate)
    _count_cases(root, list(root))
    # The root element of the format has no such attribute.
    del root.attrib["skipped"]
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def clean_text(text: str) -> str:
    """Return one line that XML 1.0 can hold."""
    return "".join(c for c in plain(text) if c not in LAST)


def _add_suite(root: ElementTree.Element, system: str, checks: list[Check], gate: Gate) -> None:
    # The format asks for a time to the second; the epoch where it is not known.
    made = (gate.new.made_at or "1970-01-01T00:00:00")[:19]
    name = clean_text(system)
    suite = ElementTree.SubElement(
        root, "testsuite", name=name, timestamp=clean_text(made), time="0"
    )
    suite.set("hostname", "unknown")
    for check in checks:
        where = {"classname": f"stabench.gate.{name}", "name": clean_text(check.label), "time": "0"}
        case = ElementTree.SubElement(suite, "testcase", where)
        text = clean_text(describe_check(check))
        if check.verdict == "regressed" or gate.opened(check):
            kind = clean_text(check.verdict)
            ElementTree.SubElement(case, "failure", message=text, type=kind).text = text
        elif check.verdict in ("not measured", "inconclusive"):
            ElementTree.SubElement(case, "skipped", message=text)
        else:
            ElementTree.SubElement(case, "system-out").text = text
    _count_cases(suite, [suite])


def _count_cases(element: ElementTree.Element, suites: list[ElementTree.Element]) -> None:
    """Set the counts of the test cases in `suites` on `element`."""
    for name, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
        element.set(name, str(sum(1 for suite in suites for _ in suite.iter(tag))))
    element.set("errors", "0")
