"""Features of all three networks: our one pass against the chain that papers' scripts run.

The baseline is written here, from what those tools do, and is not their code. An evaluation runs
audioldm_eval for FAD and FD and a script for CLAP: each network reads the file again, resamples it
again with a kernel made anew, and hears one clip at a time; VGGish has its log-mel in NumPy float64
and builds an autograd graph, CNN14 its DFT as a convolution, CLAP the NumPy front end of
transformers and one caption at a time. Two things are in its favour: it resamples by a convolution
(frechet-audio-distance's resampy takes over 100 ms a clip), and it starts no worker processes.
Both sides have the same networks and random weights, and give the same features.

`make benchmark` runs full size; the test suite runs small networks once, for the equality.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from math import ceil, gcd
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.nn import functional as F

from stabench.harness.scoring.features import Network, hear
from stabench.metrics.audio import Audio, decode, int16_round_trip
from stabench.metrics.embedders import laion, published
from stabench.metrics.embedders.clap import ClapEmbedder
from stabench.metrics.embedders.cnn14 import Cnn14, Cnn14Config, Cnn14Tagger
from stabench.metrics.embedders.mel import htk_bank
from stabench.metrics.embedders.tokens import StandInTokens
from stabench.metrics.embedders.vggish import LOG_OFFSET, Vggish, VggishConfig, VggishEmbedder
from stabench.metrics.embedders.weight_sources import Seeded
from stabench.metrics.protocol import Listening
from stabench.metrics.resample import NAME, WINDOWS, _design_bank

DURATION_S = 10
CLIPS, ROUNDS = 8, 7
SHORTEST = 32000
CAPTION = "a dog barks while rain falls on a tin roof and a train passes"
RULES = {
    "fad": Listening(network="vggish", channels="first", remove_dc=True),
    "tagger": Listening(network="cnn14-16k", channels="first", remove_dc=True),
    "clap": Listening(network="clap-630k", channels="mean", int16=True, long="first"),
}
SMALL_CLAP = {
    "text_config": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
    "audio_config": {
        "patch_embeds_hidden_size": 16,
        "depths": [1, 1],
        "num_attention_heads": [2, 4],
        "hidden_size": 32,
    },
    "projection_dim": 16,
}


class Form(NamedTuple):
    """Of a WAV file."""

    rate_hz: int
    channels: int


CASES = {
    "44.1 kHz stereo": (Form(44100, 2),),
    "16 and 48 kHz mono": (Form(16000, 1), Form(48000, 1)),
}


class Sizes(NamedTuple):
    """Of the networks; `clap` is a ClapConfig's JSON."""

    vggish: VggishConfig
    cnn14: Cnn14Config
    clap: str


class Networks(NamedTuple):
    """The same weights twice: as plain modules for the baseline, as embedders by role for us."""

    vggish: Vggish
    cnn14: Cnn14
    clap: Any
    embedders: dict[str, Any]


class Resident:
    """An embedder that stays loaded from round to round."""

    def __init__(self, embedder: Any) -> None:
        embedder.load("cpu")
        self._embedder = embedder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def load(self, device: str, precision: str) -> None:
        """Nothing: it is."""


def full() -> Sizes:
    """As published."""
    return Sizes(VggishConfig(), Cnn14Config(), laion.config(*published.TINY))


def small() -> Sizes:
    """Quick enough for every run of the tests."""
    from transformers import ClapConfig

    return Sizes(
        VggishConfig(channels=(4, 8, 8, 8), hidden=16, embedding=6),
        Cnn14Config(channels=(4, 8, 8, 16, 16), embedding=32, classes=3),
        ClapConfig(**SMALL_CLAP).to_json_string(use_diff=False),
    )


def networks(sizes: Sizes) -> Networks:
    """Both forms of the three networks, with the same seeded weights."""
    vggish, cnn14 = Seeded(lambda: Vggish(sizes.vggish)), Seeded(lambda: Cnn14(sizes.cnn14))
    clap = Seeded(lambda: published._build_clap_model(sizes.clap))
    embedders = {
        "fad": VggishEmbedder(vggish, sizes.vggish),
        "tagger": Cnn14Tagger(cnn14, sizes.cnn14, (), ()),
        "clap": ClapEmbedder(clap, StandInTokens(), None, sizes.clap),
    }
    plain = [source.build().eval() for source in (vggish, cnn14, clap)]
    for source, module in zip((vggish, cnn14, clap), plain, strict=True):
        source.fill(module)
    return Networks(*plain, {role: Resident(each) for role, each in embedders.items()})


def one_pass(found: Networks, paths: list[Path]) -> dict[str, list[np.ndarray]]:
    """Ours: every file decoded once, resampled once per rate, kept features forgotten."""
    heard_by = {
        role: Network(role, rule, found.embedders[role], threads=torch.get_num_threads())
        for role, rule in RULES.items()
    }
    sounds = {path.stem: partial(decode, path) for path in paths}
    heard = hear("clips", sounds, heard_by, lambda *_: None)
    captions = [_caption(number) for number in range(len(paths))]
    text = heard_by["clap"].text(set(captions))
    features = {
        role: [each.embeddings for each in heard.features(role, list(sounds))] for role in RULES
    }
    return features | {"text": [text[caption][None] for caption in captions]}


def chain(found: Networks, paths: list[Path]) -> dict[str, list[np.ndarray]]:
    """The baseline of the module's docstring."""
    extractor = _extractor()
    return {
        "fad": [_vggish(found.vggish, path) for path in paths],
        "tagger": [_cnn14(found.cnn14, path) for path in paths],
        "clap": [_clap(found.clap, extractor, path) for path in paths],
        "text": [_text(found.clap, _caption(number)) for number in range(len(paths))],
    }


def _vggish(network: Vggish, path: Path) -> np.ndarray:
    samples = _heard(path, 16000, RULES["fad"]).astype(np.float64)
    config = network.config
    frames = np.lib.stride_tricks.sliding_window_view(samples, config.window)[:: config.hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.window) / config.window)
    bank = htk_bank(config.rate_hz, 512, config.mels, config.fmin, config.fmax)
    mel = np.log(np.abs(np.fft.rfft(frames * hann, 512)) @ bank + LOG_OFFSET)
    whole = mel[: len(mel) // config.frames * config.frames]
    examples = torch.tensor(whole.reshape(-1, 1, config.frames, config.mels), dtype=torch.float32)
    return network(examples).detach().numpy()  # with its graph, as in those tools


@torch.no_grad()
def _cnn14(network: Cnn14, path: Path) -> np.ndarray:
    samples = _heard(path, network.config.rate_hz, RULES["tagger"])
    return network(torch.from_numpy(samples)[None]).embedding.numpy()


@torch.no_grad()
def _clap(network: Any, extractor: Any, path: Path) -> np.ndarray:
    samples = _heard(path, 48000, RULES["clap"])
    mel = extractor(samples, sampling_rate=48000, return_tensors="pt")["input_features"]
    return network.get_audio_features(input_features=mel).pooler_output.numpy()


@torch.no_grad()
def _text(network: Any, caption: str) -> np.ndarray:
    ids, mask = (torch.from_numpy(array) for array in StandInTokens()([caption]))
    return network.get_text_features(input_ids=ids, attention_mask=mask).pooler_output.numpy()


def _extractor() -> Any:
    from transformers import ClapFeatureExtractor

    return ClapFeatureExtractor(
        frequency_min=50, frequency_max=14000, truncation="rand_trunc", padding="repeatpad"
    )


def _heard(path: Path, rate_hz: int, rule: Listening) -> np.ndarray:
    samples, from_hz = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples[:, 0] if rule.channels == "first" else samples.mean(axis=1)
    if rule.remove_dc:
        mono = mono - mono.mean()
    mono = _resampled(np.ascontiguousarray(mono), from_hz, rate_hz)
    mono = int16_round_trip(mono) if rule.int16 else mono
    return np.pad(mono, (0, max(SHORTEST - len(mono), 0)))


def _resampled(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """The windowed sinc as a strided convolution, its kernel made anew."""
    if from_hz == to_hz:
        return samples
    divisor = gcd(from_hz, to_hz)
    step, phases = from_hz // divisor, to_hz // divisor
    taps, width = _design_bank.__wrapped__(step, phases, WINDOWS[NAME])
    padded = F.pad(torch.from_numpy(samples)[None, None], (width, width + step))
    kernel = torch.from_numpy(np.ascontiguousarray(taps.T))[:, None]
    found = F.conv1d(padded, kernel, stride=step)[0].T.reshape(-1)
    return found[: ceil(phases * len(samples) / step)].numpy()


def _caption(number: int) -> str:
    return f"{CAPTION} number {number}"


def files(folder: Path, forms: tuple[Form, ...], count: int) -> list[Path]:
    """`count` WAV files of noise, 16 bit, of the forms in turn."""
    paths = [folder / f"clip{number}.wav" for number in range(count)]
    for number, path in enumerate(paths):
        form = forms[number % len(forms)]
        soundfile.write(path, _noise(number, form), form.rate_hz, subtype="PCM_16")
    return paths


def _noise(seed: int, form: Form) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (form.rate_hz * DURATION_S, form.channels)
    return (rng.standard_normal(shape, dtype=np.float32) * np.float32(0.1)).clip(-1, 1)


@pytest.fixture(scope="module")
def both(request: pytest.FixtureRequest) -> Networks:
    """Full size when benchmarks are measured, small when they only run."""
    return networks(full() if request.config.getoption("--benchmark-enable") else small())


@pytest.mark.parametrize("case", CASES)
def test_one_pass_against_the_chain(
    benchmark: BenchmarkFixture, both: Networks, tmp_path: Path, case: str
) -> None:
    measured = benchmark.enabled
    paths = files(tmp_path, CASES[case], CLIPS if measured else 2)
    _same(one_pass(both, paths), chain(both, paths))
    baseline_s: list[float] = []
    ours_s: list[float] = []

    def baseline() -> None:
        baseline_s.append(_seconds(lambda: chain(both, paths)))

    def ours() -> None:
        ours_s.append(_seconds(lambda: one_pass(both, paths)))

    # The setup runs before each round: the two alternate, and drift hits both.
    benchmark.pedantic(ours, setup=baseline, rounds=ROUNDS if measured else 1)
    benchmark.extra_info |= {
        "clips": len(paths),
        "threads": torch.get_num_threads(),
        "baseline_ms_a_clip_median": 1000 * float(np.median(baseline_s)) / len(paths),
        "ours_ms_a_clip_median": 1000 * float(np.median(ours_s)) / len(paths),
        "baseline_over_ours_medians": float(np.median(baseline_s) / np.median(ours_s)),
        "baseline_over_ours_min_by_min": min(baseline_s) / min(ours_s),
    }


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is Linux's VmHWM")
def test_peak_memory_does_not_grow_with_the_clips(benchmark: BenchmarkFixture) -> None:
    """Decoded, 64 clips are 226 MB and 1,024 are 3.6 GB; small networks, so that audio shows."""
    few, many = (64, 1024) if benchmark.enabled else (16, 48)

    def measure() -> str:
        command = [sys.executable, __file__, str(few), str(many)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    first, last = map(float, benchmark.pedantic(measure, rounds=1).split())
    decoded_mb = (many - few) * 2 * 44100 * DURATION_S * 4 / 1e6
    assert last - first < decoded_mb / 4
    benchmark.extra_info |= {f"peak_mb_{few}_clips": first, f"peak_mb_{many}_clips": last}


def _same(ours: dict[str, list[np.ndarray]], theirs: dict[str, list[np.ndarray]]) -> None:
    for role, rows in theirs.items():
        expected = np.concatenate(rows)
        scale = float(np.abs(expected).max())
        assert np.concatenate(ours[role]) == pytest.approx(expected, abs=1e-4 * scale), role


def _seconds(run: Callable[[], object]) -> float:
    start_ns = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - start_ns) / 1e9


def _peak_mb(clips: int, found: Networks, folder: Path) -> float:
    """After this many clips have been heard, the peak of this process's resident memory."""
    heard_by = {
        role: Network(role, rule, found.embedders[role], folder) for role, rule in RULES.items()
    }
    sounds = {f"clip{n}": partial(_audio, n) for n in range(clips)}
    hear("clips", sounds, heard_by, lambda *_: None)
    [line] = [
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) * 1024 / 1e6


def _audio(seed: int) -> Audio:
    return Audio(_noise(seed, Form(44100, 2)), 44100)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as kept:
        small_networks = networks(small())
        for clips in map(int, sys.argv[1:]):
            print(_peak_mb(clips, small_networks, Path(kept)))
