"""VITS: numbers as VitsTokenizer's, seeded speech, published layouts, and what is refused."""

# ruff: noqa: RUF001 (IPA)

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from stabench.systems.tts.vits import FILES, Vits, phonemes
from tests.systems.tts.tiny_vits import RATE_HZ, tiny_vits

TEXTS = ("A dog barks", "Rain, thunder and a man's voice.", "well-known  sounds")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vits(tmp_path_factory.mktemp("voice"))


@pytest.fixture(scope="module")
def phonetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vits(tmp_path_factory.mktemp("phonetic"), phonemize=True)


def _copy(folder: Path, to: Path) -> Path:
    for name in FILES:
        (to / name).write_bytes((folder / name).read_bytes())
    return to


@pytest.mark.parametrize("text", TEXTS)
def test_every_letter_is_numbered_with_a_blank_on_both_sides(folder: Path, text: str) -> None:
    vocabulary = json.loads((folder / "vocab.json").read_text())
    kept = [vocabulary[letter] for letter in text.lower() if letter in vocabulary]
    assert Vits(folder).numbers(text) == [0, *(n for number in kept for n in (number, 0))]


@pytest.mark.parametrize("text", TEXTS)
def test_every_phoneme_is_numbered_with_a_blank_on_both_sides(phonetic: Path, text: str) -> None:
    """phonemizer, which the tokenizer would call for them, is not installed."""
    vocabulary = json.loads((phonetic / "vocab.json").read_text())
    said = [vocabulary[symbol] for symbol in phonemes(text.lower())]
    assert Vits(phonetic).numbers(text) == [0, *(n for number in said for n in (number, 0))]


@pytest.mark.parametrize(
    ("text", "ipa"),
    [
        # Values of phonemizer 3.4.0 (espeak backend, en-us, stress, punctuation kept).
        ("A dog barks", "ɐ dˈɑːɡ bˈɑːɹks"),
        ("Rain falls, then thunder. A man speaks!", "ɹˈeɪn fˈɔːlz, ðˈɛn θˈʌndɚ. ɐ mˈæn spˈiːks!"),
        ("  ", ""),
    ],
)
def test_phonemes_are_those_of_phonemizer(text: str, ipa: str) -> None:
    assert phonemes(text) == ipa


def test_the_same_text_and_seed_give_the_same_bytes(folder: Path) -> None:
    first, again = Vits(folder), Vits(folder)
    assert first.rate_hz == RATE_HZ
    said = first.say(TEXTS[0], 7)
    first.say(TEXTS[1], 8)
    assert said.tobytes() == first.say(TEXTS[0], 7).tobytes() == again.say(TEXTS[0], 7).tobytes()
    assert said.tobytes() != first.say(TEXTS[0], 9).tobytes()[: said.nbytes]
    assert said.dtype == np.float32
    assert said.ndim == 1
    assert 0 < np.abs(said).max() <= 1


def test_the_random_state_and_threads_of_others_are_left_alone(folder: Path) -> None:
    voice = Vits(folder)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    threads = torch.get_num_threads()
    voice.say(TEXTS[0], 7)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_speech_is_the_forward_pass_of_transformers(folder: Path) -> None:
    from transformers import VitsModel, VitsTokenizer

    model = VitsModel.from_pretrained(folder, local_files_only=True)
    inputs = VitsTokenizer.from_pretrained(folder, local_files_only=True)(
        TEXTS[0], return_tensors="pt"
    )
    torch.manual_seed(7)
    with torch.no_grad():
        expected = model(**inputs).waveform[0].numpy()
    np.testing.assert_allclose(Vits(folder).say(TEXTS[0], 7), expected, atol=1e-6)


def test_the_names_of_the_published_files_give_the_same_speech(
    folder: Path, tmp_path: Path
) -> None:
    old = tiny_vits(tmp_path, as_of_2023=True)
    speech, expected = (Vits(home).say(TEXTS[0], 7) for home in (old, folder))
    # Weights are used where they lie in the file: a product's rounding may follow their alignment.
    np.testing.assert_allclose(speech, expected, atol=1e-6)


def test_a_phonetic_voice_speaks(phonetic: Path) -> None:
    assert len(Vits(phonetic).say(TEXTS[1], 1)) > 0


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("2 dogs", "has no '2'; spell it otherwise"),
        ("ein Löwe", "has no 'ö'; spell it otherwise"),
        ("", "holds nothing that can be spoken"),
        ("...", "holds nothing that can be spoken"),
    ],
)
def test_what_the_tokenizer_would_leave_out_silently_is_refused(
    folder: Path, text: str, line: str
) -> None:
    with pytest.raises(ValueError, match=line) as caught:
        Vits(folder).say(text, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    _copy(folder, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no {name}"):
        Vits(tmp_path)


def test_another_models_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    _copy(folder, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="model_type is 'bert', expected 'vits'"):
        Vits(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: not JSON"):
        Vits(tmp_path)


def test_truncated_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    weights = _copy(folder, tmp_path) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged or truncated"):
        Vits(tmp_path).say(TEXTS[0], 1)


def test_a_tensor_that_is_not_there_is_not_made_up(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = _copy(folder, tmp_path) / "model.safetensors"
    tensors = load_file(weights)
    removed = tensors.pop("decoder.conv_pre.weight")
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"1 missing keys \(first: decoder\.conv_pre\.weight\)"):
        Vits(tmp_path).say(TEXTS[0], 1)
    tensors["decoder.conv_pre.weight"] = removed[:, :, :3].contiguous()
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="mismatched keys"):
        Vits(tmp_path).say(TEXTS[0], 1)
