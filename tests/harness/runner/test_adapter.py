"""An adapter builds a system's generator before the clock runs, where it will be asked for."""

from pathlib import Path

import numpy as np
import pytest

from stabench.harness.errors import StabenchError
from stabench.harness.runner.adapter import Order, Refused, checked, load
from stabench.systems.contract import Waveform

SYSTEM = """
class Lazy:
    sample_rate = 16_000

    def __init__(self):
        self.calls = []

    def load(self, device, dtype):
        self.calls.append(("load", device, dtype))

    def load_generator(self):
        self.calls.append("generator")

    def represent(self, speech, spans): ...

    def generate(self, representations, seeds, spans): ...

    def provenance(self):
        return {"after": len(self.calls)}
"""


@pytest.mark.parametrize(("phase", "built"), [("all", ["generator"]), ("represent", [])])
def test_a_generator_is_built_with_the_weights_or_not_at_all(
    phase: str, built: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "lazy.py"
    path.write_text(SYSTEM)
    order = Order("lazy", f"{path}:Lazy", {}, "cpu", "float32", 1, str(tmp_path), phase)
    loaded = load(order)
    assert loaded.system.calls == [("load", "cpu", "float32"), *built]
    assert loaded.provenance == {"after": 1 + len(built)}


@pytest.mark.parametrize("rate_hz", [1, 16, 999, 384_001, 2**31])
def test_a_rate_that_no_file_may_have_is_refused_while_loading(
    rate_hz: int, tmp_path: Path
) -> None:
    path = tmp_path / "lazy.py"
    path.write_text(SYSTEM.replace("16_000", str(rate_hz)))
    order = Order("lazy", f"{path}:Lazy", {}, "cpu", "float32", 1, str(tmp_path), "all")
    line = f"'sample_rate' is {rate_hz} Hz, allowed are 1000 to 384000 Hz"
    with pytest.raises(StabenchError, match=line):
        load(order)


def test_an_output_longer_than_a_file_may_be_fails() -> None:
    samples = np.broadcast_to(np.float32(0.1), 601_000)
    with pytest.raises(Refused, match="the output lasts 601 s at 1000 Hz, allowed are 600 s"):
        checked(Waveform(samples, 1_000), 1_000)
    assert len(checked(Waveform(samples[:600_000], 1_000), 1_000)) == 600_000
