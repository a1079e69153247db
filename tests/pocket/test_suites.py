"""The suites of the pocket world: which may be read side by side."""

import numpy as np

from stabench.harness.datasets.conditions.condition import parse_condition
from stabench.harness.device import Cpu
from stabench.harness.runner.clock import Clock
from stabench.harness.suites import suite
from stabench.pocket.systems import oracle
from stabench.systems.contract import Utterance


def test_the_grid_of_conditions_has_the_rules_and_the_systems_of_the_pocket_suite():
    pocket, grid = suite.load("pocket"), suite.load("pocket-conditions")
    assert (grid.dataset, grid.run, grid.metrics) == (pocket.dataset, pocket.run, pocket.metrics)
    systems = {system.name: system for system in pocket.systems}
    assert [system.name for system in grid.systems] == ["cascade", "star", "oracle"]
    for system in grid.systems:
        same = system.model_copy(update={"note": systems[system.name].note})
        assert same == systems[system.name]
    names = [condition.short for condition in grid.conditions]
    assert len(names) >= 8
    assert [parse_condition(name).name for name in names] == names


def test_the_oracle_makes_the_same_sound_whatever_is_heard():
    """It is run once for all conditions of a run: what it hears must not reach its output."""
    system = oracle()
    system.load("cpu", "float32")
    rng = np.random.default_rng(0)
    sounds = []
    for samples in (np.zeros(16_000), rng.uniform(-1, 1, 32_000)):
        utterance = Utterance("clip", samples.astype(np.float32), 16_000, "a dog barks")
        clock = Clock(Cpu())
        with clock.phase("represent"):
            representation = system.represent(utterance, clock)
        with clock.phase("generate"):
            (waveform,) = system.generate([representation], [7], clock)
        sounds.append(waveform.samples)
    assert np.array_equal(*sounds)
