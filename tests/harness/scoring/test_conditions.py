"""Scores of a run under conditions: each apart, the oracle's the same, the clean ones as ever."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from stabench.harness.compare import read_evidence
from stabench.harness.compare.compare import compare
from stabench.harness.errors import StabenchError
from stabench.harness.history.record import recordable
from stabench.harness.report.report import report
from stabench.harness.report.table import tabulate
from stabench.harness.runs import journal
from stabench.harness.runs.conditions_file import ConditionRecord, ConditionsFile, write
from stabench.harness.runs.metrics_file import read
from stabench.harness.runs.results import SHARED, Results
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.scoring.score import score_run
from stabench.harness.submission.pack import submit
from stabench.harness.suites.suite import ConditionUse
from tests.harness.fake_run import FakeRun

LOUD, QUIET = "noise0", "telephone+noise20"


@dataclass
class Grid(FakeRun):
    """A run of 24 clips under two conditions: the louder the noise, the more a system adds."""

    def make(self) -> RunFolder:
        folder = super().make()
        suite = folder.suite.model_copy(
            update={"conditions": tuple(ConditionUse(name=name) for name in (LOUD, QUIET))}
        )
        folder.write_record(folder.record.model_copy(update={"suite": suite}))
        clips = [self._clip(index) for index in range(self.n)]
        lines = []
        for condition, noise in ((LOUD, 0.4), (QUIET, 0.2)):
            self.noise = {"cascade": noise, "star": noise}
            for name in ("cascade", "star"):
                for index, clip in enumerate(clips):
                    heard = FakeRun._row(self, _Under(folder, condition), name, clip, index)
                    lines.append(_line(heard, f"{clip.id}@{condition}"))
        with folder.journal_path.open("a") as file:
            file.writelines(lines)
        records = tuple(
            ConditionRecord(name=name, label=name, identity=name, clips={})
            for name in folder.conditions
        )
        write(folder.path, ConditionsFile(seed=0, conditions=records))
        return folder


def _line(row: journal.Row, clip: str) -> str:
    return json.dumps(journal.to_json(replace(row, clip=clip))) + "\n"


class _Under:
    """A folder whose sounds lie under a condition."""

    def __init__(self, folder: RunFolder, condition: str) -> None:
        self._folder, self._condition = folder, condition

    def audio_path(self, system: str, clip: str) -> Path:
        return self._folder.audio_path(system, clip, self._condition)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = Grid(tmp_path_factory.mktemp("grid")).make()
    score_run(folder.path)
    return folder


def test_scores_of_the_clean_speech_are_those_of_a_run_without_conditions(scored, tmp_path) -> None:
    alone = FakeRun(tmp_path).make()
    score_run(alone.path)
    for name in ("metrics.json", "clips.parquet", "influence.parquet"):
        assert (scored.path / name).read_bytes() == (alone.path / name).read_bytes()


def test_each_condition_is_scored_apart_on_the_same_clips(scored) -> None:
    clean, loud, quiet = (read(scored.scores_path(name)) for name in ("clean", LOUD, QUIET))
    for system in ("cascade", "star"):
        rows = [each.systems[system] for each in (clean, quiet, loud)]
        assert [row.n for row in rows] == [24, 24, 24]
        assert rows[0].per_clip.keys() == rows[1].per_clip.keys() == rows[2].per_clip.keys()
        distances = [row.cells["fd"].value for row in rows]
        assert distances == sorted(distances)
        assert distances[0] < distances[1] < distances[2]


def test_rows_of_the_oracle_do_not_move(scored) -> None:
    clean, loud, quiet = (read(scored.scores_path(name)) for name in ("clean", LOUD, QUIET))
    oracle = clean.systems["oracle"]
    for other in (loud.systems["oracle"], quiet.systems["oracle"]):
        # What is a share of the ceiling needs a sanity row, and conditions have none of their own.
        assert other == oracle
    assert loud.systems["cascade"] != clean.systems["cascade"]


def test_times_of_what_was_not_run_are_not_shown_as_a_condition_s(scored) -> None:
    under = Results.read(scored.path).under(LOUD)
    rows = {row.system: row for row in tabulate(under).systems}
    assert rows["oracle"].cells["processing"].value is None
    assert rows["oracle"].cells["processing"].reason == SHARED
    assert rows["star"].cells["processing"].value > 0
    clean = {row.system: row for row in tabulate(Results.read(scored.path)).systems}
    assert clean["oracle"].cells["processing"].value > 0


def test_a_condition_is_named_after_the_run(scored) -> None:
    named = Results.read(Path(f"{scored.path}@{QUIET}"))
    assert named.title == f"{scored.path.name}@{QUIET}"
    assert {row.clip for row in named.trials} == {clip.id for clip in scored.clips}
    with pytest.raises(StabenchError, match="unknown condition 'noise1'; did you mean 'noise0'"):
        Results.read(Path(f"{scored.path}@noise1"))


def test_two_conditions_of_one_run_are_compared_clip_by_clip(scored) -> None:
    loud, clean = (read_evidence.read(f"{scored.path}@{name}") for name in (LOUD, "clean"))
    comparison = compare(clean, loud)
    lines = {(system.new, line.key): line for system in comparison.systems for line in system.lines}
    assert lines["star", "fd"].change.change > 0
    assert lines["oracle", "fd"].change.change == 0


def test_a_verdict_on_a_run_must_say_on_which_speech(scored) -> None:
    with pytest.raises(StabenchError, match=r"say which one, such as .*@clean or .*@noise0"):
        read_evidence.read(scored.path)
    with pytest.raises(StabenchError, match="a history is of one kind of speech"):
        recordable(Results.read(scored.path), dirty=True)


def test_a_submission_is_of_clean_speech(scored, tmp_path) -> None:
    about = tmp_path / "about.toml"
    keys = ("version", "description", "authors", "contact", "licence", "training_data")
    about.write_text("".join(f"{key} = {['x'] if key == 'authors' else 'x'!r}\n" for key in keys))
    with pytest.raises(StabenchError, match="has conditions, a submission is of the clean speech"):
        submit(scored.path, tmp_path, "star", about)


def test_the_report_has_a_group_of_rows_for_each_condition(scored, tmp_path) -> None:
    path = tmp_path / "shown"
    with path.open("w") as stream:
        report(scored.path, stream)
    page = (scored.path / "report.md").read_text()
    section = page.split("## Under each condition")[1].split("\n## ")[0]
    assert section.index("clean") < section.index(LOUD) < section.index(QUIET)
    for name in (LOUD, QUIET):
        own = scored.scores_path(name)
        assert f", under {name}" in (own / "report.md").read_text().splitlines()[0]
        content = json.loads((own / "report.json").read_text())
        assert content["condition"] == name
        values = {row["system"]: row["cells"]["fd"]["value"] for row in content["rows"]}
        assert values["star"] == read(own).systems["star"].cells["fd"].value
        assert f"{values['star']:.1f}"[:3] in section
    assert "condition" not in json.loads((scored.path / "report.json").read_text())


def test_a_sound_of_another_condition_is_not_scored_as_this_one_s(tmp_path) -> None:
    folder = Grid(tmp_path).make()
    clip = folder.clips[0].id
    wrong = folder.audio_path("star", clip).read_bytes()
    folder.audio_path("star", clip, LOUD).write_bytes(wrong)
    score_run(folder.path)
    row = read(folder.scores_path(LOUD)).systems["star"]
    assert row.failed == 1
    assert "not the audio of the run" in row.failures[clip]
    assert np.isfinite(row.cells["fd"].value)
