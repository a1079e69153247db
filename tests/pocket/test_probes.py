"""Table 1 in small: its corpus, its encoders, and that the suite names them."""

import numpy as np
import pytest

from stabench.harness.reproduce.paper import FOLDER, read
from stabench.harness.reproduce.probe_cells import list_published
from stabench.harness.suites import probes
from stabench.pocket import probe_encoders
from stabench.pocket.probe_corpus import CAPTIONS, PocketCorpus
from stabench.pocket.scenes import items
from stabench.pocket.sounds.events import LABELS

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
ENCODERS = {
    "clap": probe_encoders.ClapText,
    "t5": probe_encoders.TextStates,
    "hubert": probe_encoders.hubert,
    "wavlm": probe_encoders.wavlm,
    "dac": probe_encoders.codec,
}


@pytest.fixture(scope="module")
def corpus(pocket_set):
    return PocketCorpus(train=4, validation=2)


def test_the_suite_has_the_papers_encoders_and_bridges_in_small():
    suite = probes.load("pocket-table1")
    suite.check_names()
    assert [use.name for use in suite.encoders] == [*ENCODERS]
    published = list_published(read(FOLDER / "star-table1.toml"), suite)
    assert len(published) == 10


def test_the_corpus_speaks_the_first_captions_of_the_training_clips(corpus):
    split = corpus.read("train")
    listed = items("train", 4, CAPTIONS)
    assert split.ids == tuple(item.id for item in listed)
    for row, item in zip(split.labels, listed, strict=True):
        assert {LABELS[column] for column in np.flatnonzero(row)} == {*item.scene.events}
    assert corpus.version == PocketCorpus(train=4, validation=2).version
    assert corpus.version != PocketCorpus(train=2, validation=2).version


def test_the_test_split_is_the_test_set(corpus, pocket_clips):
    split = corpus.read("test")
    assert split.ids == tuple(clip.id for clip in pocket_clips)
    assert split.labels.shape == (144, 20)
    assert split.labels.any(axis=0).all()


@pytest.mark.parametrize("name", ENCODERS)
def test_frames_are_finite_and_do_not_depend_on_the_batch(name, corpus):
    encoder = ENCODERS[name]()
    encoder.load("cpu")
    spoken = corpus._speak("validation")
    clips = spoken.texts if encoder.reads == "captions" else [spoken.read(i) for i in range(2)]
    rows = [row for (row,) in encoder.encode(list(clips))]
    assert all(np.isfinite(row).all() for row in rows)
    assert {row.shape[1] for row in rows} == {128 if name == "clap" else 192}
    for clip, row in zip(clips, rows, strict=True):
        [(alone,)] = encoder.encode([clip])
        np.testing.assert_allclose(row, alone, rtol=0, atol=1e-4)
    assert len(rows[0]) == 1 if name == "clap" else len(rows[0]) > 1


def test_a_corpus_too_small_is_refused():
    with pytest.raises(ValueError, match="train is 1, allowed is 2 or more"):
        PocketCorpus(train=1)
