"""The page of a comparison: verdicts first, then every number of every system, then the method."""

from collections.abc import Iterable

from stabench.harness.compare.compare import Comparison, SystemComparison
from stabench.harness.compare.evidence import Evidence
from stabench.harness.compare.verdict import Line as Verdict
from stabench.harness.compare.verdict import Pareto, Word
from stabench.harness.formatting import NOTHING, counted, decimals, figure, interval
from stabench.harness.render.page import Grid, Head, Line, Page, Printed, Section

# Decimals of a change in percent.
DIGITS = 1


def format_ends(line: Verdict) -> tuple[str, str]:
    """Return old and new as text; times in milliseconds."""
    assert line.change is not None
    old, new = line.change.old, line.change.new
    if line.block == "quality":
        return figure(old, line.digits), figure(new, line.digits)
    digits = decimals([old / 1e6, new / 1e6])
    return f"{figure(old / 1e6, digits)} ms", f"{figure(new / 1e6, digits)} ms"


def format_change(line: Verdict) -> Printed:
    """Return the change, of a time in percent, with its interval under it."""
    assert line.change is not None
    ends = (line.change.change, line.change.low, line.change.high)
    if line.block != "quality":
        value, low, high = (100 * (end - 1) for end in ends)
        return Printed(f"{format_signed(value, DIGITS)} %", interval(low, high, DIGITS))
    value, low, high = ends
    # A narrow interval shows at least two figures of its width, else its ends look the same.
    digits = max(line.digits, decimals([high - low], least_figures=2))
    return Printed(format_signed(value, digits), interval(low, high, digits))


def describe_medians(lines: Iterable[Verdict], unit: str = "clip") -> str:
    """Return why old, new and change of times disagree where they do as printed, else nothing.

    They do where the medians' own ratio has another sign, or differs by more than the last digit.
    `unit` is what is paired.
    """
    texts = []
    for line in lines:
        if line.block in ("latency", "stage") and line.change is not None:
            ratio, change = line.change.new / line.change.old, line.change.change
            ends, paired = (round(100 * (share - 1), DIGITS) for share in (ratio, change))
            if ends * paired < 0 or abs(ends - paired) > 1.01 * 10**-DIGITS:
                texts.append(f"{line.label} {format_signed(ends, DIGITS)} %")
    if not texts:
        return ""
    return (
        f"old and new are medians over the {unit}s, the change is the median of each {unit}'s own "
        f"ratio, which counts; from the two medians alone it would be: {', '.join(texts)}"
    )


def format_signed(value: float, digits: int) -> str:
    """Return a figure with a plus sign where it is above 0 as printed."""
    text = figure(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def format_p(value: float) -> str:
    """Return a p-value with three decimals, or that it is smaller."""
    return "< 0.001" if value < 0.001 else figure(value, 3)


PARETO: dict[Pareto, str] = {
    "dominates": "the new one dominates the old (better in something, no worse in the rest)",
    "dominated": "the old one dominates the new (worse in something, no better in the rest)",
    "trade-off": "a trade-off: better in something, worse in something else",
    "same": "the same in all that is measured",
    "inconclusive": "neither is shown to dominate (Pareto: inconclusive)",
    "not measured": "nothing is measured",
}
# The worst first: a reader may stop after the first words of the summary.
WORDS: tuple[Word, ...] = ("regressed", "improved", "inconclusive", "not measured", "same")
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


def build_page(comparison: Comparison, hints: Iterable[str] = ()) -> Page:
    """Return the whole comparison; `hints` name options of the command that shows it."""
    sections = (
        Section("verdicts", "Verdicts", points=(*_summarise(comparison), *hints)),
        *(_build_system(system, comparison.options.family) for system in comparison.systems),
        _build_runs(comparison),
        Section("method", "How it is decided", METHOD),
    )
    lead = f"New: {_describe_run(comparison.new)}. Old: {_describe_run(comparison.old)}."
    return Page(f"{comparison.new.name} against {comparison.old.name}", lead, sections)


def _describe_run(run: Evidence) -> str:
    commit = run.git_commit and f"commit {run.git_commit[:12]}"
    return ", ".join(part for part in (run.name, run.made_at, commit) if part)


def _summarise(comparison: Comparison) -> Iterable[str]:
    for system in comparison.systems:
        texts = []
        for word in WORDS:
            lines = system.having(word)
            # Stages are named only where they changed: dozens are open or the same in every run.
            if word not in ("regressed", "improved"):
                lines = [line for line in lines if line.block != "stage"]
            if lines:
                texts.append(f"{word}: {', '.join(line.label for line in lines)}")
        yield f"{_name_system(system)}: {PARETO[system.pareto]}. {'; '.join(texts)}"
    for names, which in ((comparison.only_old, "old"), (comparison.only_new, "new")):
        if names:
            yield f"only in the {which} run, not compared: {', '.join(names)}"
    for mismatch in comparison.mismatches:
        yield f"forced although {mismatch.text}"


def _name_system(system: SystemComparison) -> str:
    return system.label if system.old == system.new else f"{system.new} against {system.old}"


def _build_system(system: SystemComparison, family: str) -> Section:
    lines = [_build_line(line) for line in system.lines if line.block != "stage"]
    stages = [_build_line(line) for line in system.lines if line.block == "stage"]
    lines += [Line(heading="Stages"), *stages] if stages else []
    over = "all systems" if family == "all" else "this system"
    weights = ""
    if system.weights_changed is not None:
        differ = "differ" if system.weights_changed else "are the same"
        weights = f"; weights and settings {differ}"
    text = (
        f"{system.identical} of {counted(system.outputs, 'output')} the same to the bit"
        f"{weights}. p adjusted for {counted(system.family, 'test')}: the quality and the "
        f"latencies of {over} that are not settled otherwise.",
    )
    grid, points = Grid(HEADS, tuple(lines)), tuple(_list_points(system))
    # Of two pairs with one new system the old one tells which.
    return Section(f"system {system.old} {system.new}", _name_system(system), text, grid, points)


def _build_line(line: Verdict) -> Line:
    strong = line.verdict in ("regressed", "improved")
    head = (Printed(line.label), Printed(line.verdict, strong=strong))
    change = line.change
    if change is None:
        return Line((*head, *[Printed(NOTHING)] * (len(HEADS) - 2)))
    cells = (
        str(change.n),
        *format_ends(line),
        format_change(line),
        format_p(change.p_value),
        NOTHING if line.p_adjusted is None else format_p(line.p_adjusted),
        NOTHING if change.effect_size is None else format_signed(change.effect_size, 2),
    )
    return Line((*head, *(cell if isinstance(cell, Printed) else Printed(cell) for cell in cells)))


def _list_points(system: SystemComparison) -> Iterable[str]:
    """Return reasons and notes, each once with its metrics, and the clips that one run lacks."""
    labels_of: dict[str, list[str]] = {}
    for line in system.lines:
        for text in (line.reason, line.note):
            if text:
                labels_of.setdefault(text, []).append(line.label)
    for text, labels in labels_of.items():
        yield f"{', '.join(labels)}: {text}"
    if medians := describe_medians(system.lines):
        yield medians
    for clips, which in ((system.only_old, "old"), (system.only_new, "new")):
        if clips:
            names, more = ", ".join(clips[:MOST_NAMED]), len(clips) - MOST_NAMED
            names += f" and {more} more" if more > 0 else ""
            yield f"{counted(len(clips), 'clip')} only in the {which} run: {names}"


def _build_runs(comparison: Comparison) -> Section:
    """Build the table of where each run comes from."""
    names = sorted({*comparison.old.versions, *comparison.new.versions})
    columns = [
        {
            "made": run.made_at,
            "commit": run.git_commit,
            "suite": run.suite,
            "dataset": run.dataset and f"{run.dataset} {run.dataset_version}",
            "hardware": run.hardware.title if run.hardware else None,
        }
        for run in (comparison.old, comparison.new)
    ]
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    # Apart from the rest: a package may be named as one of the rows above is.
    rows += [
        (name, comparison.old.versions.get(name), comparison.new.versions.get(name))
        for name in names
    ]
    lines = [Line(tuple(Printed(text or NOTHING) for text in row)) for row in rows]
    heads = (Head("Run"), Head(comparison.old.name), Head(comparison.new.name))
    return Section("runs", "Runs", grid=Grid(heads, tuple(lines)), only="markdown")


def format_inline(line: Verdict) -> str:
    """Return the change and its interval in one line."""
    cell = format_change(line)
    return f"{cell.main} {cell.under}"
