"""The corpus that `stabench prepare` leaves: labels by clip, unlabelled clips left out."""

import hashlib
import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from stabench.harness.cli.main import main
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.probing import run as probing
from stabench.harness.probing.corpus import SPLITS, Prepared
from stabench.harness.probing.run_file import Request
from stabench.harness.suites.probes import EncoderUse
from stabench.systems.training.feature_store import Entry, StoreWriter
from tests.harness.prepare import tiny_audiocaps

HUBERT = EncoderUse(name="hubert", reads="speech", use="hubert")


def write_split(folder, split, labels, names=("Speech", "Dog", "Rain")):
    place = folder / split
    place.mkdir(parents=True)
    ids = [f"{split}-{number}" for number in range(len(labels))]
    known = {"mids": [f"/m/{name}" for name in names], "names": list(names)} if names else {}
    stage1 = [row is not None for row in labels]
    table = pa.table(
        {"id": ids, "labels": pa.array(labels, pa.list_(pa.int16())), "stage1": stage1}
    )
    table = table.replace_schema_metadata({"classes": json.dumps(known)})
    parquet.write_table(table, place / "clips.parquet")
    contents = [hashlib.sha256(name.encode()).hexdigest() for name in ids]
    writer = StoreWriter(place / "features-hubert-01234567", "frames", {"use": "hubert"})
    writer.add(
        [
            Entry(content, name, 2, (np.full((2, 3), number, np.float32),))
            for number, (content, name) in enumerate(zip(contents, ids, strict=True))
        ]
    )
    writer.finish(contents)


@pytest.fixture
def prepared(tmp_path):
    write_split(tmp_path, "test", [[0], None, [1, 2]])
    record = {"splits": {"test": {"clips_sha256": "ab" * 32}}}
    (tmp_path / "prepared.json").write_text(json.dumps(record))
    return tmp_path


def test_labels_are_multi_hot_and_clips_without_are_left_out(prepared):
    corpus = Prepared(str(prepared))
    split = corpus.read("test")
    assert corpus.classes == ("Speech", "Dog", "Rain")
    assert (corpus.name, corpus.version) == ("audiocaps", "abababababab")
    assert split.ids == ("test-0", "test-2")
    assert split.labels.tolist() == [[True, False, False], [False, True, True]]
    assert split.rows.tolist() == [0, 2]


def test_frames_are_those_of_the_encoder(prepared):
    corpus = Prepared(str(prepared))
    assert corpus.find_frames(HUBERT, "test", "cpu").name == "features-hubert-01234567"
    other = EncoderUse(name="wavlm", reads="speech", use="wavlm")
    with pytest.raises(MissingError, match="no frames of encoder 'wavlm'; add it to"):
        corpus.find_frames(other, "test", "cpu")


def test_what_is_not_there_is_said(prepared, tmp_path_factory):
    with pytest.raises(MissingError, match=r"train/clips\.parquet': no such file; run: stabench"):
        Prepared(str(prepared)).read("train")
    bare = tmp_path_factory.mktemp("bare")
    write_split(bare, "test", [None, None], names=())
    with pytest.raises(StabenchError, match=r"have no labels; add \[data\.labels\]"):
        Prepared(str(bare))


@pytest.mark.slow
def test_what_stabench_prepare_leaves_can_be_probed(tmp_path, monkeypatch):
    """Six tiny clips of AudioCaps, whose split stands for all three."""
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    networks = tiny_audiocaps.write_networks(tmp_path / "networks")
    recipe = tiny_audiocaps.write_recipe(
        tiny_audiocaps.write_audiocaps(tmp_path / "audiocaps"), networks
    )
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["stabench", "prepare", str(recipe), "--out", str(out)])
    assert main() == 0
    for split in ("validation", "test"):
        shutil.copytree(out / "train", out / split)
    suite = tmp_path / "tiny.toml"
    suite.write_text(
        f"""name = "tiny"
[probes]
corpus = "prepared"
options = {{ folder = "{out}" }}
bridges = ["mlp"]
[[encoder]]
name = "hubert"
reads = "speech"
use = "hubert"
[recipe.mlp]
epochs = 40
batch = 4
depths = [1]
mlp = {{ hidden = 16 }}
"""
    )
    run = probing.begin(str(suite), (), (), Request(), tmp_path / "runs")
    probing.execute(run)
    probe = run.figures.find("hubert", "mlp")
    assert (run.figures.clips, run.figures.present) == (dict.fromkeys(SPLITS, 5), 3)
    assert (probe.error, probe.cell.n) == (None, 5)
    assert probe.source["train"].startswith("features-hubert-")
