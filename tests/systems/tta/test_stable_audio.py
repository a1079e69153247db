"""Stable Audio Open against diffusers' own pipeline, which reads the same tiny folder."""

import copy
import json
import warnings

import numpy as np
import pytest
import torch
from diffusers import CosineDPMSolverMultistepScheduler, StableAudioPipeline

from stabench.systems.networks.flow_sampler import noise
from stabench.systems.tta.latent_diffusion.sampler import draw
from stabench.systems.tta.stable_audio import networks, sampler, system
from stabench.systems.tta.stable_audio.networks import embed_times
from stabench.systems.tta.stable_audio.system import StableAudioOpen
from tests.systems.tta import tiny_stable_audio

TINY = tiny_stable_audio
TEXTS = ["a dog barks while rain falls", "wind"]
STEPS = 5
# A little less than its 20 latents.
DURATION_S = 0.9


@pytest.fixture(scope="module")
def model(home):
    model = StableAudioOpen(steps=STEPS, weights=home, duration_s=DURATION_S)
    model.load("cpu", "float32")
    return model


@pytest.fixture(scope="module")
def graph(home):
    """The variant that draws its noise beforehand."""
    model = StableAudioOpen(steps=STEPS, weights=home, duration_s=DURATION_S, variant="graph")
    model.load("cpu", "float32")
    return model


@pytest.fixture(scope="module")
def pipeline(home):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*weight_norm.*", category=FutureWarning)
        pipeline = StableAudioPipeline.from_pretrained(
            str(home / "stable-audio-open"), local_files_only=True
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def prompts(model, spans):
    return [model.encode(text, spans) for text in TEXTS]


@pytest.mark.filterwarnings("ignore:Should have t[ab]")
@pytest.mark.parametrize("seeds", [[3_949_778_251_357_375_275], [7, 8]])
def test_latents_and_sound_are_the_pipelines_for_the_same_seeds(
    model, pipeline, prompts, spans, seeds
) -> None:
    """Its generator of a seed gives start and noise of the steps; so does the seed here."""
    texts, given = TEXTS[: len(seeds)], prompts[: len(seeds)]

    def run(output_type: str):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return pipeline(
            texts,
            audio_end_in_s=DURATION_S,
            num_inference_steps=STEPS,
            guidance_scale=7.0,
            generator=generators,
            output_type=output_type,
        ).audios

    latents = run("latent")
    ours = model.generator.latents(given, seeds)
    torch.testing.assert_close(ours, latents, rtol=1e-3, atol=1e-3 * float(latents.std()))
    sounds = model.generate(given, seeds, spans)
    for sound, stereo in zip(sounds, run("np"), strict=True):
        assert sound.samples.shape == (int(DURATION_S * 44_100),) == stereo.shape[1:]
        np.testing.assert_allclose(
            sound.samples, stereo.mean(0), atol=1e-3 * float(np.abs(stereo).max())
        )


@pytest.mark.filterwarnings("ignore:Should have t[ab]")
@pytest.mark.parametrize("steps", [2, 3, 10, 40])
def test_steps_are_those_of_diffusers(steps) -> None:
    """On outputs and noise that are random numbers, not a network's and a tree's."""
    generator = torch.Generator().manual_seed(2)
    outputs = torch.randn(steps, 1, 4, 6, generator=generator)
    fresh = torch.randn(steps, 1, 4, 6, generator=generator)
    stock = CosineDPMSolverMultistepScheduler(
        **{key: value for key, value in networks.SCHEDULER.items() if key != "_class_name"}
    )
    stock.set_timesteps(steps)
    sigmas = sampler.noise_levels(steps)
    assert torch.equal(stock.sigmas, sigmas)
    stock.noise_sampler = lambda here, there: fresh[int((sigmas == here).nonzero())]
    start = fresh.sum(0) * stock.init_noise_sigma
    theirs, ours, before = start, start, start
    for index, (time, step) in enumerate(
        zip(stock.timesteps, sampler.tabulate_steps(sigmas), strict=True)
    ):
        torch.testing.assert_close(
            stock.scale_model_input(theirs, time), theirs * step.scale, rtol=1e-5, atol=1e-6
        )
        theirs = stock.step(outputs[index], time, theirs).prev_sample
        data = step.of_sample * ours - step.of_output * outputs[index]
        estimate = data + step.slope * (data - before)
        ours = step.keep * ours + step.gain * estimate + step.fresh * fresh[index]
        before = data
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_noise_of_the_graph_is_in_law_that_of_the_tree(model, graph) -> None:
    """The tree's increments, each divided by the root of its length, are independent and N(0, 1),
    as numbers drawn one by one are."""
    start = noise([3], (64, 64))
    tree = model.generator.sampler._grow_tree(start, [3])
    rows = torch.stack([tree(index).flatten() for index in range(STEPS - 1)])
    drawn = draw([3], (64, 64), STEPS)[1:].flatten(1)
    # Of 4096 numbers: five deviations of the estimates.
    for numbers in (rows, drawn):
        assert float((numbers.std(1) - 1).abs().max()) < 5 / (2 * 4096) ** 0.5
        apart = torch.corrcoef(numbers) - torch.eye(STEPS - 1)
        assert float(apart.abs().max()) < 5 / 4096**0.5


def test_both_variants_give_the_same_latents_for_the_same_noise(model, graph, prompts) -> None:
    seeds = [5]
    drawn = draw(seeds, (4, 20), STEPS)
    stock = model.generator.sampler
    with torch.inference_mode():
        expected = stock._from_noise(
            drawn[0], lambda index: drawn[1 + index], prompts[0].states, prompts[0].mask
        )
    ours = graph.generator.latents(prompts[:1], seeds)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(drawn[0], noise(seeds, (4, 20)))


@pytest.mark.parametrize("variant", ["model", "graph"])
def test_a_batch_equals_its_clips(request, variant, spans) -> None:
    model = request.getfixturevalue(variant)
    prompts = [model.encode(text, spans) for text in (*TEXTS, "")]
    batch = model.generate(prompts, [5, 6, 7], spans)
    for index, each in enumerate(prompts):
        (alone,) = model.generate([each], [5 + index], spans)
        np.testing.assert_allclose(batch[index].samples, alone.samples, atol=1e-4)
    assert model.generate([], [], spans) == []
    with pytest.raises(ValueError, match="1 clips, but 2 seeds"):
        model.generate(prompts[:1], [1, 2], spans)


def test_text_is_padded_to_the_published_length_and_marked_once(model, prompts, spans) -> None:
    assert prompts[0].states.shape == (1, 128, 32)
    assert prompts[0].mask.sum() == 7
    assert spans.names == ["text_encoder"] * 2
    spans.names.clear()
    (sound,) = model.generate(prompts[:1], [1], spans)
    assert spans.names == ["sampler", "decoder"]
    assert (sound.rate_hz, sound.samples.dtype) == (44_100, np.float32)


def test_duration_reaches_the_network(home, prompts) -> None:
    longer = StableAudioOpen(steps=STEPS, weights=home, duration_s=30)
    longer.load("cpu", "float32")
    model = StableAudioOpen(steps=STEPS, weights=home, duration_s=10)
    model.load("cpu", "float32")
    apart, near = (each.generator.latents(prompts[:1], [1]) for each in (longer, model))
    assert float((apart - near).abs().max()) > 1e-4


@torch.inference_mode()
def test_times_keep_their_precision_in_a_half_precision_network(model) -> None:
    transformer = model.generator.sampler.networks.transformer
    time = torch.tensor([0.9871])
    # The frequencies are weights, and are rounded: what is left is their error alone.
    half = copy.deepcopy(transformer).bfloat16()
    rounded = copy.deepcopy(transformer)
    rounded.time_proj.weight.copy_(half.time_proj.weight)
    exact = embed_times(rounded, time)
    coarse = embed_times(rounded, time.bfloat16().float())
    assert (embed_times(half, time) - exact).norm() < (coarse - exact).norm()


def test_the_published_size() -> None:
    """Model card and paper: a transformer of 1057 M parameters."""
    transformer = networks.build_transformer(networks.TRANSFORMER)
    assert count(transformer) == 1_056_939_136
    assert count(networks.build_projection(networks.PROJECTION)) == 396_544
    assert networks.TRANSFORMER["sample_size"] * 2048 / 44_100 == pytest.approx(47.55, abs=0.01)


def count(network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_who_lacks_torchsde_is_told_before_anything_is_read(home, monkeypatch) -> None:
    monkeypatch.setattr(system, "find_spec", lambda name: None)
    stock = StableAudioOpen(weights=home)
    with pytest.raises(ModuleNotFoundError, match=r"torchsde .*'stabench\[stable-audio\]', or set"):
        stock.load("cpu", "float32")
    StableAudioOpen(weights=home, variant="graph").load("cpu", "float32")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"steps": 1}, "steps is 1, allowed are whole numbers from 2 to 1000"),
        ({"duration_s": 48}, "duration_s is 48, allowed is more than 0, up to 47.55 seconds"),
        ({"channels": "left"}, "channels is 'left', allowed are mean, first"),
        ({"variant": "graphs"}, "variant is 'graphs', allowed are stock, graph"),
    ],
)
def test_options_are_checked(options, line) -> None:
    with pytest.raises(ValueError, match=line):
        StableAudioOpen(**options)


def test_what_it_was_told_is_recorded(home) -> None:
    provenance = StableAudioOpen(weights=home).provenance()
    assert (provenance["steps"], provenance["guidance"]) == (100, 7.0)
    assert provenance["unconditional"] == "zeros"
    file = f"stable-audio-open/transformer/{networks.WEIGHTS}"
    assert file in provenance["weights"]
    assert StableAudioOpen(weights="random").provenance()["weights"] == "random"


@pytest.mark.parametrize(
    ("file", "change", "line"),
    [
        (
            "scheduler/scheduler_config.json",
            {"solver_order": 3},
            r"scheduler_config\.json: solver_order is 3, expected 2",
        ),
        (
            "scheduler/scheduler_config.json",
            {"_class_name": "EDMDPMSolverMultistepScheduler"},
            "_class_name is 'EDMDPMSolver",
        ),
        (
            "tokenizer/tokenizer_config.json",
            {"model_max_length": 512},
            "model_max_length is 512, expected 128",
        ),
        ("transformer/config.json", {"num_layers": 3}, "missing transformer_blocks.2"),
        (
            "vae/config.json",
            {"sampling_rate": 48_000},
            "sampling_rate is 48000, expected 44100",
        ),
    ],
)
def test_a_folder_of_another_model_is_refused(tmp_path, file, change, line) -> None:
    path = tiny_stable_audio.write(tmp_path) / "stable-audio-open" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=line):
        StableAudioOpen(weights=tmp_path).load("cpu", "float32")


def test_missing_files_are_named(tmp_path) -> None:
    folder = tiny_stable_audio.write(tmp_path) / "stable-audio-open"
    (folder / "vae" / networks.WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"'stable-audio-open': vae/diffusion_pytorch_mod"):
        StableAudioOpen(weights=tmp_path).load("cpu", "float32")
