"""Checkpoints: whole or not there, whatever happens while they are written."""

import errno
import json
import multiprocessing
import os
import random
import signal
import time

import pytest
import torch

from llmlib.models import GPT, GPTConfig
from llmlib.training import (
    CheckpointError,
    TrainConfig,
    Trainer,
    checkpoint,
    latest_checkpoint,
    read_checkpoint,
    write_checkpoint,
)

SIZES = {"vocab_size": 32, "context_length": 16, "dim": 32, "num_layers": 2, "num_heads": 2}
STEPS = 120


def written(folder, step, value=0.0, **options):
    return write_checkpoint(
        folder,
        step,
        weights={"w": torch.full((3,), value)},
        tensors={"m": torch.tensor(step)},
        state={"note": f"at {step}"},
        **options,
    )


def test_what_is_written_is_read(tmp_path):
    path = written(tmp_path / "new" / "folder", 7, 0.5)
    for where in (path, path.parent):
        weights, tensors, state = read_checkpoint(where)
        assert weights["w"].tolist() == [0.5] * 3
        assert tensors["m"] == 7
        assert state == {"step": 7, "note": "at 7"}


def test_only_the_latest_are_kept(tmp_path):
    for step in (1, 5, 12, 100):
        written(tmp_path, step, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000012", "step-00000100"]


def test_a_step_written_again_replaces_itself(tmp_path):
    written(tmp_path, 4, 1.0)
    written(tmp_path, 4, 2.0)
    written(tmp_path, 4, 3.0)
    assert len(list(tmp_path.iterdir())) == 1
    assert read_checkpoint(tmp_path)[0]["w"][0] == 3.0


@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir"])
def test_a_full_disk_leaves_the_last_one(tmp_path, monkeypatch, call):
    good = written(tmp_path, 1)

    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(checkpoint.Path, call, full)
    with pytest.raises(CheckpointError, match=r"step 2.*No space left.*step-00000001 is kept"):
        written(tmp_path, 2)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == [good.name]
    assert read_checkpoint(tmp_path)[2]["step"] == 1


def test_damage_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        read_checkpoint(tmp_path)
    path = written(tmp_path, 3)
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=r"step-00000003 is damaged"):
        read_checkpoint(tmp_path)


# --- a real process that is killed ---------------------------------------------------------------


def make_trainer(folder):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = GPT(GPTConfig(**SIZES, dropout=0.1))
    config = TrainConfig(steps=STEPS, batch_size=4, save_every=1, keep=2, max_lr=1e-2)
    return Trainer(model, config, torch.arange(1000) * 7 % 32, folder=folder)


def train(folder):
    trainer = make_trainer(folder)
    if latest_checkpoint(folder):
        trainer.resume(folder)
    trainer.fit()


def test_killed_ten_times_and_nothing_is_lost(tmp_path):
    expected = make_trainer(tmp_path / "quiet").fit().column("loss")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "torch._dynamo"])  # once, not ten times
    folder, dice, reached = tmp_path / "killed", random.Random(0), 0
    for _ in range(10):
        process = context.Process(target=train, args=(folder,))
        process.start()
        deadline = time.monotonic() + 60
        while process.is_alive() and time.monotonic() < deadline:  # some steps, then at any moment
            last = latest_checkpoint(folder)
            if last is not None and int(last.name[5:13]) > reached + 2:
                break
            time.sleep(0.005)
        time.sleep(dice.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        state = read_checkpoint(folder)[2]
        assert state["step"] > reached  # what had been reached stays reached
        reached = state["step"]
        assert [row["loss"] for row in state["history"]] == expected[:reached]
    assert reached < STEPS
    trainer = make_trainer(folder).resume(folder)
    assert trainer.fit().column("loss") == expected
    assert json.dumps(trainer.history.rows)  # plain numbers
