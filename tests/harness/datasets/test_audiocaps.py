"""AudioCaps: the official CSV, the layouts people have, and every clip that cannot be had."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stabench.harness import registry
from stabench.harness.datasets.audiocaps import audiocaps
from stabench.harness.datasets.dataset import Dataset
from stabench.harness.datasets.tango_subset import LEFT_OUT
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.runner.plan import begin
from stabench.harness.runs.run_folder import Request, RunFolder
from stabench.harness.scoring.evaluation_set import Item
from stabench.harness.suites.suite import load
from stabench.metrics.audio import encode

HEAD = "audiocap_id,youtube_id,start_time,caption\n"
IDS = ("-aaaaaaaaaa", "Ybbbbbbbbb_", "c_ccccccc-1")
STARTS = (30, 0, 120)


def _rows() -> list[str]:
    """Five captions of each recording, interleaved as in the official file."""
    return [
        f'{100 + 10 * take + index},{name},{STARTS[index]},"sound {index}, take {take}"'
        for take in range(5)
        for index, name in enumerate(IDS)
    ]


@pytest.fixture
def csv(tmp_path: Path) -> Callable[..., str]:
    """Writes a CSV of rows; returns its path."""

    def write(rows: list[str] | None = None, head: str = HEAD) -> str:
        path = tmp_path / "test.csv"
        path.write_text(head + "\n".join(_rows() if rows is None else rows) + "\n", "utf-8")
        return str(path)

    return write


def _wav(path: Path, level: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(np.full(800, level, np.float32), 16_000))
    return path


@pytest.fixture
def speech(tmp_path: Path) -> str:
    """A WAV for each recording, named by id."""
    for name in IDS:
        _wav(tmp_path / "speech" / f"{name}.wav")
    return str(tmp_path / "speech")


def _ids(dataset: Dataset) -> list[str]:
    return [clip.id for clip in dataset.clips]


def test_one_clip_a_recording_with_its_first_caption_in_the_order_of_the_file(
    csv: Callable[..., str], speech: str
) -> None:
    dataset = audiocaps(csv(), speech=speech)
    assert _ids(dataset) == [f"Y{name}" for name in IDS]
    assert [clip.caption for clip in dataset.clips] == [f"sound {n}, take 0" for n in range(3)]
    assert [clip.speech for clip in dataset.clips] == [Path(speech, f"{n}.wav") for n in IDS]
    assert {clip.judged_by for clip in dataset.clips} == {()}
    assert {clip.reference for clip in dataset.clips} == {None}
    assert (dataset.name, dataset.missing, dataset.prepare) == ("audiocaps", (), None)


def test_recordings_are_references_and_clips_without_one_are_missing(
    csv: Callable[..., str], speech: str, tmp_path: Path
) -> None:
    audio = tmp_path / "audio"
    for name in (IDS[2], f"Y{IDS[0]}"):
        _wav(audio / f"{name}.wav")
    dataset = audiocaps(csv(), audio=str(audio), speech=speech)
    assert [clip.reference.name for clip in dataset.clips] == [f"Y{IDS[0]}.wav", f"{IDS[2]}.wav"]
    assert dataset.missing == ((f"Y{IDS[1]}", f"no recording in '{audio}'"),)


def test_speech_by_number_is_that_of_the_spoken_caption_alone(
    csv: Callable[..., str], tmp_path: Path
) -> None:
    for number in (100, 110, 101, 112):
        _wav(tmp_path / "spoken" / f"{number}.wav")
    dataset = audiocaps(csv(), speech=str(tmp_path / "spoken"))
    assert [clip.speech.stem for clip in dataset.clips] == ["100", "101"]
    assert dataset.missing == ((f"Y{IDS[2]}", f"no recording in '{tmp_path / 'spoken'}'"),)


def test_flawed_rows_cost_their_own_clip(csv: Callable[..., str], speech: str) -> None:
    good = "0,goodgoodgoo,1,rain"
    flaws = {
        "1,aaaaaaaaaaa,5,": "its first caption (audiocap_id 1) is empty",
        "11,iiiiiiiiiii,5,\u200b": "its first caption (audiocap_id 11) is empty",
        "2,bbbbbbbbbbb,5,x\n2,ccccccccccc,5,y": "audiocap_id 2 stands in 2 rows",
        "3,ddddddddddd,5,a dog, barking": "line 2: too many fields: 5, expected 4",
        "4,eeeeeeeeeee,5,x\n5,eeeeeeeeeee,6,y": "it has 2 start times (5, 6)",
        "6,../../../etc,5,x": "is not 11 letters",
        "7,fffffffffff": "line 2: too few fields: 2, expected 4",
        "8,hhhhhhhhhhh,5,x\n9,hhhhhhhhhhh,5,a dog, barking": "line 3: too many fields: 5",
    }
    for rows, reason in flaws.items():
        for name in ("goodgoodgoo", *(row.split(",")[1] for row in rows.split("\n"))):
            if "/" not in name:
                _wav(Path(speech) / f"{name}.wav")
        dataset = audiocaps(csv([*rows.split("\n"), good]), speech=speech)
        assert _ids(dataset) == ["Ygoodgoodgoo"]
        assert dataset.missing
        assert all(reason in absent.reason for absent in dataset.missing), rows


@pytest.mark.parametrize(
    ("head", "rows", "line"),
    [
        (
            "id,caption\n",
            ["1,x"],
            "found columns id, caption; needs columns audiocap_id",
        ),
        (HEAD, ['1,aaaaaaaaaaa,5,"x'], "line 2: a quote .* is never closed"),
    ],
)
def test_a_csv_that_is_none(
    csv: Callable[..., str], speech: str, head: str, rows: list[str], line: str
) -> None:
    with pytest.raises(StabenchError, match=line) as caught:
        audiocaps(csv(rows, head), speech=speech)
    assert "\n" not in str(caught.value)


def test_nothing_at_all_is_missing(csv: Callable[..., str], tmp_path: Path, speech: str) -> None:
    _wav(tmp_path / "audio/other.wav")
    with pytest.raises(MissingError, match=r"none of 3 clips can be had \(first: Y-a+: no"):
        audiocaps(csv(), str(tmp_path / "audio"), speech)
    for audio in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(MissingError, match="recordings '"):
            audiocaps(csv(), str(audio), speech)
    with pytest.raises(MissingError, match=r"none\.csv': no such file"):
        audiocaps(str(tmp_path / "none.csv"), speech=speech)


def test_options_that_do_not_go_together(csv: Callable[..., str], speech: str) -> None:
    with pytest.raises(StabenchError, match="neither speech nor voice is given"):
        audiocaps(csv())
    with pytest.raises(StabenchError, match="unknown captions 'al'; did you mean 'all'"):
        audiocaps(csv(), speech=speech, captions="al")
    with pytest.raises(StabenchError, match="give one of them"):
        audiocaps(csv(), speech=speech, captions="all", reference_captions="x.csv")
    with pytest.raises(StabenchError, match="unknown subset 'tngo'; did you mean 'tango'"):
        audiocaps(csv(), speech=speech, subset="tngo")


def test_spoken_and_judging_captions_are_separate(
    csv: Callable[..., str], speech: str, tmp_path: Path
) -> None:
    every = audiocaps(csv(), speech=speech, captions="all").clips[1]
    assert every.caption == "sound 1, take 0"
    assert every.judged_by == tuple(f"sound 1, take {take}" for take in range(5))
    mine = tmp_path / "mine.csv"
    mine.write_text(f"youtube_id,caption\n{IDS[0]},a hum\nY{IDS[1]},two\n{IDS[1]}_0.wav,three\n")
    dataset = audiocaps(csv(), speech=speech, reference_captions=str(mine))
    assert [clip.judged_by for clip in dataset.clips] == [("a hum",), ("two", "three")]
    assert dataset.missing == ((f"Y{IDS[2]}", "the reference captions have none for it"),)
    mine.write_text(f"youtube_id,caption\n{IDS[0]},a hum\n{IDS[0]},a dog, barking\n")
    with pytest.raises(StabenchError, match="line 3: too many fields: 3, expected 2"):
        audiocaps(csv(), speech=speech, reference_captions=str(mine))


def test_tangos_list_gives_a_subset_and_its_captions(
    csv: Callable[..., str], speech: str, tmp_path: Path
) -> None:
    listed = tmp_path / "subset.json"
    rows = [
        {"dataset": "audiocaps", "location": f"/d/{IDS[n]}_{STARTS[n]}.wav", "captions": f"t{n}"}
        for n in (2, 1)
    ]
    listed.write_text("".join(json.dumps(row) + "\n" for row in rows))
    dataset = audiocaps(csv(), speech=speech, subset=str(listed), reference_captions=str(listed))
    assert _ids(dataset) == [f"Y{IDS[1]}", f"Y{IDS[2]}"]
    assert [(clip.caption, clip.judged_by) for clip in dataset.clips] == [
        ("sound 1, take 0", ("t1",)),
        ("sound 2, take 0", ("t2",)),
    ]
    # A separator of lines within a text is a part of it.
    rows[0]["captions"] = "rain\u2028on a\x85roof"
    listed.write_text("".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows))
    dataset = audiocaps(csv(), speech=speech, reference_captions=str(listed))
    assert dataset.clips[1].judged_by == ("rain\u2028on a\x85roof",)
    listed.write_text('{"location": "x"}\n')
    line = "line 1: key 'captions' is missing; needs keys location, captions"
    with pytest.raises(StabenchError, match=line):
        audiocaps(csv(), speech=speech, subset=str(listed))


def test_a_subset_by_a_file_of_ids(csv: Callable[..., str], speech: str, tmp_path: Path) -> None:
    ids = tmp_path / "some.txt"
    ids.write_text(f"{IDS[2]}\nY{IDS[1]}.wav\n{IDS[0]}_30\n")
    dataset = audiocaps(csv(), speech=speech, subset=str(ids))
    assert (dataset.name, _ids(dataset)) == ("audiocaps-some", [f"Y{name}" for name in IDS])
    ids.write_text("zzzzzzzzzzz\n")
    with pytest.raises(StabenchError, match=r"1 of 1 ids are not in the CSV \(first: z+\)"):
        audiocaps(csv(), speech=speech, subset=str(ids))
    ids.write_text("not an id\n")
    with pytest.raises(StabenchError, match="line 1: 'not an id' holds no YouTube id"):
        audiocaps(csv(), speech=speech, subset=str(ids))


def test_tangos_subset_is_the_test_set_without_89_clips(
    csv: Callable[..., str], tmp_path: Path
) -> None:
    assert len(LEFT_OUT) == 975 - 886
    assert all(len(name) == 11 for name in LEFT_OUT)
    out = sorted(LEFT_OUT)[0]
    rows = [f"1,{IDS[0]},5,x", f"2,{out},5,y"]
    for name in (IDS[0], out):
        _wav(tmp_path / "both" / f"{name}.wav")
    dataset = audiocaps(csv(rows), speech=str(tmp_path / "both"), subset="tango")
    assert (dataset.name, _ids(dataset)) == ("audiocaps-tango", [f"Y{IDS[0]}"])


def test_the_version_follows_clips_and_captions(
    csv: Callable[..., str], speech: str, tmp_path: Path
) -> None:
    first = audiocaps(csv(), speech=speech)
    assert audiocaps(csv(), speech=speech) == first
    versions = {first.version, audiocaps(csv(), speech=speech, captions="all").version}
    Path(speech, f"{IDS[2]}.wav").unlink()
    versions.add(audiocaps(csv(), speech=speech).version)
    versions.add(
        audiocaps(csv([row.replace("sound", "noise") for row in _rows()]), speech=speech).version
    )
    assert len(versions) == 4
    assert all(len(version) == 12 for version in versions)


def test_a_run_keeps_what_is_missing_and_which_captions_judge(
    csv: Callable[..., str], speech: str, tmp_path: Path
) -> None:
    Path(speech, f"{IDS[0]}.wav").unlink()
    dataset = {"csv": csv(), "speech": speech, "captions": "all"}
    lines = ['name = "small"', "[dataset]", 'use = "audiocaps"']
    lines += [f"{key} = {json.dumps(value)}" for key, value in dataset.items()]
    lines += ["[[system]]", 'name = "a"', 'use = "recorded"', 'options = { directory = "x" }']
    (tmp_path / "small.toml").write_text("\n".join(lines))
    made = begin(str(tmp_path / "small.toml"), Request(limit=1), tmp_path / "runs")
    folder = RunFolder.open(made.path)
    [clip] = folder.clips
    assert clip.judged_by == tuple(f"sound 1, take {take}" for take in range(5))
    assert folder.dataset.missing == ((f"Y{IDS[0]}", f"no recording in '{speech}'"),)


def test_transcripts_are_compared_with_what_was_said() -> None:
    assert Item(("a", "b"), spoken="c").said == "c"
    assert Item(("a", "b")).said == "a"
    assert Item().said is None


def test_both_suites_are_valid() -> None:
    folder = Path(registry.__file__).parent / "suites"
    table2 = load(str(folder / "table2.toml"))
    assert {system.paradigm for system in table2.systems} == {"cascade", "end-to-end", "oracle"}
    assert table2.metrics.protocol == "paper"
    latency = load(str(folder / "latency.toml"))
    assert latency.metrics.columns == ()
    assert all(system.options["weights"] == "random" for system in latency.systems)
    for suite in (table2, latency):
        for system in suite.systems:
            if system.use == "star":
                made = registry.attribute(registry.target("systems", "star"))(
                    **{"config": {}, **system.options}
                )
                assert made.sample_rate == 24_000
