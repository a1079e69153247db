"""The page of a comparison: verdicts first, then every number of every system, then the method."""

from collections.abc import Iterable, Sequence

from stabench.harness.compare.compare import Comparison, SystemComparison
from stabench.harness.compare.evidence import Evidence
from stabench.harness.compare.verdict import Line as Verdict
from stabench.harness.formatting import NOTHING, counted, decimals, figure, interval
from stabench.harness.render.page import Grid, Head, Line, Page, Printed, Section


def ends(line: Verdict) -> tuple[str, str]:
    """Old and new; times in milliseconds."""
    assert line.change is not None
    old, new = line.change.old, line.change.new
    if line.block == "quality":
        return figure(old, line.digits), figure(new, line.digits)
    digits = decimals([old / 1e6, new / 1e6])
    return f"{figure(old / 1e6, digits)} ms", f"{figure(new / 1e6, digits)} ms"


def format_change(line: Verdict) -> Printed:
    """The change, of a time in percent, and its interval under it."""
    assert line.change is not None
    found = (line.change.change, line.change.low, line.change.high)
    if line.block != "quality":
        value, low, high = (100 * (end - 1) for end in found)
        return Printed(f"{signed(value, 1)} %", interval(low, high, 1))
    value, low, high = found
    digits = max(line.digits, decimals([high - low], least_figures=2))
    return Printed(signed(value, digits), interval(low, high, digits))


def signed(value: float, digits: int) -> str:
    """A figure with a plus sign where it is above 0 as printed."""
    text = figure(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def p(value: float) -> str:
    """Three decimals, or that it is smaller."""
    return "< 0.001" if value < 0.001 else figure(value, 3)


WORDS = ("regressed", "improved", "inconclusive", "not measured", "same")
HEADS = (
    Head("Metric"),
    Head("Verdict"),
    Head("clips", "numbers"),
    Head("old", "numbers"),
    Head("new", "numbers"),
    Head("change", "numbers"),
    Head("p", "numbers"),
    Head("adjusted", "numbers"),
    Head("d", "numbers"),
)
MOST_NAMED = 5
METHOD = (
    "Paired by clip id. A change is new minus old, of times new over old: the median of the ratios "
    "of the clips. Its 95 % interval is by bootstrap over clips; for sets as a whole (FAD, FD, "
    "IS, ...) over the shares of clips (infinitesimal jackknife), for times over blocks of clips "
    "measured one after the other, as long as the noise asks for.",
    "p: sign-flip permutation of the paired differences (of times, of the signed ranks of the "
    "blocks' mean log ratios), exact up to 13 of them, else by draws; "
    "adjusted after Holm (1979) over the family that is named. d: mean difference over its "
    "standard deviation.",
    "regressed, improved: adjusted p at most 0.05, and at least the least effect that counts. "
    "same: the whole interval within the margin, or nothing changed at all. inconclusive: neither. "
    "A stage is called only where its phase has changed. Intervals are not widened for their "
    "number.",
)


def page(found: Comparison) -> Page:
    """Return the whole comparison."""
    sections = (
        Section("verdicts", "Verdicts", points=tuple(_summary(found))),
        *(_system(one, found.options.family) for one in found.systems),
        _runs(found),
        Section("method", "How it is decided", METHOD),
    )
    lead = f"New: {_said(found.new)}. Old: {_said(found.old)}."
    return Page(f"{found.new.name} against {found.old.name}", lead, sections)


def _said(one: Evidence) -> str:
    commit = one.git_commit and f"commit {one.git_commit[:12]}"
    return ", ".join(part for part in (one.name, one.made_at, commit) if part)


def _summary(found: Comparison) -> Iterable[str]:
    for system in found.systems:
        words = [_words(system, word) for word in WORDS]
        yield f"{_name(system)}: {_pareto(system)}. {'; '.join(w for w in words if w)}"
    for names, which in ((found.only_old, "old"), (found.only_new, "new")):
        if names:
            yield f"only in the {which} run, not compared: {', '.join(names)}"
    for one in found.mismatches:
        yield f"forced although {one.text}"


def _words(system: SystemComparison, word: str) -> str:
    """The lines with a verdict; of what is open or the same, the row's only."""
    lines = [one for one in system.lines if one.verdict == word]
    if word not in ("regressed", "improved"):
        lines = [one for one in lines if one.block != "stage"]
    return f"{word}: {', '.join(one.label for one in lines)}" if lines else ""


def _pareto(system: SystemComparison) -> str:
    """The Pareto verdict in words."""
    return {
        "dominates": "the new one dominates the old (better in something, no worse in the rest)",
        "dominated": "the old one dominates the new (worse in something, no better in the rest)",
        "trade-off": "a trade-off: better in something, worse in something else",
        "same": "the same in all that is measured",
        "inconclusive": "neither is shown to dominate (Pareto: inconclusive)",
        "not measured": "nothing is measured",
    }[system.pareto]


def _name(system: SystemComparison) -> str:
    return system.label if system.old == system.new else f"{system.new} against {system.old}"


def _system(system: SystemComparison, family: str) -> Section:
    lines = [_line(one) for one in system.lines if one.block != "stage"]
    stages = [_line(one) for one in system.lines if one.block == "stage"]
    lines += [Line(heading="Stages"), *stages] if stages else []
    over = "all systems" if family == "all" else "this system"
    text = (
        f"{system.identical} of {counted(system.outputs, 'output')} the same to the bit"
        f"{_weights(system)}. p adjusted for {counted(system.family, 'test')}: the quality and the "
        f"latencies of {over} that are not settled otherwise.",
    )
    grid, points = Grid(HEADS, tuple(lines)), tuple(_points(system))
    # Of two pairs with one new system the old one tells which.
    return Section(f"system {system.old} {system.new}", _name(system), text, grid, points)


def _weights(system: SystemComparison) -> str:
    if system.weights_changed is None:
        return ""
    return f"; weights and settings {'differ' if system.weights_changed else 'are the same'}"


def _line(one: Verdict) -> Line:
    strong = one.verdict in ("regressed", "improved")
    head = (Printed(one.label), Printed(one.verdict, strong=strong))
    change = one.change
    if change is None:
        return Line((*head, *[Printed(NOTHING)] * (len(HEADS) - 2)))
    cells = (
        str(change.n),
        *ends(one),
        format_change(one),
        p(change.p_value),
        NOTHING if one.p_adjusted is None else p(one.p_adjusted),
        NOTHING if change.effect_size is None else signed(change.effect_size, 2),
    )
    return Line((*head, *(cell if isinstance(cell, Printed) else Printed(cell) for cell in cells)))


def _points(system: SystemComparison) -> Iterable[str]:
    """Reasons and notes, each once with the metrics that it is of."""
    said: dict[str, list[str]] = {}
    for one in system.lines:
        for text in (one.reason, one.note):
            if text:
                said.setdefault(text, []).append(one.label)
    for text, labels in said.items():
        yield f"{', '.join(labels)}: {text}"
    for clips, which in ((system.only_old, "old"), (system.only_new, "new")):
        if clips:
            yield f"{counted(len(clips), 'clip')} only in the {which} run: {_few(clips)}"


def _few(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _runs(found: Comparison) -> Section:
    """Where each run comes from."""
    rows: list[tuple[str, str | None, str | None]] = [
        ("made", found.old.made_at, found.new.made_at),
        ("commit", found.old.git_commit, found.new.git_commit),
        ("suite", found.old.suite, found.new.suite),
        ("dataset", _dataset(found.old), _dataset(found.new)),
        ("hardware", _hardware(found.old), _hardware(found.new)),
    ]
    names = sorted({*found.old.versions, *found.new.versions})
    rows += [(name, found.old.versions.get(name), found.new.versions.get(name)) for name in names]
    lines = [
        Line((Printed(what), Printed(a or NOTHING), Printed(b or NOTHING))) for what, a, b in rows
    ]
    heads = (Head("Run"), Head(found.old.name), Head(found.new.name))
    return Section("runs", "Runs", grid=Grid(heads, tuple(lines)), only="markdown")


def _dataset(one: Evidence) -> str | None:
    return one.dataset and f"{one.dataset} {one.dataset_version}"


def _hardware(one: Evidence) -> str | None:
    return one.hardware.title if one.hardware else None


def inline(line: Verdict) -> str:
    """The change and its interval in one line."""
    found = format_change(line)
    return f"{found.main} {found.under}"
