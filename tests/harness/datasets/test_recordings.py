"""Recordings: every name and layout in use, and one line for each that cannot be used."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stabench.harness.datasets.audiocaps_csv import Item
from stabench.harness.datasets.recordings import Names, find
from stabench.harness.errors import StabenchError
from stabench.metrics.audio import decode, encode

IDS = ("-aaaaaaaaaa", "Ybbbbbbbbb_", "c_ccccccc-1")
STARTS = (30, 0, 120)
ITEMS = [
    Item(IDS[n], str(STARTS[n]), ("x",) * 5, tuple(str(100 + 10 * take + n) for take in range(5)))
    for n in range(3)
]
WANTED = {item.id: Names(item.names, item.numbers) for item in ITEMS}


def write_wav(path: Path, level: float = 0.1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(np.full(800, level, np.float32), 16_000))


NAMINGS = {
    "id": lambda index: IDS[index],
    "Yid": lambda index: f"Y{IDS[index]}",
    "id_start": lambda index: f"{IDS[index]}_{STARTS[index]}",
    "Yid_start": lambda index: f"Y{IDS[index]}_{STARTS[index]}",
    "audiocap_id": lambda index: str(100 + index),
    "another_audiocap_id": lambda index: str(140 + index),
}


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("suffix", [".wav", ".WAV"])
def test_recordings_are_found_by_every_name_in_use(
    tmp_path: Path, naming: str, suffix: str
) -> None:
    for index in range(3):
        write_wav(tmp_path / "audio" / f"{NAMINGS[naming](index)}{suffix}")
    write_wav(tmp_path / "audio" / "someone-else.wav")
    found = find(tmp_path / "audio", WANTED)
    assert [found.paths[clip] for clip in WANTED] == [
        tmp_path / "audio" / f"{NAMINGS[naming](index)}{suffix}" for index in range(3)
    ]
    assert (found.reasons, found.absent) == ({}, set())


def test_the_folder_of_aac_datasets_with_its_flac_files(tmp_path: Path) -> None:
    folder = tmp_path / "data/AUDIOCAPS/audio_32000Hz/test"
    folder.mkdir(parents=True)
    samples = np.random.default_rng(0).integers(-9000, 9000, (3200, 2), np.int16)
    for name, start in zip(IDS, STARTS, strict=True):
        soundfile.write(folder / f"{name}_{start}.flac", samples, 32_000)
    for root in (tmp_path / "data", tmp_path / "data/AUDIOCAPS"):
        found = find(root, WANTED)
        assert [path.name for path in found.paths.values()] == [f"Y{name}.wav" for name in IDS]
    heard = decode(found.paths[f"Y{IDS[0]}"])
    assert heard.rate_hz == 32_000
    np.testing.assert_array_equal(heard.samples, samples.astype(np.float32) / 32768)
    (folder.parents[1] / "audio_16000Hz/test").mkdir(parents=True)
    with pytest.raises(StabenchError, match=r"at several rates; give one of .*audio_16000Hz/test"):
        find(tmp_path / "data", WANTED)


def _flac(level: int) -> bytes:
    target = io.BytesIO()
    soundfile.write(target, np.full(480, level, np.int16), 48_000, format="FLAC")
    return target.getvalue()


def _table(with_bytes: bool, folder: Path) -> object:
    """Two rows for each of the first two recordings; the second row of an id differs."""
    import pyarrow as pa

    rows = []
    for index, name in enumerate((IDS[0], IDS[0], IDS[1], "notthisone_")):
        audio = {"bytes": _flac(100 * index), "path": f"{name}.flac"}
        if not with_bytes:
            write_wav(folder / f"{name}.wav", 0.01 * (index + 1))
            audio = {"bytes": None, "path": f"{name}.wav"}
        rows.append({"audiocap_id": index, "youtube_id": name, "sound": audio})
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [("audiocap_id", pa.int64()), ("youtube_id", pa.string()), ("sound", kind)]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def _write_shard(path: Path, table: object) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
        return
    writer = pa.ipc.new_file if path.name.startswith("file") else pa.ipc.new_stream
    with writer(str(path), table.schema) as shard:
        shard.write_table(table, max_chunksize=2)


@pytest.mark.parametrize(
    "name",
    [
        "test/data-00000-of-00001.arrow",
        "data-00000-of-00001.arrow",
        "file.arrow",
        "audio_caps-test-00000-of-00001.arrow",
        "data/test-00000-of-00001.parquet",
    ],
)
@pytest.mark.parametrize("with_bytes", [True, False])
def test_the_folders_of_the_datasets_package(tmp_path: Path, name: str, with_bytes: bool) -> None:
    place = tmp_path / "hub"
    shard = place / name
    shard.parent.mkdir(parents=True)
    _write_shard(shard, _table(with_bytes, shard.parent))
    (shard.parent / "cache-0123456789abcdef.arrow").write_text("of a filter")
    if "test" in name:
        (shard.parent / "train-00000-of-00001.parquet").write_text("another split")
    if name.startswith("test/"):
        (shard.parent / "train-00000-of-00001.parquet").unlink()
    found = find(place, WANTED)
    assert [*found.paths] == [f"Y{IDS[0]}", f"Y{IDS[1]}"]
    assert found.reasons == {f"Y{IDS[2]}": f"no row of '{shard.parent}' has its id"}
    assert found.absent == {f"Y{IDS[2]}"}
    levels = [decode(path).samples[0] for path in found.paths.values()]
    # Without bytes the second row of an id names the same file, which the table has overwritten.
    expected = [0, 200 / 32768] if with_bytes else [0.02, 0.03]
    np.testing.assert_allclose(levels, expected, rtol=1e-6)


def test_tables_that_cannot_be_used(tmp_path: Path) -> None:
    import pyarrow as pa

    shard = tmp_path / "hub/data-00000-of-00001.arrow"
    _write_shard(shard, pa.table({"youtube_id": ["x"], "text": ["y"]}))
    with pytest.raises(StabenchError, match="found columns youtube_id, text; needs youtube_id and"):
        find(tmp_path / "hub", WANTED)
    shard.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(StabenchError, match="is not whole") as caught:
        find(tmp_path / "hub", WANTED)
    assert "\n" not in str(caught.value)


def test_what_is_no_wav_is_listed_and_the_other_clips_count(tmp_path: Path) -> None:
    audio = tmp_path / "audio"
    write_wav(audio / f"{IDS[0]}.wav")
    (audio / f"{IDS[1]}.m4a").write_bytes(b"x")
    (audio / f"{IDS[2]}.wav").write_text("<html>not found</html>")
    found = find(audio, WANTED)
    assert ([*found.paths], found.absent) == ([f"Y{IDS[0]}"], set())
    assert "is .m4a, which is not read; make it WAV" in found.reasons[f"Y{IDS[1]}"]
    assert "is no WAV file, whatever its name" in found.reasons[f"Y{IDS[2]}"]
    (audio / f"{IDS[1]}.m4a").rename(audio / f"{IDS[1]}.flac")
    (audio / f"{IDS[2]}.wav").write_bytes(b"")
    reasons = [*find(audio, WANTED).reasons.values()]
    assert "cannot be decoded" in reasons[0]
    assert "the file is empty" in reasons[1]
    assert all("\n" not in reason for reason in reasons)


def test_two_files_for_one_recording_are_not_chosen_between(tmp_path: Path) -> None:
    for name in (*IDS, f"Y{IDS[1]}"):
        write_wav(tmp_path / "audio" / f"{name}.wav")
    found = find(tmp_path / "audio", WANTED)
    assert [*found.reasons] == [f"Y{IDS[1]}"]
    assert found.reasons[f"Y{IDS[1]}"].endswith(
        f"holds {IDS[1]}.wav, Y{IDS[1]}.wav: keep one of them"
    )


def test_what_is_no_file_is_listed_and_nobody_waits(tmp_path: Path) -> None:
    audio = tmp_path / "audio"
    audio.mkdir()
    os.mkfifo(audio / f"{IDS[0]}.wav")
    os.mkfifo(audio / f"{IDS[1]}.flac")
    (audio / f"{IDS[2]}.wav").mkdir()
    reasons = [*find(audio, WANTED).reasons.values()]
    assert ["pipe" in reason for reason in reasons] == [True, True, False]
    assert "it is a folder, not a file" in reasons[2]


def test_a_converted_sound_is_held_to_the_limits_and_named_without_addresses(
    tmp_path: Path,
) -> None:
    audio = tmp_path / "audio"
    audio.mkdir()
    soundfile.write(audio / f"{IDS[0]}.flac", np.zeros(1_000), 500)
    (audio / f"{IDS[1]}.flac").write_bytes(b"fLaC" + bytes(100))
    reasons = [*find(audio, WANTED).reasons.values()]
    assert "its header says 500 Hz, allowed are 1000 to 384000 Hz" in reasons[0]
    assert "cannot be decoded (" in reasons[1]
    assert all(" object at " not in reason for reason in reasons)
