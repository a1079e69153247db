"""The list of conditions in docs/conditions.md, from the families that are registered.

python -m stabench.harness.cli.condition_reference docs/conditions.md
"""

import sys
from pathlib import Path

from stabench.harness import registry
from stabench.harness.datasets.conditions.condition import Family, load_family
from stabench.harness.suites.reference import replace_generated

COMMAND = "python -m stabench.harness.cli.condition_reference"
HEAD = "| name | what is heard | N | recorded | on another processor |\n|---|---|---|---|---|\n"
SAME = {
    "bytes": "the same bytes",
    "rounding": "the same within half a 16-bit step",
    "library": "as libsndfile computes it there",
}


def write_table() -> str:
    """Return a Markdown row for each built-in family, and one for each of its options."""
    rows = []
    for name in sorted(registry.BUILT_IN["conditions"]):
        family = load_family(name)
        rows.append(_write_row(family))
        rows += [
            f"| `{family.name}N-{option}` | {about} | | | |\n"
            for option, about in family.options.items()
        ]
    return HEAD + "".join(rows)


def _write_row(family: Family) -> str:
    number = family.number
    allowed = f"{number.least} to {number.most} {number.unit}" if number else ""
    measured = "; ".join(f"`{key}`: {about}" for key, about in family.measures.items())
    name = f"{family.name}N" if number else family.name
    return f"| `{name}` | {family.about} | {allowed} | {measured} | {SAME[family.same]} |\n"


def renew_list(page: str) -> str:
    """Return the text of a page with its list written anew."""
    return replace_generated(page, write_table(), COMMAND)


if __name__ == "__main__":
    for place in map(Path, sys.argv[1:]):
        place.write_text(renew_list(place.read_text("utf-8")), "utf-8")
