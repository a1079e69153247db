"""Functions on fixed buffers: the same values, and a capture in the order that CUDA demands."""

import contextlib
from contextlib import contextmanager

import pytest
import torch

from stabench.systems.networks.cuda_graph import (
    WARM_UPS,
    Graphed,
    new_pool,
    replaying,
    without_graphs,
)


def weighted(one, two):
    return torch.addcmul(one, one, two, value=0.3)


def test_the_buffers_change_no_bit():
    inputs = torch.randn(3, 4), torch.randn(3, 4)
    graphed = Graphed(weighted, *(torch.zeros(3, 4) for _ in inputs))
    assert torch.equal(graphed(*inputs), weighted(*inputs))


def test_an_output_outlives_the_next_call():
    graphed = Graphed(lambda one: one[:2], torch.zeros(3))
    first = graphed(torch.ones(3))
    graphed(torch.zeros(3))
    assert torch.equal(first, torch.ones(2))


def test_inputs_must_have_the_captured_shapes():
    graphed = Graphed(weighted, torch.zeros(3, 4), torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"input is \(1, 4\), captured was \(3, 4\); pad it"):
        graphed(torch.zeros(3, 4), torch.zeros(1, 4))


def test_there_is_no_pool_on_a_cpu():
    assert new_pool(torch.device("cpu")) is None


@pytest.fixture
def cuda(monkeypatch):
    """A stand-in for CUDA's streams and graphs that notes what happens, in order."""
    log = []

    class Stream:
        def __init__(self, name="side"):
            self.name = name

        def wait_stream(self, other):
            log.append(f"{self.name} waits for {other.name}")

    class Graph:
        def replay(self):
            log.append("replay")

    @contextmanager
    def stream(which):
        log.append(f"on {which.name}")
        yield
        log.append(f"off {which.name}")

    @contextmanager
    def graph(which, pool):
        log.append(f"capture in {pool}")
        yield
        log.append("captured")

    fakes = {"Stream": Stream, "CUDAGraph": Graph, "stream": stream, "graph": graph}
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: Stream("current"))
    return log


def test_a_capture_warms_up_on_a_side_stream_and_replays_from_the_buffers(cuda):
    def function(one):
        cuda.append(f"run, cudnn searches: {torch.backends.cudnn.benchmark}")
        return one + 1

    graphed = Graphed(function, torch.zeros(2))
    graphed._capture(pool="pool")
    run = "run, cudnn searches: True"
    side = ["side waits for current", "on side", *[run] * WARM_UPS, "off side"]
    assert cuda == [*side, "current waits for side", "capture in pool", run, "captured"]
    assert not torch.backends.cudnn.benchmark
    kept = graphed._output
    output = graphed(torch.full((2,), 5.0))
    assert cuda[-1] == "replay"
    assert torch.equal(graphed._buffers[0], torch.full((2,), 5.0))
    assert torch.equal(output, kept)
    assert output.data_ptr() != kept.data_ptr()


def test_without_graphs_the_function_runs_on_the_same_buffers_and_nothing_is_replayed(cuda):
    graphed = Graphed(lambda one: one + 1, torch.zeros(2))
    graphed._capture(pool="pool")
    with without_graphs():
        cuda.clear()
        output = graphed(torch.full((2,), 5.0))
        assert cuda == []
    assert torch.equal(output, torch.full((2,), 6.0))
    assert torch.equal(graphed._buffers[0], torch.full((2,), 5.0))
    graphed(torch.zeros(2))
    assert cuda == ["replay"]


def test_graphs_are_replayed_again_afterwards_whatever_happened():
    assert replaying()
    with without_graphs():
        with without_graphs():
            assert not replaying()
        assert not replaying()
    with contextlib.suppress(ZeroDivisionError), without_graphs():
        raise ZeroDivisionError
    assert replaying()
