"""A protocol: which networks hear a sound, how it is brought to them, and each metric's constants.

It is data, a TOML file with a name and a version; every number carries both and the digest of
all that it says, so that two numbers of different protocols are never taken for the same.
"""

import hashlib
import json
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from stabench.metrics.resample import NAME, Resampler

Role = Literal["fad", "tagger", "clap", "clap_music", "timeline"]
# What a network is for: embeddings of FAD; embeddings of FD and classes; captions and sounds (two);
# classes in each window of a sound.
ROLES: tuple[Role, ...] = ("fad", "tagger", "clap", "clap_music", "timeline")


class Strict(BaseModel):
    """Frozen, without keys beyond those named."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Listening(Strict):
    """How one network hears a sound: which network, and what is done to the samples before it.

    In order: `channels` become one, the mean goes (`remove_dc`), the rate is changed by the
    `resampler` (to `via_hz` first, where that is given), and `int16` cuts to 16-bit steps. Of a
    clip longer than the network takes at once, `long` keeps the first part, or the mean over evenly
    spaced windows, as few as hold all of it; "whole" is for networks that take any length. Of
    VGGish, whose examples have a fixed length, "windows" spreads these in the same way: "whole"
    drops what is left at the end.
    """

    network: str
    channels: Literal["first", "mean"] = "mean"
    remove_dc: bool = False
    int16: bool = False
    long: Literal["whole", "first", "windows"] = "whole"
    via_hz: int | None = Field(None, ge=1000, le=192_000)
    resampler: Resampler = NAME

    @model_serializer(mode="wrap")
    def _leave_out_later_keys(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out keys that are younger than digests of protocols, where they change nothing."""
        defaults = {"via_hz": None, "resampler": NAME}
        return {
            key: value
            for key, value in serialize(self).items()
            if key not in defaults or value != defaults[key]
        }


class Protocol(Strict):
    """All that decides a number beside the sounds and the weights."""

    name: str
    version: int = Field(ge=1)
    about: str = ""
    # What is measured when nothing else is asked for.
    columns: tuple[str, ...]
    # Added to the generated probabilities; None where a protocol has no such term.
    kl_epsilon: float | None = Field(None, gt=0)
    is_splits: int = Field(10, ge=1)
    is_seed: int = Field(2020, ge=0)
    # Of the subsets of FAD-infinity and of permutations.
    subset_seed: int = Field(2020, ge=0)
    networks: dict[Role, Listening]
    # Roles whose network is not the protocol's own: such numbers are not the protocol's.
    replaced: tuple[str, ...] = ()

    @field_validator("networks")
    @classmethod
    def _order_roles(cls, networks: dict[Role, Listening]) -> dict[Role, Listening]:
        return {role: networks[role] for role in ROLES if role in networks}

    @cached_property
    def digest(self) -> str:
        """Return the hex sha256 of all that decides a number, however the file is laid out."""
        # Left out: a text for readers, and which numbers are asked for. Neither decides a number.
        rules = self.model_dump(mode="json", exclude={"about", "columns"})
        text = json.dumps(rules, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def title(self) -> str:
        """Name, version and the first digits of the digest, as reports print it."""
        changed = f", {' and '.join(self.replaced)} replaced" if self.replaced else ""
        return f"{self.name} {self.version} ({self.digest[:8]}{changed})"

    def using(self, networks: dict[str, str]) -> "Protocol":
        """Return the same rules with other networks, by role.

        Raises KeyError for a role without rules.
        """
        current: dict[str, str] = {role: heard.network for role, heard in self.networks.items()}
        others = {role: name for role, name in networks.items() if current[role] != name}
        changed = {
            role: heard.model_copy(update={"network": others[role]}) if role in others else heard
            for role, heard in self.networks.items()
        }
        replaced = tuple(role for role in ROLES if role in others or role in self.replaced)
        return self.model_copy(update={"networks": changed, "replaced": replaced})


def read(path: Path) -> Protocol:
    """Read the protocol of a TOML file.

    Raises FileNotFoundError, or ValueError for what is wrong.
    """
    return Protocol.model_validate(tomllib.loads(path.read_text("utf-8")))
