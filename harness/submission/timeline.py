"""The timeline: whether a journal's times can be those of one clock in one run."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from statistics import median

from stabench.harness.datasets.dataset import clip_seed
from stabench.harness.runs.journal import Row
from stabench.harness.runs.run_folder import Record
from stabench.harness.submission.findings import Finding, error, note
from stabench.harness.submission.sources import JOURNAL
from stabench.harness.suites.suite import RunSettings
from stabench.harness.tasks.task import load_task

# Moments are written to the millisecond.
SLACK_NS = 2_000_000
# The stages of a phase claim no more than all of it, give or take 1 %; less they may.
SHARE = 1.01
# Reading speech, hashing and writing a sound take less than this between two clips.
IDLE_NS = 100_000_000
# A clip done again in less than half of its first time is not computed again.
CACHED = 0.5
FASTEST_NS = 1_000


def check_timeline(rows: Sequence[Row], record: Record, settings: RunSettings) -> Iterator[Finding]:
    """Find everything in the times, seeds and order of one system's rows that cannot be."""
    done = [row for row in rows if row.ok]
    yield from _check_rules(rows, settings)
    phases = load_task(record.suite.task).phase_names
    yield from _check_stages(done, phases)
    yield from _check_variety([row for row in done if not row.warmup], phases)
    yield from _check_moments(done, record)
    yield from _check_repeats([row for row in done if not row.warmup])


def _wall_ns(row: Row) -> int:
    return sum(row.phase_ns.values())


def _name_row(row: Row) -> str:
    return f"{row.clip}, {'warm-up' if row.warmup else 'repeat'} {row.repeat}"


def _check_rules(rows: Sequence[Row], settings: RunSettings) -> Iterator[Finding]:
    """Check that seeds are the suite's, and that no batch is larger than the suite's."""
    for row in rows:
        # Nobody may pick the noise that suits.
        if row.seed != clip_seed(settings.seed, row.clip, row.repeat):
            yield error(JOURNAL, f"{_name_row(row)}.seed", f"{row.seed} is not the suite's seed")
        # Only rows of one clip have moments to check.
        if row.batch > settings.batch_size:
            message = f"{row.batch} clips, the suite runs at most {settings.batch_size} at a time"
            yield error(JOURNAL, f"{_name_row(row)}.batch", message)


def _check_stages(rows: Sequence[Row], phases: Sequence[str]) -> Iterator[Finding]:
    for row in rows:
        if other := row.phase_ns.keys() - set(phases):
            yield error(JOURNAL, f"{_name_row(row)}.phase_ns", f"'{min(other)}' is no phase")
        for phase in phases:
            field, wall_ns = f"{_name_row(row)}.phase_ns.{phase}", row.phase_ns.get(phase)
            if wall_ns is None or wall_ns < FASTEST_NS:
                yield error(JOURNAL, field, f"{wall_ns} ns: no sound is made in no time")
                continue
            claimed = sum(span.wall_ns for span in row.spans if span.phase == phase)
            if claimed > SHARE * wall_ns:
                message = f"stages of {claimed} ns in a phase of {wall_ns} ns"
                yield error(JOURNAL, field, message)


def _check_variety(rows: Sequence[Row], phases: Sequence[str]) -> Iterator[Finding]:
    """A clock of nanoseconds does not say the same again and again."""
    for phase in phases:
        walls = Counter(row.phase_ns.get(phase) for row in rows)
        wall_ns, times = walls.most_common(1)[0] if walls else (0, 0)
        if times > 2 and times > len(rows) // 10:
            message = f"{wall_ns} ns stands {times} times in {len(rows)} rows"
            yield error(JOURNAL, f"phase_ns.{phase}", message)


def _check_moments(rows: Sequence[Row], record: Record) -> Iterator[Finding]:
    """Between two results of one system lies at least the time of the second."""
    singles = [row for row in rows if row.batch == 1]
    moments = [(_moment_ns(row.finished_at), row) for row in singles]
    dated = [(moment_ns, row) for moment_ns, row in moments if moment_ns is not None]
    if len(dated) < len(singles):
        yield error(JOURNAL, "finished_at", "not every row says when it ended, as a run writes it")
        return
    if len(singles) < 2:
        return
    ordered = sorted(dated, key=lambda pair: pair[0])
    started_ns, finished_ns = _moment_ns(record.started_at), _moment_ns(record.finished_at)
    if started_ns is None or finished_ns is None:
        yield error("run.json", "finished_at", "is no moment in UTC")
    elif ordered[0][0] < started_ns or ordered[-1][0] > finished_ns + SLACK_NS:
        yield error(JOURNAL, "finished_at", "rows ended before the run began or after its end")
    idle = []
    for (before_ns, _), (after_ns, row) in pairwise(ordered):
        idle.append(after_ns - before_ns - _wall_ns(row))
        if idle[-1] < -SLACK_NS:
            message = f"took {_wall_ns(row)} ns, {after_ns - before_ns} ns after the result before"
            yield error(JOURNAL, f"{_name_row(row)}.finished_at", message)
    # The median: a run may pause now and then, as one that is resumed does.
    typical_ns, wall_ns = median(idle), median(_wall_ns(row) for row in singles)
    if typical_ns > max(IDLE_NS, wall_ns / 2):
        message = (
            f"results are {(typical_ns + wall_ns) / 1e6:.0f} ms apart, the phases claim only "
            f"{wall_ns / 1e6:.0f} ms of it"
        )
        yield error(JOURNAL, "finished_at", message)


def _moment_ns(text: str | None) -> int | None:
    """Nanoseconds since 1970 of an ISO 8601 text with its zone, or None."""
    try:
        moment = datetime.fromisoformat(text or "")
        # In whole milliseconds, as they are written: a double adds digits of its own.
        return None if moment.tzinfo is None else round(moment.timestamp() * 1e3) * 1_000_000
    except (ValueError, OverflowError):
        return None


def _check_repeats(rows: Sequence[Row]) -> Iterator[Finding]:
    """A clip done again is not quicker: a cache shows."""
    first = [_wall_ns(row) for row in rows if not row.repeat]
    again = [_wall_ns(row) for row in rows if row.repeat]
    if not again:
        yield note(JOURNAL, "repeat", "one repeat: whether clips are cached needs --system")
        return
    share = median(again) / median(first) if first and median(first) else 0.0
    if share < CACHED:
        message = f"clips done again take {100 * share:.0f} % of their first time: a cache answers"
        yield error(JOURNAL, "repeat", message)
