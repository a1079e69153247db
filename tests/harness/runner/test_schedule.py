"""The schedule: everything once, turns that cancel drift, seeds that depend on nothing else."""

import hashlib
from itertools import groupby, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stabench.harness.datasets.dataset import clip_seed
from stabench.harness.runner.schedule import batches, blocks, order, warmups

NAMES = st.lists(st.text("abcdef", min_size=1, max_size=4), min_size=1, max_size=7, unique=True)


def _blocks(systems: list[str], clips: list[str], repeats: int = 1, block: int = 1, seed: int = 0):
    return list(blocks(systems, clips, repeats=repeats, block=block, seed=seed))


@given(NAMES, NAMES, st.integers(1, 3), st.integers(1, 5), st.integers(0, 99))
def test_every_clip_runs_once_in_every_system_and_repeat(
    systems: list[str], clips: list[str], repeats: int, block: int, seed: int
) -> None:
    keys = [task.key for tasks in _blocks(systems, clips, repeats, block, seed) for task in tasks]
    expected = {(s, c, r, False) for s in systems for c in clips for r in range(repeats)}
    assert len(keys) == len(expected)
    assert set(keys) == expected


@given(NAMES, NAMES, st.integers(1, 5), st.integers(1, 5))
def test_batches_keep_order_and_size(
    systems: list[str], clips: list[str], block: int, size: int
) -> None:
    for tasks in _blocks(systems, clips, block=block):
        split = list(batches(tasks, size))
        assert [task for batch in split for task in batch] == list(tasks)
        assert all(0 < len(batch) <= size for batch in split)


def test_two_systems_take_turns_a_b_b_a() -> None:
    turns = [tasks[0].system for tasks in _blocks(["x", "y"], list("abcd"), repeats=2)]
    first, second = turns[:2]
    assert turns == [first, second, second, first] * 4
    assert {first, second} == {"x", "y"}


def test_a_steady_drift_adds_the_same_to_every_system() -> None:
    tasks = [
        task for block in _blocks(["x", "y", "z"], list("abcdefgh"), block=2) for task in block
    ]
    drift = dict.fromkeys("xyz", 0)
    for moment, task in enumerate(tasks):
        drift[task.system] += moment
    assert len(set(drift.values())) == 1


def test_all_systems_see_the_clips_in_the_same_order() -> None:
    tasks = [task for block in _blocks(["x", "y"], list("abcdefgh"), block=3) for task in block]
    seen = {name: [task.clip for task in tasks if task.system == name] for name in "xy"}
    assert seen["x"] == seen["y"]


def test_the_order_comes_from_the_seed_and_nothing_else() -> None:
    clips = [str(number) for number in range(30)]
    assert order(clips, 1, "clips") == order(clips, 1, "clips")
    assert order(clips, 1, "clips") != order(clips, 2, "clips")
    assert order(clips, 1, "clips") != order(clips, 1, "systems")
    assert sorted(order(clips, 1, "clips")) == sorted(clips)
    firsts = {_blocks(["x", "y"], clips, seed=seed)[0][0].system for seed in range(20)}
    assert firsts == {"x", "y"}


@pytest.mark.parametrize(("seed", "clip", "repeat"), [(0, "a", 0), (7, "Y_GI7meqlYZk", 3)])
def test_a_clip_seed_is_the_first_63_bits_of_its_digest(seed: int, clip: str, repeat: int) -> None:
    digest = hashlib.sha256(f"{seed}:{clip}:{repeat}".encode()).hexdigest()
    bits = bin(int(digest[:16], 16))[2:].zfill(64)[:63]
    assert clip_seed(seed, clip, repeat) == int(bits, 2)


def test_clip_seeds_fit_a_signed_64_bit_integer_and_differ() -> None:
    seeds = [clip_seed(0, f"clip{number}", 0) for number in range(2000)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert len(set(seeds)) == len(seeds)


def test_seeds_do_not_depend_on_systems_blocks_or_repeats_of_others() -> None:
    def seeds(*arguments: object) -> dict[tuple[str, int], int]:
        tasks = (task for block in _blocks(*arguments) for task in block)
        return {(task.clip, task.repeat): task.seed for task in tasks}

    assert seeds(["x"], ["a", "b"]).items() <= seeds(["y", "z"], ["b", "c", "a"], 2, 3).items()


def test_warm_ups_never_share_a_key() -> None:
    tasks = list(islice(warmups("x", ["a", "b"], 0), 5)) + list(
        islice(warmups("x", ["a"], 0, 5), 2)
    )
    assert len({task.key for task in tasks}) == 7
    assert all(task.warmup for task in tasks)
    assert [len(list(group)) for _, group in groupby(task.clip for task in tasks[:5])] == [1] * 5
