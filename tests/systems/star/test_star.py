"""STAR as a system: stages, batches, seeds, weights on disk."""

import dataclasses
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stabench.systems.contract import Utterance
from stabench.systems.networks.checkpoint import load_part, part_file, save_part, write_config
from stabench.systems.networks.config import VaeConfig, to_dict
from stabench.systems.star.config import SpeechEncoderConfig
from stabench.systems.star.parts import build_parts
from stabench.systems.star.star import VARIANTS, Star, StarDac, StarWithoutBridge


def utterance(seed: int, duration_s: float = 1.0) -> Utterance:
    samples = 0.1 * np.random.default_rng(seed).standard_normal(int(16_000 * duration_s))
    return Utterance(f"clip-{seed}", samples.astype(np.float32), 16_000)


def loaded(config, dtype="float32", **options) -> Star:
    star = Star(config, **options)
    star.load("cpu", dtype)
    return star


@pytest.fixture
def folder(small_config, tmp_path):
    """A STAR folder holding the networks of seed 7."""
    write_config(tmp_path, small_config)
    for name, part in build_parts(small_config, 7)._asdict().items():
        save_part(part_file(tmp_path, name), part)
    return tmp_path


def test_stages_lengths_and_rate(small_config, spans):
    star = loaded(small_config)
    tokens = star.represent(utterance(0), spans)
    (sound,) = star.generate([tokens], [3], spans)
    assert spans.names == ["speech_encoder", "bridge", "sampler", "decoder"]
    assert sound.rate_hz == star.sample_rate == 16_000
    assert sound.samples.shape == (20 * 320,)
    assert sound.samples.dtype == np.float32
    assert np.isfinite(sound.samples).all()


def test_without_a_bridge_that_stage_is_absent(small_config, spans):
    star = loaded(small_config, without_bridge=True)
    star.generate([star.represent(utterance(0), spans)], [3], spans)
    assert spans.names == ["speech_encoder", "sampler", "decoder"]


def batch_and_singles(star, spans):
    clips = [star.represent(utterance(i, 0.3 + 0.2 * (i % 3)), spans) for i in range(8)]
    batch = star.generate(clips, list(range(8)), spans)
    singles = [star.generate([clip], [i], spans)[0] for i, clip in enumerate(clips)]
    return [np.stack([sound.samples for sound in sounds]) for sounds in (batch, singles)]


@pytest.mark.parametrize("without_bridge", [False, True])
def test_a_batch_of_eight_gives_eight_single_calls(small_config, spans, without_bridge, disturb):
    vae = VaeConfig(latent_channels=8, ratios=(2, 4), multiples=(1, 2), base=8)
    config = dataclasses.replace(small_config, vae=vae)
    star = loaded(config, without_bridge=without_bridge, guidance=2.0)
    disturb(star.parts.udit, 0.02)
    batch, singles = batch_and_singles(star, spans)
    np.testing.assert_allclose(batch, singles, atol=1e-4)


def test_a_batch_agrees_through_griffin_lim_too(small_config, spans, disturb):
    """Its iterations magnify rounding where magnitudes are near zero, so the bound is wider."""
    star = loaded(small_config, guidance=2.0)
    disturb(star.parts.udit, 0.02)
    batch, singles = batch_and_singles(star, spans)
    assert np.linalg.norm(batch - singles) < 1e-2 * np.linalg.norm(singles)


def test_sound_depends_on_the_seed_alone(small_config, spans):
    star = loaded(small_config)
    clip = star.represent(utterance(0), spans)
    first, again, other = (star.generate([clip], [s], spans)[0].samples for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_random_weights_are_reproducible_and_leave_the_global_generator(small_config, spans):
    torch.manual_seed(5)
    one = loaded(small_config)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))
    two, three = loaded(small_config), loaded(small_config, seed=1)
    tokens = [star.represent(utterance(0), spans).payload for star in (one, two, three)]
    assert torch.equal(tokens[0], tokens[1])
    assert not torch.allclose(tokens[0], tokens[2])


def test_half_precision_runs(small_config, spans):
    star = loaded(small_config, dtype="bfloat16")
    (sound,) = star.generate([star.represent(utterance(0), spans)], [3], spans)
    assert np.isfinite(sound.samples).all()


def test_weights_from_a_folder_or_a_table_equal_what_was_saved(small_config, folder, spans):
    table = {name: str(part_file(folder, name)) for name in ("speech_encoder", "bridge", "udit")}
    table["vae"] = str(part_file(folder, "vae"))
    expected = loaded(small_config, seed=7).represent(utterance(0), spans).payload
    for star in (loaded(None, weights=folder), loaded(to_dict(small_config), weights=table)):
        assert torch.equal(star.represent(utterance(0), spans).payload, expected)


def test_weights_in_half_precision_are_half_as_large(small_config, folder):
    udit, path = build_parts(small_config, 7).udit, part_file(folder, "udit")
    before = path.stat().st_size
    save_part(path, udit, dtype="float16")
    assert path.stat().st_size < 0.6 * before
    star = loaded(None, weights=folder)
    assert star.parts.udit.time_ada.weight.dtype == torch.float32
    torch.testing.assert_close(
        star.parts.udit.state_dict(), udit.state_dict(), atol=1e-3, rtol=1e-3
    )


def test_missing_and_misfitting_weights_are_named(small_config, folder):
    with pytest.raises(FileNotFoundError, match=r"nowhere/config\.json"):
        Star(weights="nowhere")
    part_file(folder, "bridge").write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"bridge\.safetensors: not a safetensors file"):
        loaded(None, weights=folder)
    part_file(folder, "bridge").unlink()
    with pytest.raises(FileNotFoundError, match=r"bridge\.safetensors: no such weights"):
        loaded(None, weights=folder)
    with pytest.raises(ValueError, match="names no file for 'bridge'"):
        loaded(small_config, weights={"speech_encoder": str(part_file(folder, "speech_encoder"))})


def test_other_shapes_and_keys_are_named(tmp_path):
    path = tmp_path / "part.safetensors"
    save_part(path, torch.nn.Linear(2, 3))
    with pytest.raises(ValueError, match=r"weight is \(3, 2\) instead of \(3, 4\)"):
        load_part(path, torch.nn.Linear(4, 3))
    with pytest.raises(ValueError, match="left over bias;"):
        load_part(path, torch.nn.Linear(2, 3, bias=False))
    with pytest.raises(ValueError, match=r"missing 0\.weight \(is it weight\?\), 0\.bias"):
        load_part(path, torch.nn.Sequential(torch.nn.Linear(2, 3)))


def test_misuse_is_named(small_config, spans):
    star = Star(small_config)
    with pytest.raises(RuntimeError, match="not loaded"):
        star.represent(utterance(0), spans)
    with pytest.raises(ValueError, match="'int8', allowed are float32"):
        star.load("cpu", "int8")
    star.load("cpu", "float32")
    with pytest.raises(ValueError, match="'clip-0': speech is 8000 Hz, expected 16000 Hz"):
        star.represent(utterance(0)._replace(rate_hz=8000), spans)
    with pytest.raises(ValueError, match="0 clips, but 1 seeds"):
        star.generate([], [1], spans)
    assert star.generate([], [], spans) == []


def test_importing_the_system_does_not_import_torch():
    check = "import sys, stabench.systems.star.star; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_variants_are_stages_lengths_and_provenance_apart_the_same(small_config, spans):
    sounds = {}
    for variant in ("eager", "graph"):
        star = loaded(small_config, variant=variant)
        (sounds[variant],) = star.generate([star.represent(utterance(0), spans)], [3], spans)
        assert star.provenance()["variant"] == variant
    assert spans.names == ["speech_encoder", "bridge", "sampler", "decoder"] * 2
    difference = np.linalg.norm(sounds["graph"].samples - sounds["eager"].samples)
    assert difference < 1e-2 * np.linalg.norm(sounds["eager"].samples)


def test_the_generator_on_random_weights_is_built_when_it_is_needed(small_config, folder, spans):
    star = loaded(small_config)
    clip = star.represent(utterance(0), spans)
    assert star._generator is None
    star.generate([clip], [3], spans)
    assert star._generator is star.generator
    assert loaded(None, weights=folder)._generator is not None
    early = loaded(small_config)
    early.load_generator()
    assert early._generator is early.generator


def test_eager_replays_no_graph_and_changes_no_bit(small_config, spans, monkeypatch):
    """On a stand-in for a GPU, whose graphs can be told from the functions that they hold."""
    star = loaded(small_config, variant="graph")
    star.load_generator()
    replays = []

    def replaying(graphed):
        """As after a capture: a replay refills the output from the buffers."""

        def replay():
            replays.append(graphed)
            with torch.inference_mode():
                graphed._output = graphed._function(*graphed._buffers)

        return SimpleNamespace(replay=replay)

    reader, generator = star._reader, star.generator
    for part in (reader._encoders, reader._bridges, generator._samplers, generator._decoders):
        for graphed in part.values():
            graphed._graph = replaying(graphed)

    def sound():
        return star.generate([star.represent(utterance(0), spans)], [3], spans)[0].samples

    replayed = sound()
    assert len(replays) == 4
    with star.eager():
        assert np.array_equal(sound(), replayed)
    assert len(replays) == 4


def test_ablations_at_full_size():
    assert Star().config.bridge is not None
    without = StarWithoutBridge().config
    assert without.bridge is None
    assert without.encoder.kind == "hubert"
    dac = StarDac().config
    assert (dac.encoder.kind, dac.encoder.codec_rate_hz, dac.bridge.queries) == ("dac", 24_000, 32)


def test_ablations_keep_their_word_whatever_the_config(small_config, spans):
    star = StarWithoutBridge(small_config)
    star.load("cpu", "float32")
    star.represent(utterance(0), spans)
    assert spans.names == ["speech_encoder"]
    with pytest.raises(ValueError, match="'hubert-logmel', but this ablation is 'dac'"):
        StarDac(small_config)
    codec = SpeechEncoderConfig("dac", width=32, heads=2, codec_base=2, codec_books=2)
    star = StarDac(dataclasses.replace(small_config, encoder=codec), variant="graph")
    star.load("cpu", "float32")
    assert star.represent(utterance(0), spans).payload.shape == (1, 8, 32)


def test_what_cannot_be_had_is_said_at_once():
    assert VARIANTS == ("eager", "folded", "graph", "compiled")
    with pytest.raises(ValueError, match="'graphs', allowed are eager, folded, graph, compiled"):
        Star(variant="graphs")
    with pytest.raises(
        FileNotFoundError, match=r"wsntxxn/STAR.*not checked; set weights to a folder"
    ):
        Star(weights="published")


@pytest.mark.slow
def test_compiled_blocks_are_traced_whole_and_change_no_bit(small_config, spans, monkeypatch):
    """Traced without code generation, which a compiler's rounding would hide."""
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda *a, **k: compile_module(*a, **k, backend="eager")
    )
    sounds = []
    for variant in ("graph", "compiled"):
        star = loaded(small_config, variant=variant, steps=2)
        clip = star.represent(utterance(0), spans)
        sounds.append(star.generate([clip], [3], spans)[0].samples)
    assert np.array_equal(*sounds)
    torch._dynamo.reset()
