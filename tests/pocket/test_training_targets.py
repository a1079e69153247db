"""What the networks of the pocket are taught: phonemes, words, and what happens in which order."""

import numpy as np
import pytest
import torch
from torch import nn

from stabench.pocket.captions import every_word
from stabench.pocket.scenes import RELATIONS, Item
from stabench.pocket.sounds.events import LABELS
from stabench.pocket.sounds.scene import Scene
from stabench.pocket.training import bridge, recogniser
from stabench.pocket.training.corpus import Corpus, Utterances, multi_hot
from stabench.pocket.training.hearing import FRAME_S, Phonemes, encode_speech
from stabench.pocket.training.tagger import VggishClassifier, _start_at_unit_scale
from stabench.systems.training.data import TensorFrames
from stabench.systems.training.workplace import Workplace

SCENES = (Scene(("dog", "rain"), "then", 1), Scene(("rain", "dog"), "then", 2))
LISTED = [
    Item(str(number), scene, ("a dog barks then rain falls", "rain falls"), 0)
    for number, scene in enumerate(SCENES)
]
MARKS = [[(0.1, "word", "a"), (0.1, "phoneme", "a#"), (0.2, "phoneme", "d")], [], [], []]


@pytest.fixture
def data():
    labels = torch.from_numpy(multi_hot([scene.events for scene in SCENES]))
    spoken = Utterances(np.zeros(0, np.int16), np.zeros(5, int), MARKS)
    return Corpus(torch.zeros(2, 8, dtype=torch.int16), labels, LISTED, spoken)


def test_a_phoneme_lasts_until_the_next_begins(data):
    phonemes = Phonemes(data.utterances)
    assert len(phonemes) == 3
    rows = phonemes.rows(np.array([0]), np.ones(1), 8)[0].tolist()
    first, second = int(0.1 / FRAME_S), int(0.2 / FRAME_S)
    assert rows == [0] * first + [1] * (second - first) + [2] * (8 - second)
    assert phonemes.rows(np.array([0]), np.full(1, 2.0), 8)[0].tolist()[int(0.05 / FRAME_S)] == 1


def test_words_are_no_target_of_the_encoder(data):
    """HuBERT saw no words; with words the encoder would be a recogniser already."""
    assert set(Phonemes(data.utterances).numbers) == {"a#", "d"}


def test_content_tells_two_orders_of_the_same_events_apart(data):
    truth = bridge.content(data, np.array([0, 1]))
    assert torch.equal(truth.events[0], truth.events[1])
    assert [LABELS[number] for number in truth.first] == ["dog", "rain"]
    assert [RELATIONS[number] for number in truth.relation] == ["then", "then"]


def test_the_loss_of_stage_one_is_small_only_in_the_right_order(data):
    truth = bridge.content(data, np.array([0, 1]))
    events, relation, first = (torch.full((2, size), -20.0) for size in bridge.CLASSES)
    events[truth.events > 0] = 20.0
    relation[torch.arange(2), truth.relation] = 20.0
    first[torch.arange(2), truth.first] = 20.0
    right = torch.cat([events, relation, first], 1)
    wrong = torch.cat([events, relation, first.flip(0)], 1)
    assert bridge.content_loss(right, truth) < 1e-6
    assert bridge.content_loss(wrong, truth) > 30


def test_the_recognisers_loss_asks_for_the_spoken_words(data):
    numbers = {word: number for number, word in enumerate(every_word(), start=1)}
    text = [numbers[word] for word in ["a", "dog", "barks"]]
    logits = torch.full((1, 7, len(numbers) + 1), -20.0)
    for frame, symbol in enumerate((0, text[0], 0, text[1], text[1], text[2], 0)):
        logits[0, frame, symbol] = 20.0
    mask = torch.ones(1, 7, dtype=torch.bool)
    assert recogniser.ctc_loss(logits, mask, [text]) < 1e-6
    assert recogniser.ctc_loss(logits, mask, [text[::-1]]) > 10


def test_spliced_speech_says_the_spliced_words():
    """The frames of two utterances are 1 and 2; each word lasts two of them."""
    words = [
        recogniser.Utterance(["a", "dog", "barks"], [0, 2, 4]),
        recogniser.Utterance(["the", "rain", "falls"], [0, 2, 4]),
    ]
    rows = torch.cat([torch.full((6, 1), 1.0), torch.full((6, 1), 2.0)])
    frames = TensorFrames(rows, np.array([0, 6, 12]))
    seen = set()
    for seed in range(40):
        speech, text = recogniser._splice(frames, words, 0, 1, np.random.default_rng(seed))
        assert len(speech) == 2 * len(text)
        before = int((speech == 1).sum()) // 2
        assert text == [*["a", "dog", "barks"][:before], *text[before:]]
        assert (speech[2 * before :] == 2).all()
        assert text[before:] == ["the", "rain", "falls"][3 - len(text[before:]) :]
        seen.add(tuple(text))
    assert ("a", "dog", "barks") in seen
    assert ("a", "falls") in seen


def test_words_have_no_place_where_espeak_joins_two():
    marks = [(0.1, "word", "in"), (0.1, "phoneme", "I"), (0.5, "word", "rain")]
    assert recogniser.place_words(["in", "rain"], marks).begins == [2, 12]
    assert recogniser.place_words(["in", "the", "rain"], marks).begins == []


def test_varied_frames_stay_inside_their_utterance(tmp_path):
    work = Workplace(tmp_path, torch.device("cpu"))
    speech = torch.ones(2, 40, 3)
    mask = torch.arange(40) < torch.tensor([[40], [20]])
    varied, inside = recogniser._vary_frames(speech, mask, np.random.default_rng(0), work)
    assert varied.shape[1] == inside.shape[1]
    assert inside[0].all()
    assert int(inside[1].sum()) == inside.shape[1] // 2
    assert ((varied == 0).all(-1).sum(1) <= recogniser.LONGEST_GAP).all()


def test_the_fad_judge_starts_with_a_signal_that_does_not_fade():
    """PyTorch's default let it fade, and 99.8 % of the variance ended in two axes."""

    def spread(prepare) -> float:
        torch.manual_seed(0)
        network = VggishClassifier()
        prepare(network)
        with torch.inference_mode():
            rows = network.vggish(torch.randn(16, 1, 96, 64))
        return float(rows.std(0).mean())

    assert spread(lambda network: None) < 0.02
    assert 0.2 < spread(_start_at_unit_scale) < 5
    assert isinstance(VggishClassifier().head, nn.Linear)


class Loud(nn.Module):
    """A network whose frames are the samples, times `gain`."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, waveforms: torch.Tensor, lengths: torch.Tensor):
        mask = torch.arange(waveforms.shape[1]) < lengths[:, None]
        return self.gain * waveforms[..., None], mask


def test_frames_of_a_network_that_diverged_are_not_kept(tmp_path):
    spoken = Utterances(np.full(5, 16_384, np.int16), np.array([0, 2, 5]), [[], []])
    kept = encode_speech(Loud(2.0), spoken, tmp_path / "good.npz", torch.device("cpu"))
    assert kept.rows.flatten().tolist() == [1.0] * 5
    path = tmp_path / "frames-codec.npz"
    with pytest.raises(FloatingPointError, match=r"frames-codec: .* diverged"):
        encode_speech(Loud(1e6), spoken, path, torch.device("cpu"))
    assert not path.exists()
