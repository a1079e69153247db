"""Equal sounds under other names: they count once wherever clips are counted."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stabench.harness.compare import read_evidence
from stabench.harness.compare.compare import compare
from stabench.harness.scoring import sanity
from stabench.harness.scoring.evaluation_set import Exam, Item
from stabench.harness.scoring.features import Heard
from stabench.harness.suites import protocols
from tests.harness.fake_run import EMBEDDERS
from tests.harness.scoring.test_score_folders import IDS, captions, score, sounds

COLUMNS = ("fad", "fd", "kl", "is", "clap", "kad")


def write_world(folder: Path) -> Path:
    """12 recordings, the outputs of two systems, and their captions."""
    sounds(folder / "reference")
    sounds(folder / "a", seed=1)
    sounds(folder / "b", seed=2, noise=0.3)
    captions(folder / "captions.csv")
    return folder


def copy_world(world: Path, copies: int = 10) -> Path:
    """The same with each clip under so many names; the first sorts as the original does."""
    folder = world.with_name(f"{world.name}-copied")
    for part in ("reference", "a", "b"):
        (folder / part).mkdir(parents=True)
        for path in (world / part).iterdir():
            for copy in range(copies):
                shutil.copy(path, folder / part / f"{path.stem}-{copy}.wav")
    lines = (world / "captions.csv").read_text().splitlines()
    rows = [line.split(",", 1) for line in lines[1:]]
    table = [f"{name}-{copy},{text}" for name, text in rows for copy in range(copies)]
    (folder / "captions.csv").write_text("\n".join(["id,caption", *table]) + "\n")
    return folder


def score_world(folder: Path, **given: Any) -> dict[str, Any]:
    table = {"captions": folder / "captions.csv", "columns": COLUMNS, **given}
    return score(folder, **table)


def get_ends(cell: dict[str, Any]) -> list[float]:
    return [cell["low"], cell["high"]]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return write_world(tmp_path / "world")


def test_ten_copies_of_each_clip_are_twelve_clips(world):
    """Ends of intervals, p-values, differences and least numbers are those of 12."""
    plain, copied = score_world(world), score_world(copy_world(world))
    for name in ("a", "b"):
        cells, ten = (scores["systems"][name]["cells"] for scores in (plain, copied))
        for column in ("kl", "clap"):
            assert ten[column]["n"] == 120
            assert ten[column]["value"] == pytest.approx(cells[column]["value"])
            assert get_ends(ten[column]) == pytest.approx(get_ends(cells[column]))
        for column in ("fad", "fd"):
            widths = [scores[column]["high"] - scores[column]["low"] for scores in (cells, ten)]
            assert widths[1] == pytest.approx(widths[0], rel=0.15), column
        assert ten["is"]["reason"] == "needs at least 72 clips, has 12 (120 with copies)"
        tests = [scores["systems"][name]["input_dependence"]["kl"] for scores in (plain, copied)]
        assert tests[0]["p_value"] == pytest.approx(tests[1]["p_value"], abs=0.03)
    (plain_kl,), (copied_kl,) = (
        [pair["difference"] for pair in scores["paired"] if pair["column"] == "kl"]
        for scores in (plain, copied)
    )
    assert get_ends(copied_kl) == pytest.approx(get_ends(plain_kl))
    assert (plain["provenance"]["groups"], copied["provenance"]["groups"]) == (12, 12)
    assert not [note for note in plain["notes"] if "equal" in note]
    (note,) = (note for note in copied["notes"] if "equal" in note)
    assert note.startswith(
        "120 clips, 12 different sounds: Y_00-0 and 9 others are equal; so are 11 more sets"
    )


def test_the_permutation_tests_of_sets_exchange_copies_together(world):
    before, now = (
        score_world(folder)["systems"]["a"]["cells"]["kad"]["p_value"]
        for folder in (world, copy_world(world))
    )
    assert before > 0.1
    assert now == pytest.approx(before, abs=0.1)


def test_a_copy_is_the_same_sound_whatever_its_file_is(world):
    """Saved as floats: other bytes, the same samples. One copy alone is named by itself."""
    for part in ("reference", "a", "b"):
        samples, rate_hz = soundfile.read(world / part / "Y_03.wav", dtype="float32")
        soundfile.write(world / part / "again.wav", samples, rate_hz, subtype="FLOAT")
    metrics = score_world(world)
    assert metrics["provenance"]["groups"] == 12
    assert any(
        note.startswith("13 clips, 12 different sounds: Y_03 and 1 other are equal. ")
        for note in metrics["notes"]
    )


def test_copies_of_recordings_are_one_group_though_the_outputs_differ(world):
    """Their values share the recording."""
    shutil.copy(world / "reference" / "Y_00.wav", world / "reference" / "Y_01.wav")
    assert score_world(world)["provenance"]["groups"] == 11


def test_one_sound_under_twelve_names_gives_reasons(world):
    for part in ("reference", "a", "b"):
        for path in (world / part).iterdir():
            if path.stem != "Y_00":
                shutil.copy(world / part / "Y_00.wav", path)
    metrics = score_world(world)
    for cell in metrics["systems"]["a"]["cells"].values():
        assert cell["value"] is None
    cells = metrics["systems"]["a"]["cells"]
    assert cells["kl"]["reason"] == "needs at least 2 clips, has 1 (12 with copies)"
    assert any(note.startswith("12 clips, 1 different sound") for note in metrics["notes"])


def test_one_output_for_many_recordings_makes_no_copies(world):
    """A system that always says the same is still asked twelve different things."""
    for path in (world / "a").iterdir():
        if path.stem != "Y_00":
            shutil.copy(world / "a" / "Y_00.wav", path)
    metrics = score_world(world)
    assert metrics["provenance"]["groups"] == 12
    assert not [note for note in metrics["notes"] if "equal" in note]


def test_outputs_without_recordings_are_copies_by_themselves(world):
    """As a set of its own a clip is its output and caption."""
    copied = copy_world(world, copies=7)
    metrics = score_world(copied, unpaired=True, columns=("is", "clap"))
    cells = metrics["systems"]["a"]["cells"]
    assert cells["is"]["reason"] == "needs at least 72 clips, has 12 (84 with copies)"
    plain = score_world(world, unpaired=True, columns=("is", "clap"))
    ends = get_ends(plain["systems"]["a"]["cells"]["clap"])
    # Recordings are groups of their own there, so that the draws differ.
    width = get_ends(cells["clap"])[1] - get_ends(cells["clap"])[0]
    assert width == pytest.approx(ends[1] - ends[0], rel=0.2)


def test_copies_that_no_clip_names_are_named_as_recordings(world):
    shutil.copytree(world / "reference", world / "more")
    for path in (world / "reference").iterdir():
        shutil.copy(path, world / "more" / f"{path.stem}-x.wav")
    lines = [f"{name},a tone,{name}" for name in IDS]
    table = world / "named.csv"
    table.write_text("\n".join(["id,caption,reference", *lines]) + "\n")
    metrics = score_world(world, reference=world / "more", captions=table)
    assert metrics["provenance"]["groups"] == 12
    assert any(note.startswith("24 recordings, 12 different") for note in metrics["notes"])


def test_no_sound_is_in_both_halves_of_the_recordings(world, monkeypatch):
    """Else the halves would be alike, and the floor too low."""
    halves = []

    def spy(items: dict[str, Item], *given: Any) -> Exam:
        first, second = (
            {name.rpartition("-")[0] for name in names} for names in (given[2].keys, items)
        )
        halves.append((first, second))
        return Exam(items, *given)

    monkeypatch.setattr(sanity, "Exam", spy)
    metrics = score_world(copy_world(world, copies=3))
    ((first, second),) = halves
    assert (len(first), len(second), first & second) == (6, 6, set())
    reason = metrics["sanity"]["other-half"]["cells"]["fd"]["reason"]
    assert reason.startswith("18 clips against 18")


def test_shuffled_copies_are_as_uncertain_as_their_originals(world):
    """No recording is in the place of its copy, and twelve pairs are twelve."""
    rows = [
        score_world(folder)["sanity"]["shuffled"]["cells"]["kl"]
        for folder in (world, copy_world(world))
    ]
    widths = [row["high"] - row["low"] for row in rows]
    assert widths[1] > 0.5 * widths[0]


def test_compare_pairs_groups_of_copies(world, tmp_path):
    copied = copy_world(world)
    runs = []
    for name, folder in (("plain", world), ("copied", copied)):
        for system in ("a", "b"):
            out = tmp_path / f"{name}-{system}"
            score_world(folder, outputs={"x": folder / system}, out=out)
            runs.append(read_evidence.read(out))
    plain, ten = (compare(*pair).systems[0] for pair in (runs[:2], runs[2:]))
    for key in ("kl", "clap"):
        (before,), (now,) = (
            [line.change for line in comparison.lines if line.key == key]
            for comparison in (plain, ten)
        )
        assert now.n == 120
        assert (now.low, now.high) == pytest.approx((before.low, before.high))
        assert (now.p_value, now.least_p) == (before.p_value, before.least_p)


def test_a_broken_recording_leaves_its_clips_to_their_outputs(world):
    """Nothing was heard of the recordings: outputs and captions say what is a copy."""
    keys = {"c0": "same", "c1": "same", "c2": "other", "c3": "same"}
    exam = Exam(
        {
            clip: Item((caption,), (f"r{clip}",))
            for clip, caption in (("c0", "x"), ("c1", "x"), ("c2", "x"), ("c3", "y"))
        },
        protocols.load("pocket", EMBEDDERS),
        {},
        Heard({}, broken={"rc0": "cut"}),
        outputs=(Heard({}, keys),),
    )
    assert exam.groups.clips == {"c0": 0, "c1": 0, "c2": 1, "c3": 2}
    assert np.array_equal(exam.draws.counts.sum(axis=1), np.full(1000, 3))
