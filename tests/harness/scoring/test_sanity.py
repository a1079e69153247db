"""Sanity rows: known sounds, made again here."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import soundfile

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.scoring.evaluation_set import Exam, Item
from stabench.harness.scoring.features import hear, network
from stabench.harness.scoring.sanity import Sanity, generator, shuffled
from stabench.harness.scoring.score import check_networks, score_run, silent
from stabench.harness.scoring.score_systems import Choice, Entrant, sheet
from stabench.harness.suites import protocols
from stabench.metrics.audio import Audio, decode
from tests.harness.fake_run import EMBEDDERS, FakeRun, tone
from tests.harness.scoring.test_score import frechet

COLUMNS = ("fad", "fd", "kl", "is", "clap", "recall")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An exam over 24 clips, its recordings, and the maker of its sanity rows."""
    folder = FakeRun(tmp_path_factory.mktemp("run")).make()
    sounds = {clip.id: lambda path=clip.reference: decode(path) for clip in folder.clips}
    protocol = protocols.load("pocket", EMBEDDERS)
    networks = {role: network(role, rule) for role, rule in protocol.networks.items()}
    references = hear("references", sounds, networks, silent)
    items = {clip.id: Item((clip.caption,), (clip.id,), clip.labels) for clip in folder.clips}
    exam = Exam(items, protocol, networks, references, seed=3, bootstrap=100)
    return exam, sounds, Sanity(exam, sounds, COLUMNS, silent)


def rows_of(made, *names, **given):
    return dict(made[2].rows(names, **given))


def test_half_and_half_is_the_distance_between_two_disjoint_halves(made):
    exam, *_ = made
    row = rows_of(made, "other-half")["other-half"]
    order = shuffled(exam.ids, 3)
    halves = [
        np.concatenate([one.embeddings for one in exam.references.features("fad", half)])
        for half in (order[:12], order[12:])
    ]
    assert row.cells["fad"].value == pytest.approx(frechet(*halves), rel=1e-5)
    assert row.cells["fad"].low >= 0
    assert row.cells["fad"].reason == "12 clips against 12: higher than with all 24"
    assert row.cells["kl"].reason == "a recording against itself is 0"
    assert (row.cells["recall"].n, row.cells["is"].n, row.clips) == (24, 24, 24)


def test_noise_is_as_long_and_as_loud_as_each_recording(made):
    exam, sounds, sanity = made
    made_noise = sanity._make_sounds(sanity._make_noise)
    for clip in exam.ids[:5]:
        recording, noise = sounds[clip](), made_noise[clip]()
        assert (len(noise.samples), noise.rate_hz) == (len(recording.samples), 16_000)
        rms = [np.sqrt(np.mean(np.square(a.samples, dtype=float))) for a in (noise, recording)]
        assert rms[0] == pytest.approx(rms[1], rel=0.05)
        assert np.abs(np.corrcoef(noise.samples, recording.samples)[0, 1]) < 0.05
    assert len({made_noise[clip]().samples.tobytes() for clip in exam.ids}) == 24


def test_noise_of_a_clip_does_not_depend_on_the_others():
    assert generator(1, "a").standard_normal() == generator(1, "a").standard_normal()
    assert generator(1, "a").standard_normal() != generator(1, "b").standard_normal()
    assert generator(1, "a").standard_normal() != generator(2, "a").standard_normal()


def test_known_sounds_are_ordered_as_they_must_be(made):
    rows = rows_of(made, "other-half", "noise", "silence", "shuffled")
    assert rows["other-half"].cells["fad"].value < rows["noise"].cells["fad"].value
    assert rows["silence"].cells["recall"].value == 0
    assert rows["shuffled"].cells["kl"].value > 0
    assert rows["shuffled"].cells["recall"].value < rows["other-half"].cells["recall"].value
    assert rows["shuffled"].cells["fad"].value is None


def test_shuffled_puts_no_recording_in_its_own_place(made):
    exam, *_ = made
    shuffled_row = rows_of(made, "shuffled")["shuffled"].answers
    own, moved = exam.references.keys, shuffled_row._heard.keys
    assert moved.keys() == own.keys()
    assert all(moved[clip] != own[clip] for clip in own)
    assert set(moved.values()) == set(own.values())


def test_the_ceiling_is_a_row_and_recall_is_shown_as_its_share(made):
    exam, sounds, _ = made

    def louder(audio: Audio) -> Audio:
        return Audio(audio.samples * np.float32(1.5), audio.rate_hz)

    choice = Choice(COLUMNS, (), louder)
    metrics = sheet(
        exam, [Entrant("quiet", "", "unstated", sounds)], sounds, choice, silent
    ).content
    top = metrics.sanity["ceiling"].cells["recall"].value
    cells = metrics.systems["quiet"].cells
    assert 0 < cells["recall"].value < top <= 1
    share = cells["ceiling_share"]
    assert share.value == pytest.approx(cells["recall"].value / top)
    assert share.low <= share.value <= share.high


def test_the_floor_is_another_sound_of_each_clip_measured_like_a_system(made):
    exam, sounds, _ = made
    asked = []

    def again(clip: str) -> Audio:
        asked.append(clip)
        events = exam.items[clip].labels
        return Audio(tone(events, np.random.default_rng(generator(5, clip))), 16_000)

    entrants = [Entrant("good", "", "unstated", {clip: partial(again, clip) for clip in exam.ids})]
    choice = Choice(COLUMNS, ("silence",), floor=again)
    metrics = sheet(exam, entrants, sounds, choice, silent).content
    assert list(metrics.sanity) == ["floor", "silence"]
    row = metrics.sanity["floor"]
    assert (row.label, row.n) == ("Perfect generator (same scenes, new seeds)", 24)
    assert sorted(set(asked)) == exam.ids
    cells = metrics.systems["good"].cells
    assert {column: cells[column] for column in COLUMNS} == row.cells
    assert row.cells.pop("is").reason == "needs at least 72 clips, has 24"
    assert all(cell.low is not None for cell in row.cells.values())


def test_the_floor_of_a_recording_is_that_of_its_first_clip(made):
    exam, _, sanity = made
    items = {f"{name}-{k}": Item(references=(name,)) for name in exam.recordings for k in "ab"}
    shared = replace(sanity, exam=replace(exam, items=items, _kept={}))
    assert shared._clips == {name: f"{name}-a" for name in exam.recordings}


def test_too_few_recordings_for_halves(tmp_path):
    folder = FakeRun(tmp_path, n=3, metrics={"sanity": ["other-half"]}).make()
    cells = json.loads(score_run(folder.path).read_text())["sanity"]["other-half"]["cells"]
    assert cells["fad"]["reason"] == "needs at least 2 recordings in each half, has 1"


def test_a_broken_recording_is_in_no_sanity_row(tmp_path):
    folder = FakeRun(tmp_path, n=12, metrics={"sanity": ["noise"]}).make()
    samples, _ = soundfile.read(folder.clips[0].reference, dtype="float32")
    soundfile.write(folder.clips[0].reference, samples[:0], 16_000, subtype="FLOAT")
    metrics = json.loads(score_run(folder.path).read_text())
    assert metrics["sanity"]["noise"]["n"] == 11
    assert metrics["references"]["n"] == 11
    assert metrics["systems"]["star"]["cells"]["clap"]["n"] == 12


def test_a_suite_s_floor_is_called_by_name_and_a_wrong_name_stops_before_the_run(tmp_path):
    module = tmp_path / "floor_for_test.py"
    module.write_text(
        "import numpy as np\nfrom stabench.metrics.audio import Audio\n"
        "def hum(clip):\n    tone = np.sin(np.arange(8000) * 0.1 * (1 + len(clip)))\n"
        "    return Audio(tone.astype(np.float32), 16000)\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        folder = FakeRun(tmp_path, n=4, metrics={"floor": f"{module.stem}:hum"}).make()
        check_networks(folder.path)
        sanity = json.loads(score_run(folder.path).read_text())["sanity"]
        assert (list(sanity), sanity["floor"]["n"]) == (["floor"], 4)
        wrong = FakeRun(tmp_path / "b", n=4, metrics={"floor": f"{module.stem}:hmm"}).make()
        with pytest.raises(StabenchError, match="unknown attribute 'hmm'; did you mean 'hum'"):
            check_networks(wrong.path)


def test_a_ceiling_without_its_weights_ends_in_one_line(tmp_path):
    module = tmp_path / "ceiling_for_test.py"
    module.write_text("def absent(audio):\n    raise FileNotFoundError('no vae.safetensors')\n")
    metrics = {"ceiling": f"{module.stem}:absent"}
    folder = FakeRun(tmp_path, n=4, metrics=metrics).make()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        with pytest.raises(MissingError, match=r"scoring: no vae\.safetensors"):
            score_run(folder.path)
