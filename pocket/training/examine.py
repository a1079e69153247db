"""Examine the pocket's judges and ship the record of each beside its weights.

    python -m stabench.pocket.training.examine

A record belongs to the weights it was measured of: after judges are trained this runs again. Ends
with 1 where a judge fails; its record is shipped all the same, and scoring refuses the judge.
"""

import sys

from stabench.harness.cli.doctor import examine_judges, judge_lines
from stabench.harness.runner.progress import Scoring
from stabench.harness.scoring.examination import shipped_at, write
from stabench.harness.scoring.score import ON_CPU, network_of
from stabench.harness.suites import protocols

PROTOCOL = GRADINGS = "pocket"


def main() -> int:
    verdicts = examine_judges([PROTOCOL], {}, GRADINGS, ON_CPU, Scoring(sys.stderr))
    rules = protocols.load(PROTOCOL).networks
    for record in verdicts.records:
        network = network_of(record.role, rules[record.role], ON_CPU, kept=False)
        write(shipped_at(network.embedder.examinations, record.role), record)
    for line in judge_lines(verdicts):
        print(line)
    return verdicts.exit_code


if __name__ == "__main__":
    sys.exit(main())
