"""Whisper with a static cache: nothing of the last utterance is left, graphs replay its work."""

import contextlib

import pytest

pytest.importorskip("whisper", reason="openai-whisper is not installed")

import torch

from stabench.systems.asr import whisper_graph
from stabench.systems.asr.whisper import Whisper
from stabench.systems.asr.whisper_graph import WARM_UPS, greedy, record
from tests.systems.asr import tiny_whisper
from tests.systems.asr.tiny_whisper import utterance

SPEECH = [utterance(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_whisper.write(tmp_path_factory.mktemp("whisper") / "base.pt")


@pytest.fixture(scope="module")
def loaded(checkpoint):
    """The recognisers "stock" and "graph" on the CPU."""
    both = {variant: Whisper("base", variant, checkpoint) for variant in ("stock", "graph")}
    for recogniser in both.values():
        recogniser.load("cpu", "float32")
    return both


@pytest.fixture(scope="module")
def engine(loaded):
    return loaded["graph"].engine


def written(engine, speech) -> list[int]:
    with torch.inference_mode():
        return engine.decode(engine.encode(engine.mel(speech.samples)), 50).tokens


def test_begins_afresh_with_every_utterance(engine):
    with torch.inference_mode():
        features = engine.encode(engine.mel(SPEECH[0].samples)).clone()
        first = engine.decode(features, 50)
        engine.encode(engine.mel(SPEECH[1].samples))
        for block in engine.decoder.blocks:
            block.own.fill_(1e3)
            block.heard.fill_(1e3)
        assert engine.decode(features, 50) == first


def test_warm_ups_leave_no_trace(engine):
    expected = written(engine, SPEECH[0])
    with torch.inference_mode():
        for _ in range(WARM_UPS):
            engine._encode()
            engine.decoder.begin()
            engine.decoder.step()
    assert written(engine, SPEECH[0]) == expected


def test_log_mel_is_that_of_stock(loaded, engine):
    for speech in (SPEECH[0], utterance(0, 0), utterance(1, 1), utterance(2, 480_000)):
        stock = loaded["stock"].engine.mel(speech.samples)
        assert torch.equal(engine.mel(speech.samples), stock)


def test_attention_needs_no_copy_of_its_mask(engine):
    assert len(engine.decoder.places) % 8 == 0
    prompt, longest = len(engine.decoder.prompt), tiny_whisper.TINY.longest
    assert prompt + longest <= len(engine.decoder.places)


@pytest.mark.parametrize(("limit", "expected"), [(1, [5]), (2, [5, 6]), (9, [5, 6, 7])])
def test_greedy_stops_at_the_end_mark_or_the_limit(limit, expected):
    """A step more than tokens when the end mark is read, no step after the last token."""
    token, steps = torch.zeros(1, dtype=torch.int64), []

    def step():
        steps.append(1)
        token.add_(1)

    assert greedy(lambda: token.fill_(5), step, token, eot=8, limit=limit) == expected
    assert len(steps) == min(limit - 1, 3)


def test_recording_warms_up_beside_and_records_each_work_once(monkeypatch):
    done = []
    monkeypatch.setattr(torch, "cuda", NotedCuda(done))
    replays = record(tuple(lambda name=name: done.append(name) for name in "abc"))
    warm_ups = ["wait", "aside", *"abc" * WARM_UPS, "back", "wait"]
    recorded = [event for name in "abc" for event in ("recording", name, "recorded")]
    assert done == warm_ups + recorded
    done.clear()
    for replay in replays:
        replay()
    assert done == ["replay 1", "replay 2", "replay 3"]


def test_eager_runs_the_work_itself_and_writes_the_same_tokens(loaded, engine, monkeypatch):
    """On a stand-in for a GPU, whose replays do the work and are counted."""
    replays = []

    def counted(work):
        return lambda: (replays.append(work), work())

    monkeypatch.setattr(whisper_graph, "record", lambda works: tuple(map(counted, works)))
    monkeypatch.setattr(engine, "_on_gpu", True)
    monkeypatch.setattr(engine, "_replays", None)
    tokens = written(engine, SPEECH[0])
    assert replays == [engine._works[0], engine._works[1], *[engine._works[2]] * (len(replays) - 2)]
    count = len(replays)
    with loaded["graph"].eager():
        assert written(engine, SPEECH[0]) == tokens
    assert len(replays) == count > 2
    assert written(engine, SPEECH[0]) == tokens
    assert len(replays) == 2 * count


class NotedCuda:
    """The names of torch.cuda that recording uses; what is called goes into `done`."""

    def __init__(self, done: list[str]) -> None:
        self.done = done
        self.graphs = 0

    def Stream(self):
        return self

    def current_stream(self):
        return self

    def wait_stream(self, other) -> None:
        self.done.append("wait")

    @contextlib.contextmanager
    def stream(self, side):
        self.done.append("aside")
        yield
        self.done.append("back")

    def CUDAGraph(self):
        self.graphs += 1
        return NotedGraph(self.done, self.graphs)

    @contextlib.contextmanager
    def graph(self, graph):
        self.done.append("recording")
        yield
        self.done.append("recorded")


class NotedGraph:
    def __init__(self, done: list[str], number: int) -> None:
        self.done, self.number = done, number

    def replay(self) -> None:
        self.done.append(f"replay {self.number}")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_on_a_gpu_graphs_write_the_tokens_of_stock_and_wait_once_a_token(checkpoint, dtype):
    both = {variant: Whisper("base", variant, checkpoint) for variant in ("stock", "graph")}
    for recogniser in both.values():
        recogniser.load("cuda", dtype)
    graph = both["graph"].engine
    for speech in SPEECH:
        assert written(graph, speech) == written(both["stock"].engine, speech)
    with torch.inference_mode():
        mel = graph.mel(SPEECH[0].samples)
        torch.cuda.set_sync_debug_mode("error")
        try:
            features = graph.encode(mel)
            torch.cuda.set_sync_debug_mode("warn")
            with pytest.warns(UserWarning, match="synchronizing") as waits:
                tokens = graph.decode(features, 50).tokens
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert len(waits) == len(tokens) + 1
