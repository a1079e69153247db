"""Mismatches: what keeps the numbers of two runs from being compared at all."""

from typing import NamedTuple

from harness.verdicts.record import Evidence, SystemEvidence


class Mismatch(NamedTuple):
    """One thing that differs; `column` where it concerns that one only."""

    what: str
    old: str
    new: str
    column: str | None = None

    @property
    def text(self) -> str:
        """What, then, now."""
        return f"{self.what} was {self.old} and is {self.new}"


def of_runs(old: Evidence, new: Evidence) -> list[Mismatch]:
    """What concerns every number: the clips, and the rules of the run."""
    pairs = [("dataset", _dataset(old), _dataset(new))]
    heard = old.references_sha256, new.references_sha256
    # Where their number differs, the clips do: then only metrics of sets are refused (rows.py).
    if old.references == new.references and None not in heard:
        pairs.append(("recordings", *(f"sha256 {one[:8]}" for one in heard)))
    if old.settings and new.settings:
        for name in ("scenario", "batch_size", "seed"):
            pairs.append((name, *(str(getattr(one.settings, name)) for one in (old, new))))
    return [Mismatch(what, a, b) for what, a, b in pairs if a != b]


def of_columns(old: SystemEvidence, new: SystemEvidence) -> list[Mismatch]:
    """Columns that another embedder, version or rule of a protocol measures."""
    return [
        Mismatch(f"provenance of {column}", before.digest[:8], now.digest[:8], column)
        for column, now in new.columns.items()
        if (before := old.columns.get(column)) and before.digest != now.digest
    ]


def of_hardware(old: Evidence, new: Evidence) -> Mismatch | None:
    """Machines whose times cannot be compared."""
    if old.hardware == new.hardware:
        return None
    titles = (one.hardware.title if one.hardware else "unknown" for one in (old, new))
    return Mismatch("hardware", *titles)


def _dataset(one: Evidence) -> str:
    return f"{one.dataset} {one.dataset_version}" if one.dataset else "folders"
