"""Folders of --sound-from: known by their sounds, and never passed over in silence."""

import json
import shutil
from pathlib import Path

import pytest

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.report.report import report
from stabench.harness.scoring.score import score_folders
from stabench.harness.suites import protocols
from tests.harness.fake_run import EMBEDDERS, FakeRun, tone, write_wav
from tests.harness.report.html.pages import html, made
from tests.harness.report.html.parsed import parsed

N = 6
SYSTEMS = ("cascade", "star")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with `reference`, `outputs/<system>` and their `scores`; star lacks a clip."""
    root = tmp_path_factory.mktemp("scored")
    run = FakeRun(root, n=N).make()
    for name in SYSTEMS:
        shutil.copytree(run.path / "audio" / name, root / "outputs" / name)
    (root / "outputs" / "star" / "clip003.wav").unlink()
    score(root)
    return root


def score(root: Path, **how: bool) -> Path:
    outputs = {name: root / "outputs" / name for name in SYSTEMS}
    wanted = protocols.load("pocket", EMBEDDERS)
    score_folders(
        root / "reference", outputs, None, root / "scores", wanted, bootstrap=100, sanity=(), **how
    )
    return root / "scores"


@pytest.fixture
def copy(scored: Path, tmp_path: Path) -> Path:
    """The same root, to be changed."""
    shutil.copytree(scored, tmp_path / "root")
    return tmp_path / "root"


def heard(root: Path, *given: object) -> tuple[dict[str, list[str]], str]:
    """Which clips sound, by role, in the page of the scores; what it says about its sounds."""
    page = parsed(html(root / "scores", sound_from=[Path(str(each)) for each in given]))
    clips = json.loads(page.one("script", id="view").text)["clips"]
    sounding: dict[str, list[str]] = {}
    for index, clip in enumerate(clips):
        if not clip["sound"]:
            continue
        sounds = json.loads(page.one("script", id=f"sound-{index}").text)
        roles = {"speech": sounds["speech"], "reference": sounds["reference"]}
        roles |= dict(zip(SYSTEMS, sounds["outputs"], strict=True))
        for role, sound in roles.items():
            if sound["data"]:
                sounding.setdefault(role, []).append(clip["id"])
    return sounding, page.one("section", id="clips").text


ALL = [f"clip{number:03}" for number in range(1, N + 1)]
STAR = [clip for clip in ALL if clip != "clip003"]


@pytest.mark.parametrize(
    "given",
    [
        ("{root}/outputs", "{root}/reference"),
        ("{root}/outputs/star", "{root}/reference", "{root}/outputs/cascade"),
        (
            "star={root}/outputs/star",
            "cascade={root}/outputs/cascade",
            "reference={root}/reference",
        ),
    ],
)
def test_the_sounds_of_scored_folders_are_found_by_what_they_are(scored, given):
    sounding, said = heard(scored, *(text.format(root=scored) for text in given))
    assert sounding == {"cascade": ALL, "star": STAR, "reference": ALL}
    assert "not used" not in said
    assert "Sounds here are previews, MP3 and so not exact; the WAV files that were scored" in said


def test_a_folder_s_name_says_nothing_against_its_sounds(copy):
    (copy / "outputs" / "star").rename(copy / "outputs" / "cascade2")
    (copy / "outputs" / "cascade").rename(copy / "star")
    sounding, _ = heard(copy, copy / "outputs" / "cascade2", copy / "star")
    assert sounding == {"cascade": ALL, "star": STAR}


def test_sounds_that_were_not_scored_are_not_in_the_page_and_the_line_says_so(copy):
    path = copy / "outputs" / "star" / "clip001.wav"
    shutil.copy(copy / "outputs" / "cascade" / "clip001.wav", path)
    sounding, said = heard(copy, f"star={path.parent}")
    assert sounding == {}
    assert "Folder star=star is not used: not the outputs of star that were scored (their" in said
    assert str(copy) not in said
    _, said = heard(copy, path.parent)
    assert "Folder star is not used: neither outputs nor recordings that were scored" in said


def test_other_recordings_are_not_in_the_page(copy, rng):
    write_wav(copy / "reference" / "clip002.wav", tone(("low",), rng))
    sounding, said = heard(copy, copy / "outputs", f"reference={copy / 'reference'}")
    assert sounding == {"cascade": ALL, "star": STAR}
    assert "not the recordings that were scored" in said


@pytest.fixture
def rng():
    import numpy as np

    return np.random.default_rng(0)


def test_speech_is_taken_by_its_name_and_not_through_links_that_lead_out(copy, rng):
    for clip in ALL:
        write_wav(copy / "speech" / f"{clip}.wav", tone(("high",), rng))
    secret = write_wav(copy / "home" / "secret.wav", tone(("low",), rng))
    (copy / "speech" / "clip002.wav").unlink()
    (copy / "speech" / "clip002.wav").symlink_to(secret)
    (copy / "speech").rename(copy / "spoken")
    assert heard(copy, copy / "spoken")[0] == {}
    sounding, said = heard(copy, f"speech={copy / 'spoken'}")
    assert sounding == {"speech": [clip for clip in ALL if clip != "clip002"]}
    assert "not used" not in said
    (copy / "spoken").rename(copy / "speech")
    assert heard(copy, copy / "speech")[0] == sounding
    assert "no file in it is named as a clip" in heard(copy, f"speech={copy / 'home'}")[1]


def test_sets_have_their_outputs_and_no_recordings(copy):
    score(copy, unpaired=True, replace=True)
    sounding, said = heard(copy, copy / "outputs", copy / "reference")
    assert "reference" not in sounding
    assert "Folder reference is not used: neither outputs nor recordings" in said


def test_without_folders_the_page_says_how_to_give_them(scored):
    sounding, said = heard(scored)
    assert sounding == {}
    assert "Scores of folders keep no sound; stabench report SCORES --sound-from DIR" in said


def test_what_is_of_no_use_is_one_line_on_standard_error(copy, capsys):
    (copy / "empty").mkdir()
    given = [copy / "outputs", copy / "empty", Path(f"star={copy / 'reference'}")]
    report(copy / "scores", sound_mb=1, sound_from=given)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"--sound-from {copy / 'empty'}: not used, no .wav file in it, and no folder of WAVs named "
        "as a system",
        f"--sound-from star={copy / 'reference'}: not used, not the outputs of star that were "
        "scored (their sha256 differs)",
    ]


def test_names_and_places_that_are_wrong_are_refused_before_anything_is_written(copy):
    def refuse(text: str, error: type[Exception], words: str, mb: float | None = 1) -> None:
        with pytest.raises(error, match=words):
            report(copy / "scores", sound_mb=mb, sound_from=[Path(text)])

    refuse(f"stra={copy}", StabenchError, "unknown name 'stra'.*star")
    refuse(f"star={copy}/gone", MissingError, "no such folder; give a folder of WAVs, or NAME=DIR")
    for mb in (None, 0):
        refuse(str(copy), StabenchError, "leave out --no-html or --sound-mb 0", mb)
    assert not list((copy / "scores").glob("report.*"))
    (copy / "a=b").mkdir()
    assert "no .wav file in it" in heard(copy, copy / "a=b")[1]


def test_a_run_says_which_folders_hold_nothing_of_it(tmp_path, capsys):
    run = made(tmp_path, scored=False, n=2).path
    (tmp_path / "other").mkdir()
    given = [tmp_path / "reference", tmp_path / "other", Path(f"star={run / 'audio' / 'star'}")]
    report(run, sound_mb=1, sound_from=given)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2] for line in lines] == [
        "not used, no speech and no recording of the run lies there",
        "not used, the outputs of a run lie in its own folder",
    ]
