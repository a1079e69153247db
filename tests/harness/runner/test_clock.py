"""The clock: what it adds up, with a counter for time and a device that only keeps a diary."""

from itertools import count

import pytest

from stabench.harness.device import Cpu
from stabench.harness.runner.clock import Clock
from stabench.harness.runs.journal import Span


class Diary(Cpu):
    """A device whose marks are numbers, and which notes each synchronisation."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._marks = count(100, 10)

    def synchronize(self) -> None:
        self.events.append("synchronize")

    def mark(self) -> int:
        self.events.append("mark")
        return next(self._marks)

    def between_ns(self, start: int, end: int) -> int:
        return end - start


def _ticking(step: int = 1) -> Clock:
    """A clock on a CPU whose time moves by `step` at every look."""
    return Clock(Cpu(), count(0, step).__next__)


def test_stages_and_remainder_add_up_to_the_phase() -> None:
    clock = _ticking()
    with clock.phase("represent"):
        with clock("listen"):
            pass
        with clock("bridge"):
            pass
    assert clock.spans == [Span("represent", "listen", 1), Span("represent", "bridge", 1)]
    looks_within = 5
    assert clock.phase_ns == {"represent": looks_within}


def test_a_name_used_twice_in_a_phase_is_one_stage() -> None:
    clock = _ticking(10)
    with clock.phase("generate"):
        for name in ("step", "decode", "step"):
            with clock(name):
                pass
    assert clock.spans == [Span("generate", "step", 20), Span("generate", "decode", 10)]


def test_the_same_name_in_two_phases_is_two_stages() -> None:
    clock = _ticking()
    for phase in ("represent", "generate"):
        with clock.phase(phase), clock("encode"):
            pass
    assert [span.phase for span in clock.spans] == ["represent", "generate"]
    clock.reset()
    assert (clock.spans, clock.phase_ns) == ([], {})


def test_device_time_is_a_column_of_its_own() -> None:
    diary = Diary()
    clock = Clock(diary, count().__next__)
    with clock.phase("generate"):
        for _ in range(2):
            with clock("sampler"):
                pass
    assert clock.spans == [Span("generate", "sampler", 2, 20)]


def test_the_device_is_waited_for_before_and_after_a_phase_and_at_the_end_of_a_stage() -> None:
    diary = Diary()
    clock = Clock(diary, lambda: diary.events.append("look") or len(diary.events))
    with clock.phase("generate"), clock("sampler"):
        diary.events.append("work")
    assert diary.events == [
        *("synchronize", "look"),
        *("look", "mark", "work", "mark", "synchronize", "look"),
        *("synchronize", "look"),
    ]


def test_a_stage_inside_a_stage_is_refused() -> None:
    clock = _ticking()
    with (
        pytest.raises(RuntimeError, match="'inner' is inside stage 'outer'"),
        clock.phase("represent"),
        clock("outer"),
        clock("inner"),
    ):
        pass


def test_a_stage_outside_the_phases_is_refused() -> None:
    with pytest.raises(RuntimeError, match="'load' is outside"), _ticking()("load"):
        pass


def test_a_phase_that_raises_leaves_no_times_and_the_clock_can_go_on() -> None:
    clock = _ticking()
    with pytest.raises(ZeroDivisionError), clock.phase("represent"), clock("listen"):
        raise ZeroDivisionError
    assert (clock.spans, clock.phase_ns) == ([], {})
    with clock.phase("represent"), clock("listen"):
        pass
    assert clock.phase_ns == {"represent": 3}


def test_a_stage_that_was_timed_elsewhere_is_added() -> None:
    clock = _ticking(10)
    with clock.phase("represent"):
        with clock("write"):
            pass
        clock.add("asr", 5)
        clock.add("asr", 7)
    assert clock.spans == [
        Span("represent", "write", 10, None),
        Span("represent", "asr", 12, None),
    ]
    assert clock.phase_ns["represent"] > 22


def test_added_stages_fit_into_the_time_that_has_passed() -> None:
    clock = _ticking(10)
    with clock.phase("represent"):
        with clock("write"):
            pass
        with pytest.raises(ValueError, match="stage 'asr' of 40 ns: stages of 50 ns in 30 ns"):
            clock.add("asr", 40)
        with pytest.raises(ValueError, match="stage 'asr' of -1 ns"):
            clock.add("asr", -1)
    with pytest.raises(RuntimeError, match="outside represent and generate"):
        clock.add("asr", 1)
