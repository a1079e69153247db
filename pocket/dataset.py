"""The pocket test set: listed in `manifest.json`, rendered on first use, checked by checksum.

Beside it the development set, on which settings are chosen.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import stabench
from stabench.checkpoints.cache import cache_folder
from stabench.harness.datasets.dataset import Clip, Dataset
from stabench.harness.errors import MissingError
from stabench.pocket.scenes import VERSION

ROOM = Path(__file__).resolve().parent
MANIFEST = ROOM / "manifest.json"
KINDS = ("speech", "reference")


def pocket() -> Dataset:
    """Return 144 clips with speech, reference and labels.

    Raises MissingError when they cannot be made.
    """
    manifest = json.loads(MANIFEST.read_text())
    folder = cache_folder() / f"pocket-{manifest['version']}"
    if not folder.exists():
        _render_test_set(folder, manifest)
    clips = tuple(
        Clip(
            row["id"],
            row["caption"],
            folder / "speech" / f"{row['id']}.wav",
            folder / "reference" / f"{row['id']}.wav",
            tuple(row["labels"]),
            steps=steps(row["relation"], row["labels"]),
        )
        for row in manifest["clips"]
    )
    return Dataset("pocket", manifest["version"], clips, tuple(manifest["labels"]))


def development() -> Dataset:
    """Return 144 clips with wordings, voices and scenes of their own, in the form of the test set.

    Settings (search, guidance) are chosen on them, so that the test set says what they are worth.
    Raises MissingError when they cannot be made. Their bytes are not pinned: no result is published
    on them.
    """
    from stabench.pocket.render import listed
    from stabench.pocket.sounds.events import LABELS

    version = f"v{VERSION}"
    folder = cache_folder() / f"pocket-development-{version}"
    if not folder.exists():
        make_folder(folder, lambda part: render_into(part, "development"))
    clips = tuple(
        Clip(
            item.id,
            item.captions[0],
            folder / "speech" / f"{item.id}.wav",
            folder / "reference" / f"{item.id}.wav",
            item.scene.events,
            steps=steps(item.scene.relation, item.scene.events),
        )
        for item in listed("development")
    )
    return Dataset("pocket-development", version, clips, LABELS)


def steps(relation: str, labels: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the events by step: with "then" a step for each, otherwise they sound together."""
    return tuple((label,) for label in labels) if relation == "then" else (tuple(labels),)


def checksums(folder: Path, clip_id: str) -> dict[str, str]:
    """Return sha256 of the two WAV files of a clip, by kind."""
    return {
        kind: hashlib.sha256((folder / kind / f"{clip_id}.wav").read_bytes()).hexdigest()
        for kind in KINDS
    }


def differing(folder: Path, manifest: dict) -> list[str]:
    """Return the files of a rendered folder whose bytes are not those of the manifest."""
    return [
        f"{kind}/{row['id']}.wav"
        for row in manifest["clips"]
        for kind, digest in checksums(folder, row["id"]).items()
        if digest != row["sha256"][kind]
    ]


def _render_test_set(folder: Path, manifest: dict) -> None:
    """Render the test set into `folder`, checked by the manifest."""

    def fill(part: Path) -> None:
        render_into(part, "test")
        wrong = differing(part, manifest)
        if wrong:
            raise MissingError(
                f"pocket test set: {len(wrong)} of {2 * len(manifest['clips'])} rendered files "
                f"differ from pocket/manifest.json (first: {wrong[0]}); numbers would not be "
                "comparable. Install the versions pinned in constraints.txt"
            )

    make_folder(folder, fill)


def make_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside `folder` and rename it, so that two first runs do not meet."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        fill(part)
        # mkdtemp lets nobody but the owner in.
        part.chmod(0o755)
        part.rename(folder)
    except OSError:
        # A run beside this one was first: its folder is as good.
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def render_into(folder: Path, split: str) -> None:
    """Run pocket.render in a fresh, single-threaded process."""
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    # The child must import this very package, also where it is not installed.
    environment["PYTHONPATH"] = os.pathsep.join(
        [
            str(Path(stabench.__file__).resolve().parents[1]),
            *filter(None, [environment.get("PYTHONPATH")]),
        ]
    )
    command = [sys.executable, "-m", "stabench.pocket.render", split, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise MissingError(f"pocket {split} set: rendering failed: {last}")


def write_manifest(folder: Path) -> None:
    """List what pocket.render left in `folder` (the author's tool: this defines the test set)."""
    from stabench.pocket.render import listed
    from stabench.pocket.sounds.events import LABELS

    voices = json.loads((folder / "voices.json").read_text())
    clips = [
        {
            "id": item.id,
            "caption": item.captions[0],
            "relation": item.scene.relation,
            "labels": list(item.scene.events),
            "voice": dict(zip(("name", "rate", "pitch"), voices[item.id], strict=True)),
            "sha256": checksums(folder, item.id),
        }
        for item in listed("test")
    ]
    rows = ",\n".join("  " + json.dumps(clip) for clip in clips)
    head = json.dumps({"version": f"v{VERSION}", "labels": LABELS})[:-1]
    MANIFEST.write_text(f'{head}, "clips": [\n{rows}\n]}}\n')
