"""Groups: clips that share a recording are drawn together, since they say less than apart."""

from collections.abc import Mapping
from typing import NamedTuple


class Groups(NamedTuple):
    """Which group each clip and each recording is in (0 to `count` - 1)."""

    clips: dict[str, int]
    recordings: dict[str, int]
    count: int


def groups(references: Mapping[str, tuple[str, ...]], recordings: tuple[str, ...]) -> Groups:
    """Connected sets of clips and recordings; `references` are the recordings of each clip.

    One of either alone is a group of its own. They are numbered in the order of clips, then of
    recordings.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for clip, own in references.items():
        first = root(("clip", clip))
        for recording in own:
            parent[root(("recording", recording))] = first
    numbers: dict[tuple[str, str], int] = {}
    clips = {clip: numbers.setdefault(root(("clip", clip)), len(numbers)) for clip in references}
    found = {
        name: numbers.setdefault(root(("recording", name)), len(numbers)) for name in recordings
    }
    return Groups(clips, found, len(numbers))
