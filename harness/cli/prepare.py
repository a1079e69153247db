"""`stabench prepare`: what training reads, from AudioCaps."""

from pathlib import Path
from typing import Annotated

import typer

from stabench.harness import registry
from stabench.harness.cli import options
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.formatting import counted

Recipe = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="Registered recipe (star), or a .toml.",
        autocompletion=lambda: list(registry.entries("recipes")),
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Default: data/NAME of the recipe.")
]
Splits = Annotated[
    list[str] | None,
    typer.Option(
        "--split",
        metavar="train|validation|test",
        help="Only this one; repeatable. Default: all that the recipe has.",
    ),
]
Workers = Annotated[
    int, typer.Option("--workers", min=1, help="Processes that speak captions and read sounds.")
]


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(prepare)


def prepare(
    recipe: Recipe,
    out: Out = None,
    split: Splits = None,
    device: options.OnDevice = None,
    limit: options.Limit = None,
    workers: Workers = 1,
) -> None:
    """Make what training reads: speech, labels, features and latents of AudioCaps.

    Killed at any point it goes on where it was, when it is typed again.

    Example: stabench prepare star --split test --limit 12
    """
    from stabench.harness.device import device as find_device
    from stabench.harness.prepare import prepare as steps
    from stabench.harness.prepare import recipe as recipes

    data = recipes.load(recipe).data
    for name in split or ():
        if name not in recipes.SPLITS:
            raise StabenchError(f"--split: {unknown('split', name, recipes.SPLITS)}")
    chosen = [name for name in recipes.SPLITS if name in (split or recipes.SPLITS)]
    if not split:
        chosen = [name for name in chosen if data.csv.of(name)]
    find_device(device or "cpu")
    folder = out or recipes.default_folder(recipe)
    record = steps.prepare(data, folder, chosen, device or "cpu", limit, workers)
    for name in chosen:
        made = record.splits[name]
        stores = [*made.features, *filter(None, [made.latents])]
        failed = f", {made.failed} failed ({folder / name / 'failed.jsonl'})" if made.failed else ""
        bare = f", {made.unlabelled} without labels" if made.unlabelled else ""
        print(f"{name}: {counted(made.clips, 'clip')}{failed}{bare}")
        for store in stores:
            print(f"  {store.folder}: {counted(store.contents, 'content')} of {store.use}")
        if made.other_start:
            print(f"  {made.other_start} labels are of a segment that begins elsewhere")
    print(f"prepared: {folder}")
