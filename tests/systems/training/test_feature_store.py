"""The store: what goes in comes out as float16, from any process, whatever broke in between."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stabench.systems.training import feature_store
from stabench.systems.training.feature_store import (
    Entry,
    Kind,
    StoreWriter,
    compute_digest,
    open_frames,
    open_latents,
)

CPU = torch.device("cpu")
SOURCE = {"use": "hubert", "weights": {"model.safetensors": "ab" * 32}}


def sha(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def make_frames(number: int, width: int = 8) -> np.ndarray:
    """Frames [T, W] of a numbered content, exact in float16."""
    rng = np.random.default_rng(number)
    shape = (int(rng.integers(1, 30)), width)
    return rng.standard_normal(shape).astype(np.float16).astype(np.float32)


def frame_entry(number: int) -> Entry:
    frames = make_frames(number)
    return Entry(sha(number), f"clip{number}", len(frames), (frames,))


def write_frames(folder: Path, numbers: list[int], shard: int = 64) -> StoreWriter:
    """A finished store of the numbered contents, one for each clip."""
    writer = StoreWriter(folder, "frames", SOURCE)
    missing = [number for number in dict.fromkeys(numbers) if not writer.is_stored(sha(number))]
    for start in range(0, len(missing), shard):
        writer.add([frame_entry(number) for number in missing[start : start + shard]])
    writer.finish([sha(number) for number in numbers])
    return writer


def test_five_thousand_clips_come_back_in_any_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    # A fifth of the clips have the content of another.
    numbers = rng.integers(0, 4000, 5000).tolist()
    write_frames(tmp_path, numbers, shard=300)
    frames = open_frames(tmp_path, CPU)
    assert len(frames) == 5000
    for index in np.array_split(rng.permutation(5000), 80):
        batch, mask = frames.batch(index)
        expected = [make_frames(numbers[clip]) for clip in index]
        assert batch.dtype == torch.float32
        assert batch.shape == (len(index), max(map(len, expected)), 8)
        assert mask.sum(1).tolist() == list(map(len, expected))
        for row, inside, values in zip(batch, mask, expected, strict=True):
            assert np.array_equal(row[inside].numpy(), values)
            assert not row[~inside].any()
    twice, _ = frames.batch(np.array([7, 7]))
    assert torch.equal(twice[0], twice[1])


def latent_entry(number: int, steps: int, std: float = 0.0) -> Entry:
    mean = np.random.default_rng(number).standard_normal((4, steps)).astype(np.float16)
    return Entry(sha(number), f"clip{number}", steps, (mean, np.full_like(mean, std)))


def write_latents(folder: Path, steps: list[int], std: float) -> list[np.ndarray]:
    """A finished store of latents; the means."""
    entries = [latent_entry(number, count, std) for number, count in enumerate(steps)]
    writer = StoreWriter(folder, "latents", SOURCE)
    writer.add(entries)
    writer.finish([entry.content for entry in entries])
    return [entry.arrays[0].astype(np.float32) for entry in entries]


def test_latents_are_drawn_from_their_posterior(tmp_path: Path) -> None:
    means = write_latents(tmp_path, [9, 5, 9], std=0.5)
    latents = open_latents(tmp_path, CPU)
    index = np.array([2, 1])
    z, mask = latents.batch(index, np.random.default_rng(3))
    noise = np.random.default_rng(3).standard_normal((2, 4, 9), dtype=np.float32)
    assert mask is not None
    assert mask.tolist() == [[True] * 9, [True] * 5 + [False] * 4]
    torch.testing.assert_close(z[0], torch.from_numpy(means[2] + 0.5 * noise[0]))
    torch.testing.assert_close(z[1, :, :5], torch.from_numpy(means[1] + 0.5 * noise[1, :, :5]))
    assert not z[1, :, 5:].any()
    # Where all are equally long there is nothing to mask.
    assert latents.batch(np.array([0, 2]), np.random.default_rng(3))[1] is None


def test_only_what_is_new_is_written(tmp_path: Path) -> None:
    write_frames(tmp_path, [0, 1, 2])
    first = (tmp_path / "00000.arrow").read_bytes()
    writer = StoreWriter(tmp_path, "frames", SOURCE)
    assert [writer.is_stored(sha(number)) for number in (0, 2, 3)] == [True, True, False]
    write_frames(tmp_path, [3, 2, 0])
    assert (tmp_path / "00000.arrow").read_bytes() == first
    assert sorted(path.name for path in tmp_path.glob("0*")) == ["00000.arrow", "00001.arrow"]
    frames, mask = open_frames(tmp_path, CPU).batch(np.array([0, 1, 2]))
    for row, inside, number in zip(frames, mask, (3, 2, 0), strict=True):
        assert np.array_equal(row[inside].numpy(), make_frames(number))


@pytest.mark.parametrize("left", [0, 6, 1000])
def test_a_torn_shard_is_made_again(tmp_path: Path, left: int) -> None:
    write_frames(tmp_path, list(range(9)), shard=3)
    torn = tmp_path / "00001.arrow"
    whole = torn.read_bytes()
    assert len(whole) > 1000
    torn.write_bytes(whole[:left])
    with pytest.raises(ValueError, match=r"run: stabench prepare"):
        open_frames(tmp_path, CPU)
    assert write_frames(tmp_path, list(range(9)), shard=3).torn == 1
    assert torn.read_bytes() == whole


def test_a_shard_that_is_gone_is_told(tmp_path: Path) -> None:
    write_frames(tmp_path, list(range(9)), shard=3)
    (tmp_path / "00001.arrow").unlink()
    with pytest.raises(ValueError, match=r"a shard is missing; run: stabench prepare"):
        open_frames(tmp_path, CPU)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "clip 3.*frames holds NaN or infinity"),
        (np.inf, "clip 3.*frames holds NaN or infinity"),
        (-70_000.0, r"clip 3.*frames reaches 7e\+04, float16 holds up to 65504"),
    ],
)
def test_what_float16_cannot_hold_is_refused_by_name(
    tmp_path: Path, value: float, message: str
) -> None:
    frames = np.zeros((5, 8), np.float32)
    frames[2, 1] = value
    writer = StoreWriter(tmp_path, "frames", SOURCE)
    with pytest.raises(ValueError, match=message):
        writer.add([Entry(sha(3), "clip 3", 5, (frames,))])
    assert not list(tmp_path.glob("*.arrow"))
    with pytest.raises(ValueError, match="has shape"):
        writer.add([Entry(sha(3), "clip 3", 0, (frames[:0],))])


def test_a_store_of_something_else_is_refused_in_one_line(tmp_path: Path) -> None:
    write_frames(tmp_path, [0])
    with pytest.raises(ValueError, match=r"expected [0-9a-f]{12}; they are of another encoder"):
        StoreWriter(tmp_path, "frames", {**SOURCE, "use": "wavlm"})
    digest = compute_digest("frames", SOURCE)
    assert len(open_frames(tmp_path, CPU, digest)) == 1
    with pytest.raises(ValueError, match="they are of another encoder, other options or weights"):
        open_frames(tmp_path, CPU, compute_digest("frames", {}))
    with pytest.raises(ValueError, match="holds frames, expected latents"):
        open_latents(tmp_path, CPU)
    with pytest.raises(FileNotFoundError, match=r"store\.json: no such file"):
        open_frames(tmp_path / "none", CPU)


def test_an_unfinished_store_is_no_store(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, "frames", SOURCE)
    writer.add([frame_entry(0)])
    with pytest.raises(FileNotFoundError, match="not finished"):
        open_frames(tmp_path, CPU)
    with pytest.raises(ValueError, match="1 of 2 contents are absent"):
        writer.finish([sha(0), sha(1)])


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = StoreWriter(tmp_path, "frames", SOURCE)
    writer.add([frame_entry(0)])
    before = sorted(tmp_path.iterdir())

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(feature_store.os, "fsync", refuse)
        with pytest.raises(OSError, match="No space left"):
            writer.add([frame_entry(1)])
    assert sorted(tmp_path.iterdir()) == before
    # What a killed writer leaves is swept by the next one.
    (tmp_path / ".00001.arrow.part").write_bytes(b"ARROW1")
    StoreWriter(tmp_path, "frames", SOURCE)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", ["frames", "latents"])
def test_the_digest_is_of_all_that_made_the_features(kind: Kind) -> None:
    assert compute_digest(kind, {"a": 1, "b": 2}) == compute_digest(kind, {"b": 2, "a": 1})
    assert compute_digest(kind, {"a": 1}) != compute_digest(kind, {"a": 2})
    assert compute_digest("frames", SOURCE) != compute_digest("latents", SOURCE)


READER = """
import sys
import numpy as np, torch
from stabench.systems.training.feature_store import open_frames
frames = open_frames(sys.argv[1], torch.device("cpu"))
total = sum(frames.batch(np.array([clip]))[0].double().sum().item() for clip in range(len(frames)))
print(repr(total))
"""


@pytest.mark.slow
def test_several_processes_read_at_once(tmp_path: Path) -> None:
    write_frames(tmp_path, list(range(200)))
    frames = open_frames(tmp_path, CPU)
    expected = sum(frames.batch(np.array([clip]))[0].double().sum().item() for clip in range(200))
    command = [sys.executable, "-c", READER, str(tmp_path)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [float(reader.communicate()[0]) for reader in readers] == [expected] * 3
