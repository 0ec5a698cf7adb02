"""Rows by name, in files that others read."""

import builtins

import pytest

from llmlib.training import History, TensorBoardLog

ROWS = [{"step": 0, "loss": 2.5}, {"step": 1, "loss": -1e-7, "eval_loss": 3.0}]


def test_what_is_saved_is_loaded(tmp_path):
    History(ROWS).save(tmp_path / "log.csv")
    loaded = History.load(tmp_path / "log.csv")
    assert loaded.rows == ROWS
    assert loaded.names == ["step", "loss", "eval_loss"]
    assert isinstance(loaded.rows[1]["step"], int)


def test_tensorboard_reads_what_is_written(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = TensorBoardLog(tmp_path)
    log.rewrite(History(ROWS[:1]))
    log.write(ROWS[1])
    read = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in read.Scalars("loss")] == [
        (0, 2.5),
        (1, pytest.approx(-1e-7)),
    ]
    assert [event.step for event in read.Scalars("eval_loss")] == [1]


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("torch.utils.tensorboard"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"llmlib\[ecosystem\]"):
        TensorBoardLog(tmp_path)
