"""The interface of audioldm_eval: its keys, stabench's values."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import stabench as sb
from stabench.audioldm_eval import COLUMNS, UNMEASURED
from stabench.metrics.audio import encode
from stabench.metrics.registry import METRICS

# What each key of EvaluationHelper.main is, by audioldm_eval's own code (backbone cnn14): FD of the
# tagger, FAD of VGGish, both forms of KL, the mean of the inception score.
MEANING = {
    "frechet_distance": "fd",
    "frechet_audio_distance": "fad",
    "kullback_leibler_divergence_sigmoid": "kl_sigmoid",
    "kullback_leibler_divergence_softmax": "kl",
    "inception_score_mean": "is",
}
KEYS = {
    *MEANING,
    "lsd",
    "psnr",
    "ssim",
    "inception_score_std",
    "kernel_inception_distance_mean",
    "kernel_inception_distance_std",
}


def test_the_keys_are_those_of_audioldm_eval() -> None:
    assert COLUMNS == MEANING
    assert {*COLUMNS, *UNMEASURED, "inception_score_std"} == KEYS


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ({"sampling_rate": 44_100}, "sampling_rate is 44100, expected 16000 and 32000"),
        ({"sampling_rate": 16_000, "backbone": "mert"}, "backbone is 'mert', expected 'cnn14'"),
    ],
)
def test_what_papers_do_not_report_is_refused(how: dict, line: str) -> None:
    with pytest.raises(sb.StabenchError, match=line):
        sb.EvaluationHelper(**how)


def test_folders_have_to_be_there(tmp_path: Path) -> None:
    helper = sb.EvaluationHelper(16_000, weights="random")
    with pytest.raises(sb.MissingError, match="no such folder"):
        helper.main(tmp_path, tmp_path / "none")


@pytest.mark.slow
def test_the_values_are_the_cells_and_a_limit_takes_the_first_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    # Users get no IS of so few clips; here it is to be one of the values.
    monkeypatch.setitem(METRICS, "is", replace(METRICS["is"], least=20))
    rng = np.random.default_rng(0)
    folders = [tmp_path / name for name in ("outputs", "recordings")]
    for folder in folders:
        folder.mkdir()
        for index in range(22):
            sound = (0.1 * rng.standard_normal(16_000)).astype(np.float32)
            (folder / f"{index:02}.wav").write_bytes(encode(sound, 16_000))
    helper = sb.EvaluationHelper(16_000, weights="random")
    values = helper.main(*folders, limit_num=20)
    assert set(values) == KEYS
    assert helper.run is not None
    cells = helper.run.cells.set_index("column")
    assert set(cells.loc[list(COLUMNS.values()), "n"]) == {20}
    for key, column in COLUMNS.items():
        assert values[key] == cells.loc[column, "value"]
    assert all(math.isnan(values[key]) for key in UNMEASURED)
    assert values["inception_score_std"] >= 0
