"""The keys of a gate's policy, as tables of docs/gate-policy.md (see harness/suites/reference.py).

python -m stabench.harness.gate.reference docs/gate-policy.md
"""

import sys
from pathlib import Path

from pydantic import BaseModel

from stabench.harness.gate.policy import Latency, Policy, Quality
from stabench.harness.suites.reference import renew

COMMAND = "python -m stabench.harness.gate.reference"
PARTS: dict[str, type[BaseModel]] = {
    "Top of the file": Policy,
    "`[quality]`": Quality,
    "`[latency]`": Latency,
}

if __name__ == "__main__":
    for place in map(Path, sys.argv[1:]):
        place.write_text(renew(place.read_text("utf-8"), PARTS, COMMAND), "utf-8")
