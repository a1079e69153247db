"""`import stabench`: what is public, what it costs, and that it says what the commands say."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stabench as sb
from stabench import frames
from stabench.harness.compare import read_evidence
from stabench.harness.compare.command import to_json as comparison_to_json
from stabench.harness.compare.compare import compare
from stabench.harness.runs import metrics_file
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.scoring.score import score_run
from tests.harness.fake_run import EMBEDDERS, FakeRun

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = {
    "Comparison",
    "EvaluationHelper",
    "MissingError",
    "Representation",
    "Run",
    "StabenchError",
    "SubmittedRun",
    "Utterance",
    "Waveform",
    "__version__",
    "compare",
    "open_run",
    "open_submission",
    "run",
    "score",
}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A scored run of three systems."""
    run = FakeRun(tmp_path, failed={"star": ["clip003"]}).make()
    score_run(run.path)
    return run


def test_the_public_names_are_these_and_all_of_them_are_there() -> None:
    assert set(sb.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(sb, name) is not None
    assert set(dir(sb)) >= PUBLIC
    with pytest.raises(AttributeError, match="no attribute 'opem_run'; it has"):
        sb.opem_run  # type: ignore[attr-defined]  # noqa: B018


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, stabench; assert stabench.__version__; "
        "print({'torch', 'numpy', 'pandas', 'pydantic'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_cells_are_those_of_metrics_json_to_the_bit(folder: RunFolder) -> None:
    cells = sb.open_run(folder.path).cells
    assert dict(cells.dtypes.astype(str)) == frames.CELLS
    stored = metrics_file.read(folder.path)
    assert stored is not None
    kept = cells.set_index(["system", "column"])
    for name, record in stored.systems.items():
        for column, estimate in record.cells.items():
            cell = kept.loc[name, column]
            for end in ("value", "low", "high"):
                expected = getattr(estimate, end)
                assert np.isnan(cell[end]) if expected is None else cell[end] == expected
            assert cell["n"] == estimate.n


def test_what_was_not_measured_is_missing_and_has_a_reason(folder: RunFolder) -> None:
    cells = sb.open_run(folder.path).cells
    missing = cells[cells["value"].isna()]
    assert {"ovl", "rel"} <= set(missing["column"])
    assert missing["reason"].notna().all()
    assert not (cells.drop(columns="reason") == "not measured").any(axis=None)


def test_clips_are_those_of_the_journal_and_of_the_scores(folder: RunFolder) -> None:
    clips = sb.open_run(folder.path).clips
    stored = metrics_file.read(folder.path)
    assert stored is not None
    rows = {(row.system, row.clip): row for row in folder.rows() if not row.repeat}
    assert set(zip(clips["system"], clips["clip"], strict=True)) == set(rows)
    assert {"kl", "represent_ns", "generate_ns"} <= set(clips.columns)
    for _, line in clips.iterrows():
        row = rows[line["system"], line["clip"]]
        assert line["ok"] == row.ok
        assert pd.isna(line["transcript"]) if row.text is None else line["transcript"] == row.text
        for phase in ("represent", "generate"):
            wall = row.phase_ns.get(phase)
            assert pd.isna(line[f"{phase}_ns"]) if wall is None else line[f"{phase}_ns"] == wall
        kl = stored.systems[line["system"]].per_clip.get(line["clip"], {}).get("kl")
        assert pd.isna(line["kl"]) if kl is None else line["kl"] == kl


def test_stages_add_up_to_the_phases_of_the_journal(folder: RunFolder) -> None:
    stages = sb.open_run(folder.path).stages
    assert dict(stages.dtypes.astype(str)) == frames.STAGES
    sums = stages.groupby(["system", "clip", "repeat", "phase"])["wall_ns"].sum()
    phases = {
        (row.system, row.clip, row.repeat, phase): wall
        for row in folder.rows()
        if row.ok
        for phase, wall in row.phase_ns.items()
    }
    assert sums.to_dict() == phases


def test_an_unscored_run_has_its_times_and_no_quality(tmp_path: Path) -> None:
    run = FakeRun(tmp_path).make()
    opened = sb.open_run(run.path)
    assert len(opened.clips) == len([row for row in run.rows() if not row.repeat])
    assert opened.clips["represent_ns"].notna().all()
    quality = opened.cells[opened.cells["block"] == "quality"]
    assert quality["value"].isna().all()


def test_sounds_made_anew_take_their_values_out_of_the_clips(folder: RunFolder) -> None:
    line = json.loads(folder.journal_path.read_text().splitlines()[-1])
    assert not line["warmup"]
    line["audio_sha256"] = "0" * 64
    with folder.journal_path.open("a") as journal:
        journal.write(json.dumps(line) + "\n")
    clips = sb.open_run(folder.path).clips
    mine = clips["system"] == line["system"]
    assert clips.loc[mine, "kl"].isna().all()
    assert clips.loc[~mine, "kl"].notna().any()


def test_differences_are_those_of_the_report(folder: RunFolder) -> None:
    run = sb.open_run(folder.path)
    records = (*run.results.paired_latencies, *run.results.paired)
    frame = run.differences
    assert list(zip(frame["a"], frame["b"], frame["column"], strict=True)) == [
        (record.a, record.b, record.column) for record in records
    ]
    for value, record in zip(frame["difference"], records, strict=True):
        known = record.difference.value
        assert np.isnan(value) if known is None else value == known


def test_the_table_is_a_text_and_a_page_of_a_notebook(folder: RunFolder) -> None:
    run = sb.open_run(folder.path)
    text, html = str(run.table()), run.table()._repr_html_()
    assert max(map(len, text.splitlines())) <= 100
    for label in ("Whisper + tones", "STAR"):
        assert label in text
        assert label in html
    assert run._repr_html_() == html
    assert repr(run).startswith("<stabench.Run '")


def test_texts_of_others_are_no_markup_in_a_notebook(tmp_path: Path) -> None:
    systems = (("star", "end-to-end", "<script>alert(1)</script>"),)
    html = sb.open_run(FakeRun(tmp_path, systems=systems).make().path)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_a_clip_is_played_with_speech_recording_and_outputs(folder: RunFolder) -> None:
    run = sb.open_run(folder.path)
    clip = folder.clips[0]
    player = run.play(clip.id)
    labels = [sound.label for sound in player.sounds]
    assert labels == ["recording", "Whisper + tones", "STAR", "Tones from the true caption"]
    assert clip.caption is not None
    assert clip.caption in repr(player)
    assert player._repr_html_().count("<audio ") == 4
    samples, rate_hz = player.sounds[1].read()
    assert (samples.dtype, rate_hz) == (np.float32, 16_000)
    assert len(run.play(clip.id, ["star"]).sounds) == 2
    with pytest.raises(sb.StabenchError, match="unknown clip 'clip0'; did you mean"):
        run.play("clip0")
    with pytest.raises(sb.StabenchError, match="unknown system 'sta'; did you mean 'star'"):
        run.play(clip.id, ["sta"])


def test_a_comparison_has_the_lines_of_the_command(tmp_path: Path) -> None:
    folders = [FakeRun(tmp_path / name).make() for name in ("old", "new")]
    for run in folders:
        score_run(run.path)
    old, new = (run.path for run in folders)
    comparison = sb.compare(old, sb.open_run(new))
    known = comparison_to_json(compare(read_evidence.read(old), read_evidence.read(new)))
    expected = [
        (system["new"], line["key"], line["verdict"])
        for system in known["systems"]
        for line in system["lines"]
    ]
    frame = comparison.lines
    assert list(zip(frame["system"], frame["metric"], frame["verdict"], strict=True)) == expected
    assert comparison.verdicts == set(frame["verdict"])
    assert "<table>" in comparison._repr_html_()
    assert repr(comparison).startswith("<stabench.Comparison '")


def test_published_figures_are_a_frame(folder: RunFolder) -> None:
    figures = sb.open_run(folder.path).reproduce()
    assert dict(figures.dtypes.astype(str)) == frames.FIGURES
    assert len(figures) > 40
    assert set(figures["outcome"]) <= {
        *("reproduced", "off", "not comparable", "not run", "not rated")
    }


def write_protocol(path: Path) -> Path:
    """Write a protocol of the tests' embedders."""
    networks = "".join(
        f'[networks.{role}]\nnetwork = "{name}"\nchannels = "first"\nremove_dc = true\n'
        for role, name in EMBEDDERS.items()
    )
    path.write_text(
        'name = "tones"\nversion = 1\nabout = "the embedders of the tests"\n'
        f'columns = ["fad", "fd", "kl", "clap"]\n{networks}'
    )
    return path


def test_folders_scored_from_python_and_by_the_command_are_equal(
    folder: RunFolder, tmp_path: Path
) -> None:
    reference = tmp_path / "reference"
    outputs = {name: folder.path / "audio" / name for name in ("cascade", "star")}
    captions = {clip.id: clip.caption or "" for clip in folder.clips}
    # Whatever ends a line in a table is a part of the text here.
    captions[folder.clips[0].id] += ',\r"then\u2028more'
    rules = write_protocol(tmp_path / "tones.toml")
    scored = sb.score(
        reference,
        outputs,
        captions,
        protocol=str(rules),
        bootstrap=100,
        threads=1,
        out=tmp_path / "from_python",
    )
    table = io.StringIO()
    csv.writer(table).writerows([("id", "caption"), *captions.items()])
    (tmp_path / "captions.csv").write_text(table.getvalue())
    command = [
        *(sys.executable, "-m", "stabench", "score", "--reference", str(reference)),
        *(f"--outputs={name}={path}" for name, path in outputs.items()),
        *("--captions", str(tmp_path / "captions.csv"), "--protocol", str(rules)),
        *("--bootstrap", "100", "--threads", "1", "--out", str(tmp_path / "from_command")),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    mine, theirs = (
        json.loads((tmp_path / name / "metrics.json").read_text())
        for name in ("from_python", "from_command")
    )
    assert mine == theirs
    assert len(scored.clips) == 2 * len(folder.clips)


@pytest.mark.parametrize("caption", ["caf\udce9", "\ud83d", "a\udfffb"])
def test_a_caption_with_half_a_character_is_one_line(tmp_path: Path, caption: str) -> None:
    with pytest.raises(sb.StabenchError, match="half a character; replace it") as caught:
        sb.score(tmp_path, {"a": tmp_path}, {"x": caption}, out=tmp_path / "out")
    str(caught.value).encode()


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"set": {"run.repeat": 1}}, {"device": "gpu"}])
def test_what_is_wrong_with_a_run_is_one_line(wrong: dict, tmp_path: Path) -> None:
    with pytest.raises(sb.StabenchError) as caught:
        sb.run("demo", out=tmp_path, **wrong)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_run_needs_a_suite_or_a_run_to_resume(tmp_path: Path) -> None:
    with pytest.raises(sb.StabenchError, match="run takes a suite, or resume=RUN"):
        sb.run(out=tmp_path)
    with pytest.raises(sb.MissingError, match=r"no run\.json"):
        sb.run(resume=tmp_path / "none", out=tmp_path)
