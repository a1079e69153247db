"""A folder in which `stabench run` finds what the suite `table2` asks for, all of it tiny."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stabench.harness import registry
from stabench.metrics.audio import encode
from tests.table2 import weights

LISTENERS = Path(__file__).with_name("listeners.py")
CLIPS, ABSENT = 30, 3
"""FAD-infinity asks for 30 clips. Of the last ones in the CSV there is no recording."""
CAPTIONS = 5
RATE_HZ = 16_000
SOUNDS = ("a dog barks", "a cat calls", "rain falls", "the wind blows", "a car passes")
PLACES = ("", " in a hall", " on a road", " at night", " by the sea", " far away", " again")
FEW_STEPS = {"audioldm2": 1, "tango2": 1, "audit": 4, "stable-audio-open": 2, "tangoflux": 1}
"""Of samplers, in place of their 50 to 200: the fewest that each takes."""


def write(home: Path) -> None:
    """`cache/weights/` with the catalogue's names; `weights/` and `audiocaps/` of the suite."""
    weights.write(home / "cache" / "weights")
    weights.write_stars(home / "weights")
    write_audiocaps(home / "audiocaps")


def write_audiocaps(folder: Path) -> None:
    """test.csv with five captions each, and the recordings by YouTube id, of which some lack."""
    (folder / "audio").mkdir(parents=True)
    lines = ["audiocap_id,youtube_id,start_time,caption"]
    for index in range(CLIPS + ABSENT):
        for take in range(CAPTIONS):
            text = _caption(index, take)
            lines.append(f'{CAPTIONS * index + take},{youtube_id(index)},{index},"{text}"')
        if index < CLIPS:
            path = folder / "audio" / f"Y{youtube_id(index)}.wav"
            path.write_bytes(encode(_recording(index), RATE_HZ))
    (folder / "test.csv").write_text("\n".join(lines) + "\n")


def youtube_id(index: int) -> str:
    return f"table2-{index:04d}"


def suite(home: Path, change: Callable[[dict[str, Any]], None] = lambda table: None) -> Path:
    """The shipped suite with paths, few steps and one thread, then `change`; returns its path.

    Whisper and three networks of the metrics are known by their sha256, so their tiny files have
    to be named. Nothing else is replaced: systems, data set, protocol and columns are the shipped.
    Tiny networks gain nothing by a second thread, and lose much where cores are shared.
    """
    table = tomllib.loads(registry.toml_path("suites", "table2").read_text("utf-8"))
    for role, name in {"fad": "vggish", "tagger": "cnn14", "clap_music": "clap_music"}.items():
        table["metrics"][role] = f"{LISTENERS}:{name}"
    table["run"]["threads"] = 1
    recogniser = home / "cache" / "weights" / "whisper-base" / "base.pt"
    for system in table["system"]:
        options = system.setdefault("options", {})
        if "asr" in options:
            options["asr"]["weights"] = str(recogniser)
        # Known by their sha256, too, but for a folder of the user's own.
        if system["use"].endswith("meanaudio"):
            options.setdefault("tta", {})["weights"] = str(home / "cache" / "weights")
        for name, steps in FEW_STEPS.items():
            if system["use"].endswith(name):
                options.setdefault("tta", {})["steps"] = steps
    change(table)
    path = home / "table2.toml"
    path.write_text(toml(table))
    return path


def only(*names: str) -> Callable[[dict[str, Any]], None]:
    """A change of the suite that leaves these systems, without a warm-up."""

    def change(table: dict[str, Any]) -> None:
        table["system"] = [system for system in table["system"] if system["name"] in names]
        table["run"]["warmups"] = 0

    return change


def toml(table: dict[str, Any]) -> str:
    """A table of values, of tables, and of lists of tables, as TOML."""
    plain = [f"{key} = {_value(value)}" for key, value in table.items() if not _is_section(value)]
    for key, value in table.items():
        if isinstance(value, dict):
            plain += [f"[{key}]", *(f"{name} = {_value(each)}" for name, each in value.items())]
        elif _is_section(value):
            for row in value:
                plain += [f"[[{key}]]", *(f"{name} = {_value(each)}" for name, each in row.items())]
    return "\n".join(plain) + "\n"


def _is_section(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and isinstance(value[0], dict))


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def _caption(index: int, take: int) -> str:
    place = PLACES[(index // len(SOUNDS) + take) % len(PLACES)]
    return f"{SOUNDS[index % len(SOUNDS)]}{place}"


def _recording(index: int) -> np.ndarray:
    """4 s: a tone of the sound's pitch, beating, in noise."""
    rng = np.random.default_rng(index)
    time = np.arange(4 * RATE_HZ) / RATE_HZ
    tone = np.sin(2 * np.pi * 200 * (1 + index % len(SOUNDS)) * time) * np.sin(3 * index * time)
    return (0.3 * tone + 0.05 * rng.standard_normal(time.size)).clip(-1, 1).astype(np.float32)
