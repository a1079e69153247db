"""`stabench train`: STAR's two stages from prepared data."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from stabench.harness import registry
from stabench.harness.cli.prepare import Recipe
from stabench.harness.device import device as find_device
from stabench.harness.device import select_gpu
from stabench.harness.errors import MissingError, StabenchError

# By name: the harness imports nothing of `systems`.
TRAINING, CURVES = "stabench.systems.training.star", "stabench.systems.training.curves"
Stage = Annotated[
    int | None,
    typer.Option("--stage", min=1, max=2, help="1: the bridge, 2: the generator. Default: both."),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Of stabench prepare. Default: data/NAME."),
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Default: trained/NAME of the recipe.")
]
OnDevice = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="cpu|cuda[:N]",
        help="Default: cuda where there is one.",
        callback=lambda name: name and select_gpu(name),
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="float32|bfloat16|float16",
        help="Of stage 2, by accelerate, which `accelerate launch` tells how many processes.",
    ),
]
Score = Annotated[
    str | None,
    typer.Option(
        "--score",
        metavar="PROTOCOL",
        help="Score the sounds that are rendered at each validation by it: FAD and CLAP.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(train)


def train(
    recipe: Recipe,
    stage: Stage = None,
    data: Data = None,
    out: Out = None,
    device: OnDevice = None,
    precision: Precision = None,
    score: Score = None,
) -> None:
    """Train STAR from prepared data: its bridge, then its generator.

    Stopped at any point it goes on where it was, when it is typed again. On several GPUs:
    accelerate launch -m stabench train star --stage 2 --precision bfloat16.

    Example: stabench train star --stage 1 --device cuda
    """
    from stabench.harness.prepare import recipe as recipes

    # What accelerate tells each process of a launch.
    processes, first = int(os.environ.get("WORLD_SIZE", "1")), os.environ.get("RANK", "0") == "0"
    if processes > 1 and stage != 2:
        raise StabenchError(f"{processes} processes: one trains stage 1; add --stage 2 to these")
    if device:
        find_device(device)
    chosen = recipes.load(recipe)
    prepared = data or recipes.default_folder(recipe)
    place = out or Path("trained") / Path(recipe).stem
    training = _try(lambda: _new_training(chosen, prepared, place))
    if stage != 2:
        value = _try(lambda: training.train_bridge(device, _measure))
        print(f"stage 1: mAP {value:.3f} on the validation split")
    if stage == 1:
        return
    if processes > 1 and precision is None:
        precision = "float32"
    scorer = _new_scorer(training, score) if score and first else None
    folder = _try(lambda: training.train_generator(device, precision, scorer))
    if scorer:
        registry.attribute(f"{CURVES}:plot_curves")(training.log, place / "curves.svg")
        print(f"curves: {place / 'curves.svg'}")
    if first:
        print(f"trained: {folder}")


def _new_training(recipe: Any, prepared: Path, out: Path) -> Any:
    from stabench.harness.prepare.record import CLIPS, read_prepared

    files = registry.attribute(f"{TRAINING}:SplitFiles")
    splits = {}
    for split in ("train", "validation"):
        record = read_prepared(prepared, recipe.data, split)
        place, frames, latents = prepared / split, record.features[0], record.latents
        splits[split] = files(
            clips=place / CLIPS,
            frames=(place / frames.folder, frames.digest),
            latents=(place / latents.folder, latents.digest) if latents else None,
        )
    encoder, vae = recipe.data.speech_encoder, recipe.data.vae
    return registry.attribute(f"{TRAINING}:StarTraining")(
        recipe.stage1,
        recipe.stage2,
        encoder.use,
        encoder.options,
        vae.options if vae else {},
        splits,
        out,
    )


def _new_scorer(training: Any, protocol: str) -> Callable[[Path], Any]:
    """Return what scores a folder of rendered sounds against their recordings."""
    from stabench.harness.scoring.training_samples import new_sample_scorer, write_references
    from stabench.harness.suites import protocols

    rules = protocols.load(protocol)
    clips = training.list_samples()
    if not clips:
        raise StabenchError("--score: the recipe renders nothing; set stage2.validation.samples")
    reference = write_references(training.out / "references", clips)
    return new_sample_scorer(reference, {clip: each[0] for clip, each in clips.items()}, rules)


def _measure(scores: Any, truth: Any) -> float:
    from stabench.metrics.average_precision import mean_average_precision

    return mean_average_precision(scores, truth).value


def _try(call: Callable[[], Any]) -> Any:
    """Return what `call` returns; what it raises of its input becomes a line and an exit code."""
    try:
        return call()
    except FileNotFoundError as error:
        raise MissingError(str(error)) from error
    except (ValueError, FloatingPointError, OSError) as error:
        raise StabenchError(str(error)) from error
