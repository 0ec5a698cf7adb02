"""Written by two ranks, read by one and by three: the same numbers, the same next steps."""

import sys

import pytest
import torch

from llmlib.models import Llama, LlamaConfig
from llmlib.training import (
    CheckpointError,
    TrainConfig,
    Trainer,
    parallel_from_environment,
    read_shards,
    run_ranks,
    write_shards,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")

# Three ranks cannot divide 16 rows of a matrix, nor 10 of the vocabulary, evenly.
SIZES = {"vocab_size": 10, "context_length": 8, "dim": 16, "num_layers": 2, "num_heads": 2}


def make_trainer(parallel, seed=0):
    torch.manual_seed(seed)
    config = TrainConfig(steps=6, batch_size=6, max_lr=1e-2)
    return Trainer(Llama(LlamaConfig(**SIZES)), config, torch.arange(500) % 10, parallel=parallel)


def content(run):
    """Weights and optimizer states, whole."""
    whole = run.parallel.gather
    return {
        name: [
            whole(p.detach()).clone(),
            *(whole(t).clone() for t in run.optimizer.state[p].values()),
        ]
        for name, p in run.model.named_parameters()
    }


def write(rank, world_size, path):
    with parallel_from_environment("fsdp") as parallel:
        run = make_trainer(parallel)
        run.fit(until=3)
        write_shards(path, run.model, run.optimizer, {"step": run.step, "note": "three"})
        found = content(run)
        return found, run.fit().column("loss")[3:]


def read(rank, world_size, path):
    with parallel_from_environment("fsdp") as parallel:
        run = make_trainer(parallel, seed=1)
        state = read_shards(path, run.model, run.optimizer)
        run.step = state["step"]
        found = content(run)
        return state, found, run.fit().column("loss")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("shards") / "three-steps"
    return path, *run_ranks(write, 2, path)[0]


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_what_two_ranks_wrote_any_number_reads_exactly(written, world_size):
    path, weights, losses = written
    read_here = [read(0, 1, path)] if world_size == 1 else run_ranks(read, world_size, path)
    for state, found, after in read_here:
        assert state == {"step": 3, "note": "three"}
        torch.testing.assert_close(found, weights, rtol=0, atol=0)
        assert after == pytest.approx(losses, rel=1e-5)


def test_each_rank_wrote_its_own_file(written):
    names = sorted(path.name for path in written[0].iterdir())
    assert names == [".metadata", "__0_0.distcp", "__1_0.distcp"]
    assert not list(written[0].parent.glob(".unfinished*"))


def test_what_cannot_be_read_or_written_is_refused(written, tmp_path):
    with parallel_from_environment() as parallel:
        run = make_trainer(parallel)
    with pytest.raises(CheckpointError, match="choose another name"):
        write_shards(written[0], run.model, run.optimizer)
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        read_shards(tmp_path, run.model, run.optimizer)
    other = Llama(LlamaConfig(**(SIZES | {"dim": 8})))
    with pytest.raises(CheckpointError, match="another model"):
        read_shards(written[0], other, torch.optim.AdamW(other.parameters()))
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(CheckpointError, match="could not be written"):
        write_shards(tmp_path / "file" / "new", run.model, run.optimizer)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
