"""The curves of a training, as lines and for TensorBoard."""

import sys

import pytest

from stabench.systems.training.log import TrainingLog, read_log


def test_a_resumed_log_has_every_step_once(tmp_path):
    log = TrainingLog(tmp_path / "toy.log.jsonl")
    for step in (10, 20, 30):
        log.append(step, {"loss": step / 10, "gradient_norm": float("inf"), "samples_per_s": None})
    with log.path.open("a") as file:
        file.write('{"step": 40, "lo')  # killed while it wrote
    assert [line["step"] for line in read_log(log.path)] == [10, 20, 30]
    again = TrainingLog(tmp_path / "toy.log.jsonl")
    again.cut(20)
    again.append(30, {"loss": 3.5})
    assert read_log(log.path) == [
        {"step": 10, "loss": 1.0, "gradient_norm": None, "samples_per_s": None},
        {"step": 20, "loss": 2.0, "gradient_norm": None, "samples_per_s": None},
        {"step": 30, "loss": 3.5},
    ]


def test_only_the_first_process_writes(tmp_path):
    log = TrainingLog(tmp_path / "toy.log.jsonl", tmp_path / "tensorboard", writes=False)
    log.append(1, {"loss": 1.0})
    log.cut(0)
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_line_is_refused_by_its_number(tmp_path):
    path = tmp_path / "toy.log.jsonl"
    path.write_text('{"step": 1}\nstep,loss\n{"step": 2}\n')
    with pytest.raises(ValueError, match=r"toy\.log\.jsonl, line 2: 'step,loss' is no line"):
        read_log(path)


@pytest.mark.slow  # TensorBoard takes seconds to import
def test_tensorboard_shows_the_same_curves(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = TrainingLog(tmp_path / "toy.log.jsonl", tmp_path / "tensorboard")
    for step in (10, 20):
        log.append(step, {"loss": 1 / step, "samples_per_s": None})
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (10, pytest.approx(0.1)),
        (20, pytest.approx(0.05)),
    ]


def test_without_tensorboard_the_lines_are_written_and_it_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    log = TrainingLog(tmp_path / "toy.log.jsonl", tmp_path / "tensorboard")
    log.append(1, {"loss": 1.0})
    log.append(2, {"loss": 0.5})
    assert len(read_log(log.path)) == 2
    assert capsys.readouterr().out.count("no TensorBoard here") == 1
