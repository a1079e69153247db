"""The shipped models: small enough, whole, deterministic, and good enough to be worth comparing."""

from contextlib import contextmanager

import numpy as np
import pytest

from stabench.metrics.audio import decode, load
from stabench.metrics.recall import event_recall
from stabench.pocket import ceiling, embedders, systems
from stabench.pocket.configs import WEIGHTS
from stabench.pocket.sounds.events import LABELS
from stabench.systems.contract import Utterance

FACTORIES = {
    "cascade": systems.cascade,
    "cascade-pocketsphinx": systems.cascade_pocketsphinx,
    "oracle": systems.oracle,
    "star": systems.star,
    "star-nobridge": systems.star_nobridge,
    "star-dac": systems.star_dac,
}
STAGES = {
    "cascade": ["asr.encode", "asr.decode", "text_encoder", "sampler", "decoder"],
    "cascade-pocketsphinx": ["asr.decode", "text_encoder", "sampler", "decoder"],
    "oracle": ["text_encoder", "sampler", "decoder"],
    "star": ["speech_encoder", "bridge", "sampler", "decoder"],
    "star-nobridge": ["speech_encoder", "sampler", "decoder"],
    "star-dac": ["speech_encoder", "bridge", "sampler", "decoder"],
}
SINGLE_EVENTS = slice(0, 36, 3)


class Spans:
    """Remembers the stages that a system marks."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @contextmanager
    def __call__(self, name: str):
        self.names.append(name)
        yield


@pytest.fixture(scope="module")
def loaded():
    """Systems by name, each loaded once."""
    kept = {}

    def get(name: str):
        if name not in kept:
            kept[name] = FACTORIES[name]()
            kept[name].load("cpu", "float32")
        return kept[name]

    return get


@pytest.fixture(scope="module")
def tagger():
    network = embedders.cnn14()
    network.load("cpu")
    return network


def utterance(clip, system) -> Utterance:
    samples, rate_hz = decode(clip.speech)
    return Utterance(clip.id, samples, rate_hz, clip.caption if system.reads_caption else None)


def spoken(system, clips, spans=None):
    spans = spans or Spans()
    return [system.represent(utterance(clip, system), spans) for clip in clips]


def heard(tagger, sounds, clips):
    """Event recall [N] and the rate of false alarms of the tagger on waveforms."""
    logits = np.stack([each.logits for each in tagger.embed(sounds)])
    labels = np.array([[label in clip.labels for label in LABELS] for clip in clips])
    recall = event_recall(logits, tagger.thresholds, labels)
    absent = ~labels
    alarms = (logits >= tagger.thresholds) & absent
    return recall.mean(), np.mean(alarms.sum(axis=1) / absent.sum(axis=1))


def test_weights_are_small():
    sizes = [path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(sizes) <= 40_000_000
    assert max(sizes) <= 15_000_000


def test_the_card_names_every_weights_file():
    card = (WEIGHTS / "README.md").read_text()
    for path in WEIGHTS.rglob("*"):
        if path.suffix in {".safetensors", ".arpa", ".dict"}:
            assert str(path.relative_to(WEIGHTS)) in card, path


@pytest.mark.parametrize("name", FACTORIES)
def test_system_speaks_the_contract(name, loaded, pocket_clips):
    system, spans, clip = loaded(name), Spans(), pocket_clips[1]
    [representation] = spoken(system, [clip], spans)
    [sound] = system.generate([representation], [7], spans)
    assert spans.names == STAGES[name]
    assert sound.rate_hz == system.sample_rate == 16_000
    assert sound.samples.shape == (64_000,)
    assert sound.samples.dtype == np.float32
    assert np.isfinite(sound.samples).all()
    assert sound.samples.std() > 1e-3


@pytest.mark.parametrize(
    "name",
    ["star", *(pytest.param(n, marks=pytest.mark.slow) for n in ("oracle", "star-nobridge"))],
)
def test_a_batch_of_8_equals_8_batches_of_1(name, loaded, pocket_clips):
    system, clips, seeds = loaded(name), pocket_clips[:8], list(range(8))
    representations = spoken(system, clips)
    together = system.generate(representations, seeds, Spans())
    for index, one in enumerate(representations):
        [alone] = system.generate([one], [seeds[index]], Spans())
        assert np.abs(alone.samples - together[index].samples).max() <= 1e-4


def test_same_seed_same_sound_other_seed_other_sound(loaded, pocket_clips):
    system = loaded("star")
    [clip] = spoken(system, pocket_clips[:1])
    first, again, other = (system.generate([clip], [s], Spans())[0].samples for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 1e-2


def test_the_cascade_hears_most_words(loaded, pocket_clips):
    import jiwer

    clips = pocket_clips[:16]
    texts = [each.text for each in spoken(loaded("cascade"), clips)]
    assert jiwer.wer([clip.caption for clip in clips], texts) < 0.4


def test_the_tagger_finds_events_in_recordings_and_none_in_noise(tagger, pocket_clips):
    sounds = [load(clip.reference, 16_000) for clip in pocket_clips]
    recall, alarms = heard(tagger, sounds, pocket_clips)
    assert recall >= 0.88
    assert alarms <= 0.05
    rng = np.random.default_rng(0)
    noise = [(0.1 * rng.standard_normal(64_000)).astype(np.float32) for _ in range(40)]
    assert heard(tagger, noise, pocket_clips[:40])[0] <= 0.1
    assert heard(tagger, [0 * each for each in noise], pocket_clips[:40])[0] <= 0.1


def test_the_autoencoder_keeps_what_is_heard(tagger, pocket_clips):
    clips = pocket_clips[SINGLE_EVENTS]
    sounds = [ceiling.autoencoded(decode(clip.reference)).samples for clip in clips]
    assert heard(tagger, sounds, clips)[0] >= 0.8


@pytest.mark.parametrize("name", ["oracle", "star"])
def test_generated_sound_holds_what_was_asked_for(name, loaded, tagger, pocket_clips):
    system, clips = loaded(name), pocket_clips[SINGLE_EVENTS]
    sounds = system.generate(spoken(system, clips), list(range(len(clips))), Spans())
    recall, _ = heard(tagger, [sound.samples for sound in sounds], clips)
    assert recall >= 0.6


def test_clap_prefers_the_right_caption(pocket_clips):
    network = embedders.clap()
    network.load("cpu")
    clips = pocket_clips[:48]
    sound = np.concatenate(
        [each.embeddings for each in network.embed([decode(c.reference).samples for c in clips])]
    )
    cosine = network.embed_text([clip.caption for clip in clips]) @ sound.T
    matched = np.diag(cosine).mean()
    shuffled = (cosine.sum() - np.trace(cosine)) / (cosine.size - len(clips))
    assert matched - shuffled >= 0.25
