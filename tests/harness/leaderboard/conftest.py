"""A scored run to export."""

from dataclasses import replace

import pytest

from stabench.harness.environment import Git
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.scoring.score import score_run
from tests.harness.fake_run import FakeRun

LOST = "clip005"


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A scored run with one failed clip, from a dirty tree."""
    run = FakeRun(tmp_path_factory.mktemp("run"), failed={"cascade": [LOST]}).make()
    score_run(run.path)
    environment = replace(run.record.environment, git=Git("a" * 40, "main", True))
    run.write_record(run.record.model_copy(update={"environment": environment}))
    return run
