"""One probe in a process of its own: `python start.py stabench.harness.probing.probe RUN E B`.

It reads the run's record, trains a classifier on an encoder's frames, and leaves its logits of the
test clips in the run folder, or the reason why there are none.
"""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from stabench.harness import registry
from stabench.harness.errors import StabenchError, one_line
from stabench.harness.probing.corpus import OPEN_FRAMES, SPLITS, load_corpus
from stabench.harness.probing.run_file import ProbeRecord, ProbeRun, RunRecord
from stabench.harness.suites.probes import Bridge, EncoderUse
from stabench.metrics.average_precision import mean_average_precision

# By name: the harness imports nothing of `systems`.
STAGE1 = "stabench.systems.training.stage1"
WORKPLACE = "stabench.systems.training.workplace:Workplace"


def run_probe(run: ProbeRun, encoder: str, bridge: Bridge) -> ProbeRecord:
    """Train a probe of a run and keep it; one that fails is kept with its error."""
    record, began = run.record, time.monotonic()
    use = next(use for use in record.probes.encoders if use.name == encoder)
    try:
        probe, source = _train(run, record, use, bridge)
    except (StabenchError, ValueError, OSError, FloatingPointError, MemoryError) as error:
        text = str(error) if isinstance(error, StabenchError) else one_line(error)
        failed = ProbeRecord(encoder=encoder, bridge=bridge, error=text or "no message")
        run.write_probe(failed)
        return failed
    kept = ProbeRecord(
        encoder=encoder,
        bridge=bridge,
        validation=probe.validation,
        parameters=probe.parameters,
        layers=probe.layers,
        others=probe.others,
        source=source,
        wall_s=round(time.monotonic() - began, 3),
    )
    run.write_probe(kept, probe.logits)
    return kept


def _train(run: ProbeRun, record: RunRecord, use: EncoderUse, bridge: Bridge) -> tuple[Any, Any]:
    """Return what stage 1 gives, and where its frames come from."""
    import torch

    torch.set_num_threads(record.probes.probes.threads)
    corpus, device = load_corpus(record.probes), torch.device(record.request.device)
    splits, sources = {}, {}
    open_frames = registry.attribute(OPEN_FRAMES)
    labelled = registry.attribute(f"{STAGE1}:Labelled")
    choose = registry.attribute(f"{STAGE1}:Chosen")
    for split in SPLITS:
        part, folder = corpus.read(split), corpus.find_frames(use, split, device.type)
        splits[split] = labelled(choose(open_frames(folder, device), part.rows), part.labels)
        sources[split] = folder.name
    config = read_recipe(record.probes.recipe, bridge, record.probes.probes.seed)
    work = registry.attribute(WORKPLACE)(run.path / "training", device)
    train = registry.attribute(f"{STAGE1}:train_probe")
    probe = train(bridge, config, splits, work, f"{use.name}-{bridge}", measure)
    return probe, sources


def read_recipe(recipe: Any, bridge: Bridge, seed: int) -> Any:
    """Return stage 1's settings. Raises StabenchError for a key or value that is not allowed."""
    table = {"seed": seed, **recipe.get(bridge, {})}
    try:
        return registry.attribute(f"{STAGE1}:read_recipe")(bridge, table)
    except ValueError as error:
        raise StabenchError(str(error)) from None


def measure(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return mAP of all clips of a split."""
    return mean_average_precision(scores, truth).value


def main(arguments: list[str]) -> int:
    """Run the probe that the words name; end with 1 where it failed."""
    path, encoder, bridge = arguments
    threading.Thread(target=_end_with_parent, daemon=True).start()
    record = run_probe(ProbeRun(Path(path)), encoder, bridge)  # type: ignore[arg-type]
    return 1 if record.error else 0


def _end_with_parent() -> None:
    """Wait for the end of standard input: after a kill of the run no probe goes on alone."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
