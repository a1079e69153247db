"""MeanAudio whole: its stages, options, batches and random weights, on tiny published files."""

import shutil

import numpy as np
import pytest
import torch

from stabench.systems.networks import cuda_graph
from stabench.systems.tta.meanaudio import networks
from stabench.systems.tta.meanaudio.system import MeanAudio
from tests.systems.tta import tiny_meanaudio

TINY = tiny_meanaudio
TEXTS, SEEDS = ("a dog barks while rain falls", "wind"), (3, 4)
STAGES = ["text_encoder.t5", "text_encoder.clap", "sampler", "decoder", "vocoder"]


def loaded(home, **options) -> MeanAudio:
    model = MeanAudio(weights=home, **({"duration_s": 0.1} | options))
    model.load("cpu", "float32")
    return model


@pytest.fixture(scope="module")
def model(home) -> MeanAudio:
    return loaded(home)


@pytest.fixture
def evaluations(model, monkeypatch) -> list[int]:
    """The rows of every evaluation of the transformer."""
    network = model.generator.sampler.transformer
    forward, rows = network.forward, []
    monkeypatch.setattr(
        network, "forward", lambda latent, *rest: rows.append(len(latent)) or forward(latent, *rest)
    )
    return rows


def test_a_clip_is_one_evaluation_of_the_network(model, evaluations, spans) -> None:
    (sound,) = model.generate([model.encode(TEXTS[0], spans)], [SEEDS[0]], spans)
    assert spans.names == STAGES
    assert evaluations == [1]
    # 0.1 s are 3.125 frames of 512 samples, rounded up.
    assert sound.samples.shape == (4 * 512,)
    assert sound.samples.dtype == np.float32
    assert sound.rate_hz == model.sample_rate == 16_000
    assert 0.01 < np.abs(sound.samples).max() < 1


def test_ten_seconds_are_313_frames() -> None:
    assert MeanAudio(weights="random").frames * 512 == 160_256
    assert MeanAudio(weights="random", duration_s=9.984).frames == 312


def test_steps_and_guidance_cost_evaluations(home, spans, monkeypatch) -> None:
    few = loaded(home, steps=3, guidance=2.0)
    network, rows = few.generator.sampler.transformer, []
    forward = network.forward
    monkeypatch.setattr(
        network, "forward", lambda latent, *rest: rows.append(len(latent)) or forward(latent, *rest)
    )
    few.generate([few.encode(TEXTS[0], spans)], [1], spans)
    assert rows == [2, 2, 2]
    assert few.provenance()["unconditional"] == "of the checkpoint"


def test_a_batch_equals_its_clips_and_seeds_decide(model, spans) -> None:
    prompts = [model.encode(text, spans) for text in TEXTS]
    alone = [
        model.generate([one], [seed], spans)[0].samples
        for one, seed in zip(prompts, SEEDS, strict=True)
    ]
    pair = model.generate(prompts, list(SEEDS), spans)
    for sound, expected in zip(pair, alone, strict=True):
        np.testing.assert_allclose(sound.samples, expected, atol=1e-4)
    again = model.generate(prompts[:1], [SEEDS[0] + 1], spans)[0].samples
    assert np.abs(again - alone[0]).max() > 0.01
    assert np.abs(alone[1] - alone[0]).max() > 0.01


def test_nothing_to_generate_is_nothing_and_seeds_come_one_each(model, spans) -> None:
    assert model.generate([], [], spans) == []
    with pytest.raises(ValueError, match="1 clips, but 2 seeds"):
        model.generate([model.encode("wind", spans)], [1, 2], spans)


def test_each_stage_of_a_single_clip_is_a_graph(home, model, spans, monkeypatch) -> None:
    """On a CPU a graph runs its function on its own buffers; a batch runs without one."""
    calls: list[object] = []
    call = cuda_graph.Graphed.__call__
    monkeypatch.setattr(
        cuda_graph.Graphed,
        "__call__",
        lambda self, *inputs: calls.append(self) or call(self, *inputs),
    )
    graphed = loaded(home, variant="graph")
    prompts = [graphed.encode(text, spans) for text in TEXTS]
    (sound,) = graphed.generate(prompts[:1], [SEEDS[0]], spans)
    assert len(set(calls)) == len(calls) == 3
    expected = model.generate(prompts[:1], [SEEDS[0]], spans)[0].samples
    np.testing.assert_allclose(sound.samples, expected, atol=1e-5)
    assert len(graphed.generate(prompts, list(SEEDS), spans)) == 2
    assert len(calls) == 3


def test_provenance_covers_every_file(model) -> None:
    provenance = model.provenance()
    assert set(provenance["weights"]) == {
        "meanaudio-s/meanaudio_s_full.pth",
        "meanaudio-sound/v1-16.pth",
        "meanaudio-sound/best_netG.pt",
        "clap-music-speech-audioset/music_speech_audioset_epoch_15_esc_89.98.pt",
        "roberta-base/vocab.json",
        "roberta-base/merges.txt",
        *(f"flan-t5-large/{name}" for name in T5_FILES),
    }
    assert all(len(digest) == 64 for digest in provenance.pop("weights").values())
    assert provenance == {
        "size": "s",
        "steps": 1,
        "guidance": 0.0,
        "duration_s": 0.1,
        "variant": "stock",
        "unconditional": "none",
    }


T5_FILES = (
    "config.json",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors",
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "xl"}, "size is 'xl', allowed are s, s-ac, l"),
        ({"steps": 0}, "steps is 0, allowed are 1 to 1000"),
        (
            {"guidance": 0.5},
            r"guidance is 0.5, allowed are 0 \(that in the weights\) and 1 or more",
        ),
        ({"guidance": float("nan")}, "guidance is nan, allowed are 0"),
        ({"duration_s": 0}, "duration_s is 0, allowed are 0.1 to 60 s"),
        ({"variant": "fast"}, "variant is 'fast', allowed are stock, graph"),
    ],
)
def test_options_are_checked(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        MeanAudio(**options)


def test_order_of_calls_and_precision_are_checked(spans) -> None:
    with pytest.raises(RuntimeError, match="MeanAudio is not loaded"):
        MeanAudio().encode("rain", spans)
    with pytest.raises(ValueError, match="precision is 'int8'"):
        MeanAudio(weights="random").load("cpu", "int8")


def test_a_missing_file_is_named_with_how_to_get_it(home, tmp_path) -> None:
    shutil.copytree(home, tmp_path / "weights", symlinks=True)
    (tmp_path / "weights" / "meanaudio-sound" / "best_netG.pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"'meanaudio-sound': best_netG\.pt not found"):
        loaded(tmp_path / "weights")
    with pytest.raises(FileNotFoundError, match="run: stabench weights fetch meanaudio-l"):
        loaded(tmp_path / "weights", size="l")


def test_the_model_tuned_on_audiocaps_is_the_small_one(home, tmp_path) -> None:
    shutil.copytree(home, tmp_path / "weights", symlinks=True)
    (tmp_path / "weights" / "meanaudio-s").rename(tmp_path / "weights" / "meanaudio-s-ac")
    folder = tmp_path / "weights" / "meanaudio-s-ac"
    (folder / "meanaudio_s_full.pth").rename(folder / "meanaudio_s_ac.pth")
    assert loaded(tmp_path / "weights", size="s-ac").provenance()["size"] == "s-ac"


def test_another_size_than_asked_is_refused(home, monkeypatch) -> None:
    tiny = networks.read_transformer(home / "meanaudio-s" / "meanaudio_s_full.pth").config
    monkeypatch.setitem(networks.SIZES, "l", tiny)
    with pytest.raises(ValueError, match="size is 'l', asked is 's'; set size = 'l', or give"):
        loaded(home)


def test_parts_that_do_not_belong_together_are_refused(home, tmp_path) -> None:
    shutil.copytree(home, tmp_path / "weights", symlinks=True)
    path = tmp_path / "weights" / "meanaudio-sound" / "v1-16.pth"
    path.unlink()
    torch.save(tiny_meanaudio.tensors(tiny_meanaudio.vae(channels=3)), path)
    with pytest.raises(ValueError, match=r"v1-16\.pth: width is 3, expected 4 as in .*s_full\.pth"):
        loaded(tmp_path / "weights")


@pytest.fixture
def small(monkeypatch) -> None:
    """The published sizes would take minutes."""
    tiny_meanaudio.shrink(monkeypatch)


def test_random_weights_sound_and_build_the_generator_last(small, spans) -> None:
    late = MeanAudio(weights="random", duration_s=0.1)
    with pytest.raises(RuntimeError, match="is not loaded"):
        late.load_generator()
    late.load("cpu", "bfloat16")
    encoded = late.encode(TEXTS[0], spans)
    assert encoded.states.dtype == torch.bfloat16
    assert late._generator is None
    (sound,) = late.generate([encoded], [1], spans)
    assert np.isfinite(sound.samples).all()
    assert 1e-3 < np.abs(sound.samples).max() <= 1
    assert late.provenance()["weights"] == "random"
    early = MeanAudio(weights="random", duration_s=0.1)
    early.load("cpu", "bfloat16")
    early.load_generator()
    assert np.array_equal(early.generate([encoded], [1], spans)[0].samples, sound.samples)


def test_random_weights_depend_on_their_seed_alone(small) -> None:
    one, same, other = (networks.random_sound("s", seed, "float32") for seed in (3, 3, 4))
    for ours, again, changed in zip(one, same, other, strict=True):
        state, repeated, moved = (network.state_dict() for network in (ours, again, changed))
        assert all(torch.equal(state[name], value) for name, value in repeated.items())
        matrices = [name for name, value in state.items() if value.dim() > 1]
        drawn = [name for name in matrices if not torch.equal(state[name], moved[name])]
        kept = {name.rpartition(".")[2] for name in set(matrices) - set(drawn)}
        assert kept <= {"filter", "data_mean", "data_std", "latent_mean", "latent_std"} | EMPTY


EMPTY = {"empty_string_feat"}
"""The empty text's states, zero where no checkpoint brings them."""
