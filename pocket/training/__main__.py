"""`make pocket`: trains everything in `pocket/weights/` again; interrupt it and it goes on later.

    python -m stabench.pocket.training [--seed N] [--device cpu|cuda] [--lanes N] [--scale S]
                              [--work DIR] [--weights DIR] [--task NAME]

On a CPU two tasks run at a time, each in a process of its own with half of the cores, on a GPU one
after the other. Work lies in the cache folder (5 GB) and holds CPU tensors, so a run may go on on
another device. What was done when, and for how long, is left in `training.json` beside the weights.
`--seed 1` draws other first weights, batches and noise, and leaves the judges out: two seeds show
how much of a difference between systems is luck. `--scale 0.01` makes a hundredth of the clips and
steps: weights good for nothing, in minutes, from the same code.
"""

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import torch

from stabench.checkpoints.cache import cache_folder
from stabench.pocket.configs import WEIGHTS
from stabench.pocket.scenes import VERSION
from stabench.pocket.training import lanes
from stabench.pocket.training.plan import JUDGES, TASKS
from stabench.systems.training import device
from stabench.systems.training.workplace import Workplace


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    if options.task:
        _run_task(options)
        return
    tasks = [task for task in TASKS if options.seed == 0 or task.name not in JUDGES]
    try:
        work = Workplace(options.work, device.choose(options.device), options.scale, options.seed)
    except ValueError as error:
        raise SystemExit(f"pocket.training: {error}") from error
    count = options.lanes or (min(2, os.cpu_count() or 1) if work.device.type == "cpu" else 1)
    sys.exit(lanes.run(tasks, work, options.weights, count))


def _run_task(options: argparse.Namespace) -> None:
    """Run one task in this process, which ends when the one that started it does."""
    if options.attached:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
    try:
        work = Workplace(options.work, device.choose(options.device), options.scale, options.seed)
        # Only optimisation may round to TF32: what is measured or kept is computed in float32.
        with device.tf32(allowed=False):
            {task.name: task for task in TASKS}[options.task].run(work, options.weights)
    except ValueError as error:
        raise SystemExit(f"pocket.training: {error}") from error


def _end_with_parent() -> None:
    """Wait for the end of standard input: after a kill of the parent nothing goes on training."""
    # Not by sys.stdin: its lock, held while it reads, would be held for ever in a forked child,
    # and multiprocessing closes sys.stdin there.
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stabench.pocket.training", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--device", choices=device.NAMES, help="default: cuda where there is one")
    parser.add_argument("--seed", type=int, default=0, help="default: 0, the one that is shipped")
    parser.add_argument("--scale", type=_share, default=1.0, help="share of clips and steps")
    parser.add_argument("--lanes", type=int, help="tasks at a time; default: 2 on a CPU, else 1")
    parser.add_argument("--work", type=Path, help="state, to go on from; default: in the cache")
    parser.add_argument(
        "--weights",
        type=Path,
        help="default: pocket/weights; WORK/weights of another seed or scale",
    )
    names = [task.name for task in TASKS]
    parser.add_argument("--task", choices=names, help="this task alone, in this process")
    parser.add_argument("--attached", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    shipped = options.scale == 1 and options.seed == 0
    if options.work is None:
        scaled = "" if options.scale == 1 else f"-scale{options.scale:g}"
        options.work = cache_folder() / f"training-v{VERSION}{scaled}"
    if options.weights is None:
        seed = "" if options.seed == 0 else f"-seed{options.seed}"
        options.weights = WEIGHTS if shipped else options.work / f"weights{seed}"
    return options


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share; give a number in (0, 1]")
    return value


if __name__ == "__main__":
    main()
