"""The suites of the pocket world: which may be read side by side."""

from stabench.harness.suites import suite


def test_the_small_table_1_has_the_rules_of_the_pocket_suite_and_shares_its_star():
    pocket, ablations = suite.load("pocket"), suite.load("pocket-table1")
    for loaded in (pocket, ablations):
        loaded.check_names()
    assert (ablations.dataset, ablations.run) == (pocket.dataset, pocket.run)
    assert ablations.metrics == pocket.metrics
    systems = {system.name: system for system in pocket.systems}
    shared = [system for system in ablations.systems if system.name in systems]
    assert shared == [systems["star"], systems["star-nobridge"]]
    assert [system.name for system in ablations.systems] == ["star", "star-nobridge", "star-dac"]
