"""Evidence of a scored run: values that agree with metrics.json, and a baseline file that holds."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stabench.harness.compare.compare import compare
from stabench.harness.compare.paired import Sampling
from stabench.harness.compare.read_evidence import NO_TRANSCRIPT, OTHER, UNKEPT, Evidence, read
from stabench.harness.compare.verdict import Options
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.runs import influence_file
from stabench.harness.scoring.score import score_folders, score_run
from tests.harness.fake_run import FakeRun

QUICK = Options(sampling=Sampling(resamples=100, draws=200))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 clips, three systems, one failed clip; scored."""
    root = tmp_path_factory.mktemp("run")
    folder = FakeRun(root, failed={"star": ["clip003"]}, metrics={"sanity": []}).make()
    score_run(folder.path)
    return folder.path


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def test_every_column_has_the_value_of_metrics_json_as_its_mean(run: Path) -> None:
    evidence, kinds = read(run), set()
    cells = json.loads((run / "metrics.json").read_text())["systems"]
    for name, system in evidence.systems.items():
        for column, stored in system.columns.items():
            cell = cells[name]["cells"][column]
            kinds.add(stored.kind)
            expected = cell["value"], cell["n"], cell.get("reason")
            assert (stored.value, stored.n, stored.reason) == expected
            if stored.value is not None:
                mean = np.mean(list(stored.per_clip.values()))
                assert mean == pytest.approx(stored.value, rel=1e-9, abs=1e-9)
    assert kinds == {"mean", "set", "ratio"}
    assert evidence.systems["cascade"].columns["wer"].value > 0
    assert evidence.systems["star"].columns["wer"].reason == "no transcripts"


def test_shares_give_the_interval_of_metrics_json(run: Path) -> None:
    """Spread of the pseudo-values over root N against the width of the bootstrap's interval."""
    cells = json.loads((run / "metrics.json").read_text())["systems"]["cascade"]["cells"]
    for column in ("fad", "fd"):
        values = np.array(list(read(run).systems["cascade"].columns[column].per_clip.values()))
        width = 2 * 1.96 * values.std() / np.sqrt(len(values))
        assert width == pytest.approx(cells[column]["high"] - cells[column]["low"], rel=0.3)


def test_times_stages_failures_and_audio(run: Path) -> None:
    star = read(run).systems["star"]
    assert (star.failed_clips, star.n) == (("clip003",), 23)
    assert set(star.samples_ns) == {"represent", "generate"}
    stages = ["generate/sampler", "generate/decoder", "generate/(remainder)"]
    whole = {clip: times[0] for clip, times in star.samples_ns["generate"].items()}
    assert whole == {
        clip: sum(star.stages_ns[stage][clip][0] for stage in stages) for clip in whole
    }
    assert len(star.audio) == 23
    assert "clip003" not in star.audio


def test_a_baseline_is_the_same_bytes_and_the_same_evidence(run: Path, copy: Path) -> None:
    evidence = read(run)
    data = evidence.to_bytes()
    assert data == read(run).to_bytes()
    assert Evidence.from_bytes(data) == evidence
    path = copy / "baseline.gz"
    path.write_bytes(data)
    result = compare(read(path), evidence, QUICK)
    assert result.words <= {"same", "not measured", "inconclusive"}
    assert {system.identical for system in result.systems} == {23, 24}


def test_runs_scored_before_shares_were_kept(copy: Path) -> None:
    (copy / "influence.parquet").unlink()
    columns = read(copy).systems["cascade"].columns
    assert (columns["fd"].value, columns["fd"].reason) == (None, UNKEPT)
    assert columns["kl"].value is not None


def test_shares_and_words_of_other_scores(copy: Path) -> None:
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics["systems"]["cascade"]["cells"]["fd"]["value"] += 1
    metrics["systems"]["cascade"]["cells"]["wer"]["value"] += 0.1
    (copy / "metrics.json").write_text(json.dumps(metrics))
    columns = read(copy).systems["cascade"].columns
    assert (columns["fd"].reason, columns["wer"].reason) == (OTHER, NO_TRANSCRIPT)


def test_folders_and_clips_that_share_a_recording(run: Path, tmp_path: Path) -> None:
    """Two captions of one recording are one group, under its first clip."""
    reference = tmp_path / "reference"
    reference.mkdir()
    names = [f"clip{index:03}" for index in range(1, 13)]
    for name in names:
        shutil.copy(run / "audio" / "oracle" / f"{name}.wav", reference / f"{name}.wav")
    table = [f"{name},words,{'clip001' if name == 'clip002' else name}" for name in names]
    captions = tmp_path / "captions.csv"
    captions.write_text("\n".join(["id,caption,reference", *table]) + "\n")
    suite = json.loads((run / "run.json").read_text())["suite"]["metrics"]
    from stabench.harness.suites import protocols

    protocol = protocols.load("pocket", {role: suite[role] for role in ("fad", "tagger", "clap")})
    outputs = {"cascade": run / "audio" / "cascade"}
    score_folders(
        reference, outputs, captions, tmp_path / "out", protocol,
        columns=("fd", "kl"), sanity=(), bootstrap=100,
    )  # fmt: skip
    evidence = read(tmp_path / "out")
    assert evidence.groups == {"clip002": "clip001"}
    fd, kl = (evidence.systems["cascade"].columns[name] for name in ("fd", "kl"))
    assert (len(kl.per_clip), "clip002" in fd.per_clip) == (12, False)
    assert influence_file.RECORDING + "clip002" in fd.per_clip
    assert evidence.systems["cascade"].untimed == "scored from files, not timed"
    assert compare(evidence, evidence, QUICK).systems[0].pareto == "same"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"nonsense", "not a gzip file"),
        (gzip.compress(b"{}")[:-4], "is cut short"),
        (gzip.compress(b"{}" * 99)[:10] + b"\xff" * 20, "not a gzip file"),
        (gzip.compress(b"[]"), "key 'the whole'"),
        (gzip.compress(b'{"schema": 2, "name": "a", "systems": {}}'), "key 'schema'"),
        (gzip.compress(b'{"schema": 1, "name": "a", "systems": {}, "x": 1}'), "key 'x'"),
        (gzip.compress(b'{"schema": 1, "name": "a", "systems": {"s": 3}}'), "key 'systems.s'"),
        (gzip.compress(b" " * (65 * 2**20)), "more than 64 MiB"),
    ],
    # gzip writes the time: names made of the bytes would differ between the processes of a run.
    ids=["text", "truncated", "garbled", "list", "schema", "unknown key", "system", "large"],
)
def test_what_is_no_baseline_is_refused_in_one_line(tmp_path, data: bytes, message: str) -> None:
    path = tmp_path / "baseline.gz"
    path.write_bytes(data)
    with pytest.raises(StabenchError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_nothing_there_and_a_damaged_influence_file(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="is not there"):
        read(tmp_path / "nowhere")
    (copy / "influence.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(StabenchError, match="not an influence file"):
        read(copy)


def test_other_recordings_under_the_same_names_are_refused(run: Path, tmp_path: Path) -> None:
    """Their number is the same, and so are the outputs: only their sounds tell."""
    before = read(run)
    other = FakeRun(tmp_path, failed={"star": ["clip003"]}, metrics={"sanity": []}).make()
    sounds = sorted((tmp_path / "reference").iterdir())
    kept = [path.read_bytes() for path in sounds]
    score_run(other.path)
    assert read(other.path).references_sha256 == before.references_sha256 is not None
    for path, data in zip(sounds, [*kept[1:], kept[0]], strict=True):
        path.write_bytes(data)
    score_run(other.path)
    with pytest.raises(StabenchError, match=r"recordings was sha256 .* and is sha256"):
        compare(before, read(other.path), QUICK)
    assert compare(before, read(run), QUICK).mismatches == ()
