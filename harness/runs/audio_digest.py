"""Audio identity: which sounds a number was made of, as one sha256; their names do not count."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from stabench.harness.runs.journal import Row

# Stands for a sound that should be there and could not be heard.
BROKEN = "broken"


def of_sound(content_sha256: str, rate_hz: int) -> str:
    """Return what one sound is: its samples (metrics.audio.content_sha256) and their rate."""
    return f"{content_sha256} {rate_hz}"


def of_clips(sounds: Mapping[str, str]) -> str | None:
    """Return the sha256 of the sorted lines "clip sound" of clips, by id; None without any."""
    if not sounds:
        return None
    lines = "".join(f"{clip} {sound}\n" for clip, sound in sorted(sounds.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def of_outputs(rows: Iterable[Row], broken: Iterable[str]) -> str | None:
    """Return the digest of a system's outputs, by its journal; `broken` clips were not heard."""
    broken = set(broken)
    return of_clips(
        {
            row.clip: BROKEN if row.clip in broken else of_sound(row.audio_sha256, row.rate_hz or 0)
            for row in rows
            if row.ok and row.audio_sha256 and not row.repeat
        }
    )


def of_recordings(
    recordings: Mapping[str, str], references: Mapping[str, Sequence[str]]
) -> str | None:
    """Return the digest of the `recordings` that were heard and of what each clip is compared with.

    Names do not count: the same recordings elsewhere are the same.
    """
    # No clip's id has a slash, so that these keys cannot meet those of clips.
    every = {f"/{index}": sound for index, sound in enumerate(sorted(recordings.values()))}
    # A recording that is left out or broken changes the digest of the clips that it belongs to.
    compared = {
        clip: " ".join(recordings.get(name, BROKEN) for name in names)
        for clip, names in references.items()
        if names
    }
    return of_clips({**compared, **every}) if recordings else None


def find_copies(files: Mapping[str, Path | None]) -> dict[str, str]:
    """Return the first clip with the same content, of clips whose file is a copy of an earlier one.

    A clip without a file, or whose file is no longer there, is no copy.
    """
    by_size: dict[int, list[tuple[str, Path]]] = defaultdict(list)
    for clip, path in files.items():
        if path and path.is_file():
            by_size[path.stat().st_size].append((clip, path))
    copies: dict[str, str] = {}
    # Only files of one length are read: of a thousand recordings that is hardly any.
    for alike in (clips for clips in by_size.values() if len(clips) > 1):
        firsts: dict[str, str] = {}
        for clip, path in alike:
            first = firsts.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), clip)
            copies |= {clip: first} if first != clip else {}
    return copies
