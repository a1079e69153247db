"""Features are those of the networks themselves, whatever the company of a clip in its batch."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stabench.checkpoints.random_weights import allocate, hollow
from stabench.checkpoints.tensors import read_tensors
from stabench.systems.networks.ezaudio_weights import read_vae
from stabench.systems.networks.vae import WaveformVae
from stabench.systems.star.published_encoder import encoder_config, fill_encoder
from stabench.systems.star.speech_encoder import build_speech_encoder
from stabench.systems.training import extract
from tests.systems.star import tiny_encoders
from tests.systems.tta import tiny_ezaudio, tiny_t5

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
MAKERS = {"hubert": extract.hubert, "wavlm": extract.wavlm, "dac": extract.dac}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    for kind in tiny_encoders.MODELS:
        tiny_encoders.write(kind, folder / kind)
    return tiny_ezaudio.write(folder)


def make_speech(*lengths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.uniform(-0.3, 0.3, length).astype(np.float32) for length in lengths]


@torch.inference_mode()
@pytest.mark.parametrize("kind", MAKERS)
def test_frames_are_those_of_a_clip_alone(networks: Path, kind: str) -> None:
    encoder = MAKERS[kind](str(networks / kind))
    encoder.load("cpu")
    clips = make_speech(9000, 400, 16_000, 9000)
    config = encoder_config(networks / kind)
    network = allocate(hollow(lambda: build_speech_encoder(config)))
    fill_encoder(network, networks / kind)
    network.eval()
    for samples, (frames,) in zip(clips, encoder.encode(clips), strict=True):
        expected = network(torch.from_numpy(samples)[None]).frames[0]
        assert frames.dtype == np.float32
        assert expected.std() > 0.01
        torch.testing.assert_close(torch.from_numpy(frames), expected, atol=3e-5, rtol=1e-4)


def test_options_and_weights_are_the_provenance(networks: Path, tmp_path: Path) -> None:
    plain = extract.hubert(str(networks / "hubert")).provenance()
    assert plain == extract.hubert(str(networks / "hubert")).provenance()
    normalised = extract.hubert(str(networks / "hubert"), normalize_waveform=True)
    assert normalised.provenance() != plain
    assert normalised.provenance()["weights"] == plain["weights"]
    torch.manual_seed(9)
    tiny_encoders.MODELS["hubert"]().save_pretrained(tmp_path)
    assert extract.hubert(str(tmp_path)).provenance()["weights"] != plain["weights"]


def test_weights_of_another_kind_and_weights_that_are_not_there(networks: Path) -> None:
    with pytest.raises(ValueError, match='a wavlm, expected a hubert; name the encoder "wavlm"'):
        extract.hubert(str(networks / "wavlm")).provenance()
    with pytest.raises(FileNotFoundError, match=r"weights 'hubrt': no such .* known: .*hubert-la"):
        extract.hubert("hubrt").provenance()
    with pytest.raises(FileNotFoundError, match=r"1m\.pt: no such file; give EzAudio's VAE"):
        extract.VaeLatents(str(networks / "hubert"))


@torch.inference_mode()
@pytest.mark.parametrize("samples", [24_479, 480])
def test_latents_are_the_posterior_over_whole_frames(networks: Path, samples: int) -> None:
    latents = extract.VaeLatents(str(networks / "ezaudio-vae"))
    latents.load("cpu")
    assert latents.rate_hz == 24_000
    clips = make_speech(samples, samples)
    vae = allocate(hollow(lambda: WaveformVae(latents.config)))
    vae.load_state_dict(read_vae(networks / "ezaudio-vae/ckpts/vae/1m.pt", vae))
    for clip, (mean, std) in zip(clips, latents.encode(clips), strict=True):
        assert mean.shape == std.shape == (128, samples // 480)
        expected = vae.eval().encode(torch.from_numpy(clip)[None, None])
        for values, whole in zip((mean, std), expected, strict=True):
            count = samples // 480
            torch.testing.assert_close(
                torch.from_numpy(values), whole[0, :, :count], atol=1e-5, rtol=1e-4
            )
        assert std.min() > 0


@torch.inference_mode()
def test_states_of_flan_t5_are_those_of_transformers(networks: Path) -> None:
    from transformers import T5EncoderModel

    encoder = extract.FlanT5(str(networks / "flan-t5-large"))
    encoder.load("cpu")
    captions = ["a dog barks", "rain"]
    tokenizer = tiny_t5.tokenizer()
    model = T5EncoderModel(tiny_t5.config()).eval()
    tensors = read_tensors(networks / "flan-t5-large")
    state = {name: value for name, value in tensors.items() if not name.startswith("decoder.")}
    model.load_state_dict({**state, "encoder.embed_tokens.weight": state["shared.weight"]})
    for caption, (states,) in zip(captions, encoder.encode(captions), strict=True):
        ids = tokenizer([caption], return_tensors="pt").input_ids
        assert ids[0, -1] == tokenizer.eos_token_id
        expected = model(input_ids=ids).last_hidden_state[0]
        torch.testing.assert_close(torch.from_numpy(states), expected, atol=1e-5, rtol=1e-4)
    assert {"tokenizer.json", "model.safetensors"} <= encoder.provenance()["weights"].keys()


@pytest.mark.parametrize(("kind", "parameters"), [("hubert", 315_438_720), ("wavlm", 315_453_120)])
def test_random_is_the_published_size(kind: str, parameters: int) -> None:
    with torch.device("meta"):
        network = build_speech_encoder(MAKERS[kind]("random").read_config())
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert extract.VaeLatents("random").rate_hz == 24_000
    assert MAKERS[kind]("random", seed=1).provenance()["weights"] == "random 1"
