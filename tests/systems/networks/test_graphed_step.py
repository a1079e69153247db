"""Denoising loops as CUDA graphs, on a stand-in: the same calls, the same bits, fresh buffers.

The stand-in replays as a graph does: it reads the buffers that were captured, writes its result to
where the captured one lies, and runs nothing of Python but what is recorded.
"""

from contextlib import nullcontext
from functools import cache

import pytest
import torch

from stabench.systems.networks import cuda_graph
from stabench.systems.networks.cuda_graph import GraphedStep
from stabench.systems.tta.audioldm2.system import AudioLdm2
from stabench.systems.tta.audit import Audit
from stabench.systems.tta.ezaudio import EzAudio
from stabench.systems.tta.latent_diffusion.prompt import Context, widened
from stabench.systems.tta.latent_diffusion.sampler import draw
from stabench.systems.tta.meanaudio.system import MeanAudio
from stabench.systems.tta.stable_audio.sampler import StableSampler
from stabench.systems.tta.stable_audio.system import StableAudioOpen
from stabench.systems.tta.t5_guided import LONGEST
from stabench.systems.tta.tango2 import Tango2
from stabench.systems.tta.tangoflux.system import TangoFlux
from tests.systems.device_watch import Watch
from tests.systems.tta import (
    tiny_audioldm2,
    tiny_audit,
    tiny_ezaudio,
    tiny_meanaudio,
    tiny_stable_audio,
    tiny_tango2,
    tiny_tangoflux,
)

TEXTS = ("a dog barks while rain falls", "wind")
MODELS = {
    "tango2": (tiny_tango2.write, lambda **given: Tango2(steps=2, **given)),
    "audit": (tiny_audit.write, lambda **given: Audit(steps=4, **given)),
    "ezaudio": (tiny_ezaudio.write, lambda **given: EzAudio(steps=2, latent_frames=50, **given)),
    "stable-audio-open": (
        tiny_stable_audio.write,
        lambda **given: StableAudioOpen(steps=3, duration_s=0.9, **given),
    ),
    "tangoflux": (
        tiny_tangoflux.write,
        lambda **given: TangoFlux(steps=2, duration_s=1, **given),
    ),
    "meanaudio": (
        tiny_meanaudio.write,
        lambda **given: MeanAudio(steps=2, duration_s=0.3, **given),
    ),
    "audioldm2": (
        lambda home: tiny_audioldm2.build(home) or home,
        lambda **given: AudioLdm2(steps=2, duration_s=1.3, candidates=2, **given),
    ),
}


class Recorded(cuda_graph.Graphed):
    """Captured and replayed as on a GPU."""

    replays = 0

    def __init__(self, function, *examples, pool=None) -> None:
        super().__init__(function, *examples, pool=pool)
        with torch.inference_mode():
            self._output = function(*self._buffers).clone()
        self._graph = self

    def replay(self) -> None:
        """The function on the buffers, into the place of the captured output."""
        Recorded.replays += 1
        self._output.copy_(self._function(*self._buffers))


@pytest.fixture(scope="module", autouse=True)
def _recorded():
    """Graphs as on a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda_graph, "Graphed", Recorded)
        yield


# Of which all steps of a clip are one graph.
WHOLE = (EzAudio, MeanAudio, StableAudioOpen, TangoFlux)
# Of which all texts are of one length.
PADDED = (EzAudio, MeanAudio, StableAudioOpen)


@pytest.fixture(scope="module", autouse=True)
def _noise_of_the_graph():
    """Stable Audio Open's stock variant draws its noise from a tree; here as its graph does."""

    def drawn(self, like, seeds):
        noise = draw(seeds, self.shape, len(self.table))
        return lambda index: noise[1 + index]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StableSampler, "_grow_tree", drawn)
        yield


@pytest.fixture
def recorded(monkeypatch):
    """Counts replays from now on."""
    monkeypatch.setattr(Recorded, "replays", 0)
    return Recorded


# The largest ones, and one of two that work alike, are for the slow run.
SLOW = {"audioldm2", "audit", "tangoflux"}
PARAMS = [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in MODELS]


@pytest.fixture(scope="module", params=PARAMS)
def kind(request, tmp_path_factory):
    """The loaded model of a variant, its weights written once."""
    write, make = MODELS[request.param]
    home = write(tmp_path_factory.mktemp(request.param))

    @cache
    def loaded(variant: str, device: str = "cpu"):
        model = make(weights=home, variant=variant)
        model.load(device, "float32")
        return model

    return loaded


@pytest.fixture(scope="module")
def expected(kind):
    """Latents of both texts by the loop of the graph variant, run operation by operation."""
    model = kind("graph")
    with model.eager():
        return latents(model)


def latents(model, texts=TEXTS, seeds=(5, 6)):
    """What the loop gives for each text by itself."""
    prompts = [model.encode(text, no_clock) for text in texts]
    pairs = zip(prompts, seeds, strict=True)
    return [sample(model, [prompt], [seed]) for prompt, seed in pairs]


@torch.inference_mode()
def sample(model, prompts, seeds):
    if isinstance(model, AudioLdm2):
        return model._sample(prompts, seeds)
    return model.generator.latents(prompts, seeds)


def no_clock(name):
    return nullcontext()


def test_replays_give_the_bits_of_the_same_loop_without_graphs(kind, expected, recorded) -> None:
    """Text, seed, time step and latents change from replay to replay; so must the buffers."""
    model = kind("graph")
    replayed = latents(model)
    assert recorded.replays == 2 * calls(model)
    assert all(torch.equal(*pair) for pair in zip(replayed, expected, strict=True))
    with model.eager():
        latents(model, TEXTS[:1], [5])
    assert recorded.replays == 2 * calls(model)


def calls(model) -> int:
    """Graphs that one clip replays: PNDM has one more than steps, some one for all of them."""
    return 1 if isinstance(model, WHOLE) else model.steps + isinstance(model, Audit)


def test_latents_are_those_of_stock(kind, expected) -> None:
    """But for the rounding of hidden padding."""
    for found, stock in zip(expected, latents(kind("stock")), strict=True):
        torch.testing.assert_close(found, stock, rtol=1e-4, atol=1e-4 * float(stock.std()))


@pytest.mark.parametrize("forgotten", range(5))
def test_a_buffer_that_is_not_refilled_is_noticed(kind, expected, monkeypatch, forgotten) -> None:
    """The proof above has teeth: with any one input forgotten, its bits differ."""
    model = kind("graph")
    latents(model, TEXTS[1:], [6])  # what the buffers hold from before

    def refill(self, *inputs):
        for number, (buffer, given) in enumerate(zip(self._buffers, inputs, strict=True)):
            if number != min(forgotten, len(inputs) - 1):
                buffer.copy_(given)
        self.replay()
        return self._output.clone()

    monkeypatch.setattr(Recorded, "__call__", refill)
    (found,) = latents(model, TEXTS[:1], [5])
    assert not torch.equal(found, expected[0])


def test_an_output_that_is_not_copied_out_would_be_overwritten(recorded) -> None:
    step = GraphedStep(lambda one: one + 1, [(torch.zeros(2),)])
    first = step(torch.ones(2))
    step(torch.zeros(2))
    assert torch.equal(first, torch.full((2,), 2.0))


def test_other_batches_and_longer_texts_go_without_a_graph(kind, recorded) -> None:
    graph, stock = kind("graph"), kind("stock")
    prompts = [graph.encode(text, no_clock) for text in TEXTS]
    found, wanted = (sample(model, prompts, [5, 6]) for model in (graph, stock))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.std()))
    assert recorded.replays == 0
    if not isinstance(graph, PADDED):
        long = " ".join(["rain"] * (LONGEST + 1))
        assert torch.equal(*(latents(model, [long], [7])[0] for model in (graph, stock)))
        assert recorded.replays == 0


def test_shapes_choose_the_graph(recorded) -> None:
    calls = []

    def step(one, two):
        calls.append(tuple(one.shape))
        return one * 2

    graphs = GraphedStep(step, [(torch.zeros(rows, 3), torch.zeros(1)) for rows in (1, 4)])
    assert calls == [(4, 3), (1, 3)]  # the largest is captured first
    for rows in (1, 4, 2):
        assert torch.equal(graphs(torch.ones(rows, 3), torch.zeros(1)), torch.full((rows, 3), 2.0))
    assert recorded.replays == 2
    assert torch.equal(graphs(torch.ones(1, 3), None), torch.full((1, 3), 2.0))
    assert recorded.replays == 2


def test_a_widened_context_hides_what_is_added() -> None:
    states = torch.randn(2, 5, 3)
    wide = widened(Context(states, None), 8)
    assert torch.equal(wide.states[:, :5], states)
    assert not wide.states[:, 5:].any()
    assert wide.mask.tolist() == [[True] * 5 + [False] * 3] * 2
    again = widened(wide, 9)
    assert again.mask[:, :8].equal(wide.mask)
    assert widened(wide, 7) is wide


def test_variants_are_checked_and_said() -> None:
    for make in (Tango2, Audit, EzAudio, StableAudioOpen, TangoFlux, AudioLdm2, MeanAudio):
        with pytest.raises(ValueError, match="variant is 'graphs', allowed are stock, graph"):
            make(variant="graphs")
        assert make(variant="graph", weights="random").provenance()["variant"] == "graph"


def test_what_is_captured_waits_for_nothing_and_takes_nothing_from_the_host(kind) -> None:
    """A wait, like a copy from pageable memory, would break a capture on a GPU; a tensor on the
    meta device has no values to wait for."""
    model = kind("graph", "meta")
    if isinstance(model, AudioLdm2):
        parts = [model._predict]
    elif isinstance(model, StableAudioOpen | TangoFlux):
        parts = [model.generator.sampler.integrate]
    else:
        parts = list(model.generator)
    graphs = [graph for part in parts if isinstance(part, GraphedStep) for graph in listed(part)]
    assert len(graphs) == (3 if isinstance(model, MeanAudio) else 1)
    for graph in graphs:
        with torch.inference_mode():
            graph._function(*graph._buffers)  # as the warm-up does: tables are made now
            with Watch() as watch:
                assert graph._function(*graph._buffers).is_meta
        assert (watch.waits, watch.crossings) == ([], [])


def listed(step) -> list[cuda_graph.Graphed]:
    """What a step has captured."""
    return list(step._graphs.values())
