"""An adapter builds a system's generator before the clock runs, where it will be asked for."""

from pathlib import Path

import pytest

from stabench.harness.runner.adapter import Order, load

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
