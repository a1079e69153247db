"""`python -m crosscheck [CHECK...]`: one table of other projects' values and ours.

Exit codes: 0 all within tolerance; 1 one is out; 2 no such check; 3 something is missing that a
comparison needs.
"""

import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

from crosscheck import clap, cnn14, frechet, vggish
from crosscheck.comparison import Comparison, exit_code, not_run, to_markdown
from crosscheck.workspace import Workspace

FILES = 18
VERSIONS = ("laion-clap", "frechet-audio-distance", "torch", "transformers", "numpy", "scipy")
CHECKS: dict[str, Callable[[Workspace], list[Comparison]]] = {
    "Frechet distance": frechet.compare,
    "VGGish": vggish.compare,
    "CNN14": cnn14.compare,
    "CLAP HTSAT-tiny": partial(clap.compare, architecture="HTSAT-tiny"),
    "CLAP HTSAT-base": partial(clap.compare, architecture="HTSAT-base"),
}


def main(wanted: list[str]) -> int:
    """Run the checks whose names begin with one of `wanted`, or all, and print the table."""
    checks = {
        name: check for name, check in CHECKS.items() if name.startswith(tuple(wanted or [""]))
    }
    if not checks:
        print(f"no check begins with {wanted}; there are: {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")  # the peers' own
    comparisons: list[Comparison] = []
    with tempfile.TemporaryDirectory(prefix="crosscheck-") as folder:
        work = Workspace.make(Path(folder), FILES)
        for name, check in checks.items():
            print(f"{name} ...", file=sys.stderr, flush=True)
            # One missing package leaves the other checks their say.
            try:
                comparisons += check(work)
            except FileNotFoundError as error:
                comparisons.append(not_run(name, "-", str(error)))
    print(" ".join(f"{name} {_find_version(name)}" for name in VERSIONS), end="\n\n")
    print(to_markdown(comparisons))
    return exit_code(comparisons)


def _find_version(name: str) -> str:
    try:
        return version(name)
    except ImportError:
        return "missing"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
