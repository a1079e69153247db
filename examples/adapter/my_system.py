"""A system of one's own, in one file: noise as loud as the speech was.

Run it from the top of the repository:

    stabench check examples/adapter/my_system.py:MySystem
    stabench run pocket --system examples/adapter/my_system.py:MySystem --limit 12
"""

import numpy as np

from stabench import Representation, Waveform


class MySystem:
    """What the harness asks of a system: two rates and three methods."""

    sample_rate = 16_000  # Hz of what generate returns
    speech_rate_hz = 16_000  # Hz of what represent gets

    def load(self, device, dtype):
        """Read the weights; not timed."""

    def represent(self, utterance, spans):
        """Hear one utterance: processing latency."""
        with spans("speech_encoder"):
            level = float(np.abs(utterance.samples).mean())
        return Representation(level)

    def generate(self, representations, seeds, spans):
        """Sound a batch, one seed each: generation time."""
        with spans("sampler"):
            noise = [np.random.default_rng(seed).standard_normal(16_000) for seed in seeds]
        return [
            Waveform((representation.payload * wave).astype(np.float32), self.sample_rate)
            for representation, wave in zip(representations, noise, strict=True)
        ]
