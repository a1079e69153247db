"""Whatever stops `stabench prepare`, typed again it ends in the same bytes."""

import multiprocessing
import os
import resource
import shutil
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stabench.harness.datasets.spoken import Voice
from stabench.harness.errors import StabenchError
from stabench.harness.prepare import clips, prepare, recipe
from stabench.systems.training import extract, feature_store
from stabench.systems.training.feature_store import StoreWriter
from tests.harness.prepare import tiny_audiocaps as tiny
from tests.harness.prepare.command import count_calls, list_files, type_command

# Frames of six tiny clips fit in a file of so many bytes, their latents do not.
LARGEST_FILE = 60_000


def kill(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(owner: Any, name: str, call: int) -> Callable[[], None]:
    """Return what makes a function's call of that number, from 0, the end of the process."""

    def patch() -> None:
        function, calls = getattr(owner, name), []

        def counted(*values: Any, **options: Any) -> Any:
            calls.append(name)
            return (kill if len(calls) > call else function)(*values, **options)

        setattr(owner, name, counted)

    return patch


def tear_shard() -> None:
    """Leave half of the second shard under its temporary name."""
    write, calls = feature_store._write, []

    def torn(path: Path, fill: Any) -> None:
        calls.append(path)
        if len([p for p in calls if p.name[0] == "0"]) < 2:
            return write(path, fill)
        path.with_name(f".{path.name}.part").write_bytes(b"ARROW1\0\0")
        return kill()

    feature_store._write = torn


KILLS: dict[str, Callable[[], None]] = {
    "shard": tear_shard,
    "speech": kill_at(Voice, "render", 3),
    "labels": kill_at(clips, "write_json", 0),
    "recordings": kill_at(prepare, "hear_file", 4),
    "table": kill_at(prepare, "write_table", 0),
    "frames": kill_at(extract.SpeechFrames, "encode", 2),
    "index": kill_at(StoreWriter, "finish", 0),
    "latents": kill_at(extract.VaeLatents, "encode", 3),
    "latent index": kill_at(StoreWriter, "finish", 1),
    "record": kill_at(prepare, "add_split", 0),
}
QUICK = ("shard",)


def run_killed(patch: Callable[[], None], path: Path, out: Path) -> None:
    patch()
    prepare.prepare(recipe.load(str(path)).data, out, ["train"])


@pytest.mark.parametrize(
    "step", [pytest.param(s, marks=() if s in QUICK else pytest.mark.slow) for s in KILLS]
)
def test_killed_and_typed_again_it_leaves_the_same_bytes(
    audiocaps: Path, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    tiny.spoil(audiocaps)
    monkeypatch.setattr(feature_store, "SHARD_SIZE", 3)
    path = tiny.write_recipe(audiocaps, networks, max_failed_share=0.3)
    whole = tmp_path / "whole"
    assert type_command(monkeypatch, path, "--out", whole) == 0

    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "other-cache"))
    out = tmp_path / "out"
    with warnings.catch_warnings():
        # Of Python 3.12: a fork of a process with threads; this child starts none.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = multiprocessing.get_context("fork").Process(
            target=run_killed, args=(KILLS[step], path, out)
        )
        child.start()
    child.join(100)
    assert child.exitcode == -signal.SIGKILL
    assert list_files(out) != list_files(whole)
    assert not (out / "prepared.json").exists()
    assert type_command(monkeypatch, path, "--out", out) == 0
    assert list_files(out) == list_files(whole)
    for cache in ("cache", "other-cache"):
        assert len(list((tmp_path / cache / "speech").rglob("*.wav"))) == 7


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing(
    audiocaps: Path, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path = tiny.write_recipe(audiocaps, networks)
    out = tmp_path / "out"
    assert type_command(monkeypatch, path, "--out", out) == 0
    files = list_files(out)
    for store in (out / "train").glob("*-*"):
        shutil.rmtree(store)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, hard))
    try:
        assert type_command(monkeypatch, path, "--out", out) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("stabench: cannot read or write: File too large")
    assert not list(out.rglob("*.part"))
    assert len(list((out / "train").glob("features-*/0*"))) == 1
    assert not list((out / "train").glob("latents-*/0*"))
    calls = count_calls(monkeypatch)
    assert type_command(monkeypatch, path, "--out", out) == 0
    assert list_files(out) == files
    assert sum(calls) == 6


def test_two_commands_at_once_are_refused(audiocaps: Path, networks: Path, tmp_path: Path) -> None:
    data = recipe.load(str(tiny.write_recipe(audiocaps, networks))).data
    with (
        prepare.locked(tmp_path / ".lock"),
        pytest.raises(StabenchError, match="another stabench prepare is at work in it"),
    ):
        prepare.prepare(data, tmp_path, ["train"])
