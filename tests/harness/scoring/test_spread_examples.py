"""Whether FAD's network hears the end of a clip: what a protocol says, the network does."""

import pytest

from stabench.harness.scoring.features import network
from stabench.harness.suites import protocols
from stabench.metrics.protocol import Listening


@pytest.mark.parametrize(("long", "spread"), [("whole", False), ("windows", True)])
def test_the_rule_of_a_protocol_spreads_the_examples_of_vggish(long, spread):
    rule = Listening(network="pocket-vggish", long=long)
    assert network("fad", rule).embedder.spread is spread


@pytest.mark.parametrize(
    ("name", "spread"), [("paper", False), ("stabench", True), ("pocket", True)]
)
def test_only_the_papers_protocol_drops_the_end_of_a_clip(name, spread):
    rule = protocols.load(name).networks["fad"]
    assert (rule.long == "windows") is spread


def test_another_network_is_left_as_it_is():
    rule = Listening(network="pocket-cnn14", long="windows")
    assert not hasattr(network("tagger", rule).embedder, "spread")
