"""The crosscheck's own parts: verdicts, table, sounds and weights. The peers are not needed."""

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from crosscheck import __main__ as command
from crosscheck import sounds, weights
from crosscheck.comparison import arrays, exit_code, not_run, numbers, to_markdown
from stabench.checkpoints.tensors import read_torch

OK = numbers("FAD", "peer", 2.0, 2.00001, 1e-5, "same waveforms")
OUT = numbers("FAD", "peer", 2.0, 2.1, 1e-5)
SHOWN = numbers("crop", "peer", 1.0, 0.2, None, "random")
ABSENT = not_run("VGGish", "-", "torchvggish is not there")


def test_verdicts():
    assert [each.verdict for each in (OK, OUT, SHOWN, ABSENT)] == ["ok", "OUT", "shown", "not run"]
    assert numbers("FAD", "peer", 2.0, float("nan"), 1e-5).verdict == "OUT"
    assert numbers("FAD", "peer", float("nan"), 2.0, 1e-5).verdict == "OUT"
    assert numbers("FAD", "peer", 0.0, 1e-3, 1e-5).difference == 1e-3


def test_arrays_differ_by_their_worst_element_relative_to_the_largest():
    theirs = np.array([[1.0, -4.0], [2.0, 3.0]])
    ours = theirs + np.array([[0, 0], [0.04, 0]])
    compared = arrays("rows", "peer", theirs, ours, 1e-2)
    assert (compared.theirs, compared.ours) == (-4.0, -4.0)
    assert compared.difference == pytest.approx(0.01)
    nan = arrays("rows", "peer", theirs, np.full((2, 2), np.nan), 1e-2)
    assert nan.verdict == "OUT"
    with pytest.raises(ValueError, match=r"rows: peer gives \(2, 2\), ours \(2, 1\)"):
        arrays("rows", "peer", theirs, theirs[:, :1], 1e-2)


@pytest.mark.parametrize(
    ("comparisons", "code"),
    [([OK, SHOWN], 0), ([OK, OUT, ABSENT], 1), ([OK, ABSENT], 3), ([], 0)],
)
def test_exit_code(comparisons, code):
    assert exit_code(comparisons) == code


def test_table_numbers_its_notes_and_aligns_its_columns():
    lines = to_markdown([OK, OUT, ABSENT, OK]).splitlines()
    table, notes = lines[:6], lines[7:]
    assert len({len(line) for line in table}) == 1
    assert table[2].startswith("| FAD [1]    | peer | 2            | 2.00001")
    assert "5.0e-02    | 1e-05     | OUT" in table[3]
    assert notes == ["[1] same waveforms", "[2] torchvggish is not there"]


def test_a_missing_package_is_a_row_and_an_unknown_check_is_refused(monkeypatch, capsys):
    def missing(_work):
        raise FileNotFoundError("torchvggish is not there")

    monkeypatch.setattr(command, "CHECKS", {"VGGish": missing, "CNN14": lambda _: [OK]})
    monkeypatch.setattr(command, "FILES", 1)
    assert command.main([]) == 3
    assert "not run" in capsys.readouterr().out
    assert command.main(["CNN"]) == 0
    assert command.main(["FAD"]) == 2
    assert "there are: VGGish, CNN14" in capsys.readouterr().err


def test_sounds_are_seeded_and_of_every_shape(tmp_path):
    paths = sounds.write(tmp_path / "set", len(sounds.SHAPES), first_seed=3)
    assert [path.name for path in paths] == sorted(path.name for path in paths)
    for seed, (path, shape) in enumerate(zip(paths, sounds.SHAPES, strict=True), 3):
        samples, rate_hz = soundfile.read(path, always_2d=True)
        assert rate_hz == shape.rate_hz
        assert samples.shape == (shape.rate_hz * shape.duration_s, shape.channels)
        assert np.abs(samples - sounds.sound(seed, shape)).max() < 1 / 32767
    assert (sounds.sound(1, sounds.SHAPES[0]) != sounds.sound(2, sounds.SHAPES[0])).any()


def test_every_learnt_tensor_is_filled_and_front_ends_are_kept():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    network.register_buffer("attn_mask", torch.ones(2))
    state = weights.filled(network)
    again = weights.filled(network)
    assert all((state[name] == again[name]).all() for name in state)
    assert state["1.running_var"].min() >= 1
    assert state["0.weight"].std() == pytest.approx((2 / 9) ** 0.5, rel=0.5)
    assert state["attn_mask"].tolist() == [1, 1]


def test_published_layouts_can_be_read_without_running_a_pickle(tmp_path):
    state = {"fc.weight": torch.ones(2, 2)}
    weights.write_vggish(tmp_path / "vggish.pth", state)
    weights.write_cnn14(tmp_path / "cnn14.pth", state)
    weights.write_clap(tmp_path / "clap.pt", state)
    assert list(read_torch(tmp_path / "vggish.pth")) == ["fc.weight"]
    assert list(read_torch(tmp_path / "cnn14.pth")["model"]) == ["fc.weight"]
    named = read_torch(tmp_path / "clap.pt")["state_dict"]
    assert "module.fc.weight" in named
    assert named["module.text_branch.embeddings.position_ids"].shape == (1, 514)
