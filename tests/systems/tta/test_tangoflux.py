"""TangoFlux: its network against plain torch, its sampler against closed forms, its files."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from safetensors.torch import load_file, save_file

from stabench.systems.networks.flow_sampler import noise
from stabench.systems.tta.tangoflux import networks
from stabench.systems.tta.tangoflux.networks import SETTINGS, FluxField
from stabench.systems.tta.tangoflux.sampler import FluxSampler, gather
from stabench.systems.tta.tangoflux.system import TangoFlux
from tests.systems.tta import tiny_oobleck, tiny_tangoflux
from tests.systems.tta.plain_flux import PlainFlux
from tests.systems.tta.tiny_weights import draw, named

TINY = tiny_tangoflux
TEXT = "a dog barks while rain falls"
FRAMES = tiny_tangoflux.CONFIG["audio_seq_len"]
DURATION_S = 15.0


@pytest.fixture(scope="module")
def model(home):
    model = TangoFlux(steps=3, weights=home, duration_s=DURATION_S)
    model.load("cpu", "float32")
    return model


@pytest.fixture
def prompt(model, spans):
    return model.encode(TEXT, spans)


@pytest.fixture(scope="module")
def field():
    """The tiny network in float64, and its tensors by name."""
    field = FluxField(SETTINGS | tiny_tangoflux.CONFIG)
    state = {name: value.double() for name, value in draw(named(field.state_dict())).items()}
    field.double().load_state_dict(state)
    return field.eval().requires_grad_(False), state


@pytest.fixture(scope="module")
def single(field):
    """The same network in float32."""
    return copy.deepcopy(field[0]).float()


@pytest.fixture
def inputs():
    """Two rows of five text states, the first row an empty text of one token, and latents."""
    generator = torch.Generator().manual_seed(4)
    states = torch.randn(2, 5, 32, generator=generator, dtype=torch.float64)
    latents = torch.randn(2, FRAMES, 4, generator=generator, dtype=torch.float64)
    live = torch.tensor([[True] + [False] * 4, [True] * 5])
    return states, live, latents


def velocity(field, states, live, read, latents, time):
    """One call of our network."""
    duration, rotary = field.embed_duration(DURATION_S), field.rotate_frames()
    conditions = field.condition(states, live, read, duration, rotary)
    return field.velocity(latents, conditions, field.embed_times(torch.tensor([time]))[0])


@pytest.mark.parametrize("time", [1.0, 0.62, 0.02])
def test_network_equals_the_equations_in_plain_torch(field, inputs, time) -> None:
    """In float64; the turns of rotary positions and the waves of the time are in float32 in both,
    as in diffusers."""
    network, state = field
    states, live, latents = inputs
    plain = PlainFlux(state, tiny_tangoflux.CONFIG).velocity(
        states, live, DURATION_S / 30, latents, time
    )
    ours = velocity(network, states, live, None, latents, time)
    torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-9)
    assert plain.std() > 0.1


def test_network_equals_diffusers_forward_as_the_original_calls_it(single, inputs) -> None:
    states, live, latents = (x.float() if x.is_floating_point() else x for x in inputs)
    nan = torch.where(live[..., None], states, torch.tensor(float("nan")))
    tokens = torch.cat([states, single.embed_duration(DURATION_S).repeat(2, 1, 1)], 1)
    with torch.inference_mode():
        stock = single.transformer(
            hidden_states=latents,
            timestep=torch.tensor([620.0]) / 1000,
            pooled_projections=single.fc(nan.nanmean(1)),
            encoder_hidden_states=tokens,
            txt_ids=torch.zeros(tokens.shape[1], 3),
            img_ids=torch.arange(FRAMES)[:, None].repeat(1, 3),
            return_dict=False,
        )[0]
        ours = velocity(single, states, live, None, latents, 0.62)
    torch.testing.assert_close(ours, stock, rtol=1e-4, atol=1e-5)


def test_a_mask_hides_padding_from_latents_and_summary(field, inputs) -> None:
    network, _ = field
    states, live, latents = inputs
    shorter = velocity(network, states[1:, :3], live[1:, :3], None, latents[1:], 0.5)
    cut = torch.arange(5)[None] < 3
    hidden = velocity(network, states[1:], live[1:] & cut, cut, latents[1:], 0.5)
    torch.testing.assert_close(hidden, shorter, rtol=1e-6, atol=1e-6)
    read = velocity(network, states[1:], live[1:] & cut, None, latents[1:], 0.5)
    assert (read - shorter).abs().max() > 1e-3


@torch.inference_mode()
def test_times_keep_their_precision_in_a_half_precision_network(single) -> None:
    """bfloat16, in which diffusers' own forward takes them, would move 0.98 to 0.9805."""
    time = torch.tensor([0.98])
    exact, coarse = single.embed_times(time), single.embed_times(time.bfloat16().float())
    half = copy.deepcopy(single).bfloat16()
    assert (half.embed_times(time) - exact).norm() < 0.5 * (coarse - exact).norm()


class Linear:
    """A field of which the velocity is z for the empty text, and `slope` z for the words."""

    frames, channels = FRAMES, 4
    calls: list[float]

    def __init__(self, slope: float) -> None:
        self.slope, self.calls = slope, []

    def embed_times(self, times):
        return times

    def embed_duration(self, duration_s):
        return torch.zeros(1, 1, 32)

    def rotate_frames(self):
        return ()

    def condition(self, *given):
        return None

    def velocity(self, latents, conditions, time):
        self.calls.append(float(time))
        empty, words = latents.chunk(2)
        return torch.cat([empty, self.slope * words])


@pytest.mark.parametrize("steps", [1, 25, 50])
def test_sampler_is_euler_with_guidance_in_closed_form(prompt, steps) -> None:
    """dz/dt = g z with g = 1 + w (slope - 1): every step from noise to data takes 1 - g / N."""
    field = Linear(slope=0.8)
    sampler = FluxSampler(field, steps, 4.5, 10.0, "stock")
    latents = sampler.latents([prompt], [3])
    growth = 1 + 4.5 * (0.8 - 1)
    exact = noise([3], (FRAMES, 4)).double() * (1 - growth / steps) ** steps
    torch.testing.assert_close(latents.transpose(1, 2).double(), exact, rtol=1e-5, atol=1e-5)
    # What the original hands to its scheduler.
    np.testing.assert_allclose(field.calls, np.linspace(1.0, 1 / steps, steps), rtol=1e-6)


def test_steps_are_those_of_the_scheduler_that_the_original_uses() -> None:
    stock = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000)
    stock.set_timesteps(sigmas=np.linspace(1.0, 1 / 25, 25))
    ours = FluxSampler(Linear(1.0), 25, 4.5, 10.0, "stock").schedule
    torch.testing.assert_close(stock.sigmas.double(), ours, rtol=0, atol=1e-7)
    torch.testing.assert_close(stock.timesteps / 1000, ours[:-1].float(), rtol=0, atol=1e-6)


def test_guidance_of_one_is_the_words_alone(model, prompt) -> None:
    loose = FluxSampler(model.generator.sampler.field, 2, 1.0, DURATION_S, "stock")
    swapped = prompt._replace(empty=3 * prompt.empty)
    torch.testing.assert_close(loose.latents([prompt], [1]), loose.latents([swapped], [1]))
    strong = FluxSampler(model.generator.sampler.field, 2, 4.5, DURATION_S, "stock")
    assert not torch.allclose(strong.latents([prompt], [1]), strong.latents([swapped], [1]))


def test_noise_is_that_of_the_original_for_the_same_seed() -> None:
    torch.manual_seed(11)
    assert torch.equal(torch.randn(1, 645, 64), noise([11], (645, 64)))


def test_a_clip_is_one_channel_as_long_as_asked_for(home, model, prompt, spans) -> None:
    spans.names.clear()
    (sound,) = model.generate([model.encode(TEXT, spans)], [1], spans)
    assert spans.names == ["text_encoder.cond", "text_encoder.uncond", "sampler", "decoder"]
    assert sound.rate_hz == model.sample_rate == 44_100
    assert sound.samples.dtype == np.float32
    assert sound.samples.shape == (FRAMES * tiny_oobleck.HOP,)  # all there is, of 15 s
    assert sound.samples.std() > 0.01
    stereo = model.generator.vae.decoder(model.generator.latents([prompt], [1]))[0].numpy()
    np.testing.assert_allclose(sound.samples, stereo.mean(0), atol=1e-6)
    left = model.generator._replace(channels="first", samples=100)
    np.testing.assert_allclose(
        left.generate([prompt], [1], spans)[0].samples, stereo[0, :100], atol=1e-6
    )


def test_a_batch_equals_its_clips(model, prompt, spans) -> None:
    """Of texts of other lengths: their padding is hidden, that of their empty texts is read."""
    prompts = [prompt, model.encode("wind", spans), model.encode("", spans)]
    batch = model.generate(prompts, [5, 6, 7], spans)
    for index, each in enumerate(prompts):
        (alone,) = model.generate([each], [5 + index], spans)
        np.testing.assert_allclose(batch[index].samples, alone.samples, atol=1e-4)
    assert model.generate([], [], spans) == []
    with pytest.raises(ValueError, match="1 clips, but 2 seeds"):
        model.generate([prompt], [1, 2], spans)


def test_a_text_of_as_many_tokens_as_the_graph_has_is_masked_as_well(model, prompt) -> None:
    length = prompt.words.shape[1]
    assert gather([prompt]).read is None
    assert gather([prompt], length).read.all()
    assert gather([prompt], length - 1).read is None
    wide = gather([prompt], length + 2)
    assert wide.read.sum(1).tolist() == [length] * 2
    assert wide.live.sum(1).tolist() == [1, length]


def test_cached_empty_text_is_the_same_at_every_length(home, model, spans) -> None:
    cached = TangoFlux(weights=home, cache_unconditional=True)
    cached.load("cpu", "float32")
    spans.names.clear()
    for text in (TEXT, "wind", TEXT):
        again = cached.encode(text, spans)
        expected = model.encode(text, lambda name: torch.inference_mode())
        assert all(torch.equal(*pair) for pair in zip(again, expected, strict=True))
    assert spans.names == ["text_encoder.cond"] * 3
    assert cached.provenance()["unconditional"] == "cached"


def test_the_published_size() -> None:
    """Its README says 515 M parameters. 859,240,640 with the text encoder, in float32, are the
    3.44 GB that public logs give for tangoflux.safetensors, and the autoencoder's the 624 MB."""
    with torch.device("meta"):
        field = FluxField(SETTINGS)
    assert count(field.transformer) == 516_695_616
    assert count(field) == 518_009_536
    published = networks.SETTINGS["audio_seq_len"] * 2048
    assert published / 44_100 == pytest.approx(29.95, abs=0.01)


def count(network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"steps": 0}, "steps is 0, allowed are whole numbers from 1 to 1000"),
        ({"steps": "25"}, "steps is '25', allowed are whole numbers from 1 to 1000"),
        ({"duration_s": 31}, "duration_s is 31, allowed are 1 to 30 seconds"),
        ({"channels": "left"}, "channels is 'left', allowed are mean, first"),
        ({"variant": "graphs"}, "variant is 'graphs', allowed are stock, graph"),
    ],
)
def test_options_are_checked(options, line) -> None:
    with pytest.raises(ValueError, match=line):
        TangoFlux(**options)


def test_what_it_was_told_is_recorded(home) -> None:
    provenance = TangoFlux(weights=home, steps=25).provenance()
    assert provenance["steps"] == 25
    assert (provenance["guidance"], provenance["duration_s"]) == (4.5, 10.0)
    assert provenance["channels"] == "mean"
    assert "tangoflux/tangoflux.safetensors" in provenance["weights"]
    assert TangoFlux(weights="random").provenance()["weights"] == "random"


def test_damaged_and_missing_files_are_named(tmp_path) -> None:
    home = tiny_tangoflux.write(tmp_path)
    file, config = (home / "tangoflux" / name for name in ("tangoflux.safetensors", "config.json"))
    model = TangoFlux(weights=home)
    whole = load_file(file)
    save_file(whole | {"fc.9.bias": torch.ones(1)}, file)
    with pytest.raises(ValueError, match=r"tangoflux\.safetensors: .*left over fc\.9\.bias"):
        model.load("cpu", "float32")
    del whole["duration_emebdder.time_positional_embedding.0.weights"]
    save_file(whole, file)
    with pytest.raises(ValueError, match="missing duration_emebdder"):
        model.load("cpu", "float32")
    config.write_text(json.dumps(tiny_tangoflux.CONFIG | {"text_encoder_name": "google/t5"}))
    with pytest.raises(ValueError, match=r"config\.json: text_encoder_name is 'google/t5', allow"):
        model.load("cpu", "float32")
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"'tangoflux': tangoflux\.safetensors not found"):
        model.load("cpu", "float32")


def test_reading_takes_the_files_own_text_encoder(home, model) -> None:
    """It was fine-tuned with the rest: the one in flan-t5-large/ gives the tokenizer alone."""
    state = load_file(home / "tangoflux" / "tangoflux.safetensors")
    encoder = model.prompter.encoder
    assert torch.equal(encoder.shared.weight, state["text_encoder.shared.weight"])
    assert encoder.encoder.embed_tokens.weight is encoder.shared.weight
    assert math.isfinite(float(encoder.shared.weight.sum()))
