"""Packets: speech that is sent in pieces of 20 ms, of which some are lost and some are late."""

from collections.abc import Sequence

import numpy as np

from stabench.harness.datasets.conditions.condition import (
    Family,
    Heard,
    Number,
    Setting,
    Speech,
    Surroundings,
    share,
)

PACKET_S = 0.02
# Packets that are lost one after the other in a burst, on average.
BURST = 3
# What a repeated packet is multiplied by for each one lost before it.
FADE = 0.5
# The jitter buffer: how much it holds at first and at most, and after how many packets that came
# early enough it gives up a step.
DEPTH_MS, DEEPEST_MS, STEP_MS, PATIENCE = 40, 200, 20, 25


def split(speech: Speech) -> list[np.ndarray]:
    """Return the packets of speech, the last one what is left."""
    size = max(1, round(PACKET_S * speech.rate_hz))
    return [speech.samples[start : start + size] for start in range(0, len(speech.samples), size)]


def draw_bursts(draws: Sequence[float], rate: float) -> list[bool]:
    """Return which packets are lost, one for each number of `draws` (0 to 1): `rate` of them.

    A chain of two states (Gilbert 1960, Elliott 1963): all packets are lost in the bad state, none
    in the good one. It leaves the bad state with probability 1 / BURST and the good one with
    rate / (BURST (1 - rate)), and begins in the bad one with probability `rate`.
    """
    leave_bad, leave_good = 1 / BURST, rate / (BURST * (1 - rate))
    lost = [draws[0] < rate]
    for draw in draws[1:]:
        lost.append(draw >= leave_bad if lost[-1] else draw < leave_good)
    return lost


def conceal(packets: Sequence[np.ndarray], lost: Sequence[bool], repeat: bool) -> np.ndarray:
    """Return the packets with zeros for lost ones, or with the last one that came, fading."""
    shown: list[np.ndarray] = []
    last, gain = np.zeros(0), 1.0
    for packet, is_lost in zip(packets, lost, strict=True):
        if not is_lost:
            last, gain = packet, 1.0
            shown.append(packet)
            continue
        gain *= FADE
        filled = gain * last[: len(packet)] if repeat else last[:0]
        shown.append(np.pad(filled, (0, len(packet) - len(filled))))
    return np.concatenate(shown)


def lose(speech: Speech, setting: Setting, near: Surroundings) -> Heard:
    """Return speech of which each packet is lost with a probability of N %."""
    packets, rate = split(speech), setting.number / 100
    draws = near.generator.random(len(packets)).tolist()
    bursty = "bursty" in setting.options
    lost = draw_bursts(draws, rate) if bursty else [draw < rate for draw in draws]
    samples = conceal(packets, lost, "repeat" in setting.options)
    return Heard(samples, {"lost_share": share(lost)})


def play(delays_ms: Sequence[int]) -> list[int | None]:
    """Return what a jitter buffer plays of packets with these delays: numbers, None for silence.

    A packet that is later than the buffer is deep is lost: silence in its place. The buffer then
    grows by a step, which is as much silence more. After PATIENCE packets that would all have been
    in time for a shallower buffer it shrinks by a step: the next packet is left out.
    """
    slots: list[int | None] = []
    depth, calm, skip = DEPTH_MS, 0, False
    for number, delay in enumerate(delays_ms):
        if delay > depth:
            slots.append(None)
            if depth < DEEPEST_MS:
                depth += STEP_MS
                slots.append(None)
            calm, skip = 0, False
            continue
        if skip:
            skip = False
            continue
        slots.append(number)
        calm = calm + 1 if delay <= depth - STEP_MS else 0
        if calm >= PATIENCE and depth > DEPTH_MS:
            depth, calm, skip = depth - STEP_MS, 0, True
    return slots


def jitter(speech: Speech, setting: Setting, near: Surroundings) -> Heard:
    """Return speech whose packets are delayed by 0 to 2 N ms, equally likely, through a buffer."""
    packets = split(speech)
    delays = near.generator.integers(0, 2 * setting.number + 1, len(packets)).tolist()
    size, rate_hz = len(packets[0]), speech.rate_hz
    pieces, knots, position = [], [(0, 0)], 0
    slots = play(delays)
    for number in slots:
        piece = np.zeros(size) if number is None else packets[number]
        if number is not None:
            # One sample in: the instant at which a packet ends is not moved by a gap after it.
            start, end = number * size, number * size + len(piece)
            knots += [(start + 1, position + 1), (end, position + len(piece))]
        pieces.append(piece)
        position += len(piece)
    played = {*slots}
    lost = [number not in played for number in range(len(packets))]
    times = tuple((before / rate_hz, after / rate_hz) for before, after in knots)
    inserted_s = (position - len(speech.samples)) / rate_hz
    measured = {"lost_share": share(lost), "inserted_s": inserted_s}
    return Heard(np.concatenate(pieces), measured, times)


LOSS = Family(
    "loss",
    "packets of 20 ms, N % of them lost independently, with silence in their place",
    lose,
    number=Number(1, 60, "%"),
    options={
        "bursty": f"lost in bursts of {BURST} packets on average (Gilbert-Elliott)",
        "repeat": "the last packet that came again, each time half as loud, in place of silence",
    },
    measures={"lost_share": "share of packets that were lost, 0 to 1"},
    same="bytes",
)
JITTER = Family(
    "jitter",
    "packets of 20 ms that are 0 to 2 N ms late, through a buffer of 40 ms that adapts",
    jitter,
    number=Number(5, 100, "ms"),
    measures={
        "lost_share": "share of packets that were late or left out, 0 to 1",
        "inserted_s": "seconds by which the buffer made the speech longer",
    },
    same="bytes",
)
