"""One recipe on one process and on two: the same losses, gradients, evaluations, checkpoints."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.distributed.tensor import DTensor

from llmlib.models import GPT, GPTConfig, Llama, LlamaConfig
from llmlib.training import (
    Batch,
    CSVLog,
    DataParallel,
    History,
    OneProcess,
    RankError,
    TrainConfig,
    Trainer,
    latest_checkpoint,
    parallel_from_environment,
    read_checkpoint,
    run_ranks,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")

SIZES = {"vocab_size": 12, "context_length": 8, "dim": 16, "num_layers": 2, "num_heads": 2}


class Uneven:
    """Batches whose first half counts few targets and whose second half counts many."""

    def __init__(self, weighted=False, rows=8):
        self.weighted, self.rows = weighted, rows

    def batch(self, number):
        generator = torch.Generator().manual_seed(number)
        ids = torch.randint(0, 12, (self.rows, 8), generator=generator)
        targets = (ids * 5 + 1) % 12
        targets[:4, 1:] = -100
        targets[:2] = -100  # a part with nothing that counts
        weights = torch.rand(ids.shape, generator=generator) if self.weighted else None
        return Batch(ids=ids, targets=targets, weights=weights)


def make_trainer(
    parallel=None, *, tied=False, dropout=None, weighted=False, rows=8, folder=None, **config
):
    torch.manual_seed(0)
    data = Uneven(weighted, rows)
    if dropout is None:
        model = Llama(LlamaConfig(**SIZES, tie_embeddings=tied))
    else:
        model = GPT(GPTConfig(**SIZES, dropout=dropout))
    config = TrainConfig(**{"steps": 5, "max_lr": 1e-2, "clip_norm": 0.5} | config)
    return Trainer(
        model,
        config,
        data,
        data,
        parallel=parallel,
        folder=folder,
        logs=[CSVLog(folder / "log.csv")] if folder else [],
        sample=lambda model: f"{model(torch.tensor([[1, 2]]))[0, -1, 0].item():.4f}",
    )


def on_two_ranks(engine, work, **options):
    """What ``work`` gives for the trainer of each rank."""

    def of_rank(rank, world_size):
        with parallel_from_environment(engine) as parallel:
            return work(make_trainer(parallel, **options))

    return run_ranks(of_rank, 2)


def same_rows(found, expected):
    assert [set(row) for row in found] == [set(row) for row in expected]
    for one, two in zip(found, expected, strict=True):
        assert one == pytest.approx(two, rel=2e-5)


@pytest.mark.parametrize(
    ("engine", "accumulation", "options"),
    [
        ("ddp", 1, {"rows": 7}),  # 3 for one rank, 4 for the other
        ("ddp", 4, {"weighted": True}),
        ("fsdp", 1, {"weighted": True, "rows": 5}),
        ("fsdp", 2, {"tied": True, "recompute": True}),
    ],
)
def test_two_ranks_train_as_one_process(engine, accumulation, options):
    def train(run):
        run.fit()
        return run.history.rows, run.weights(), run.samples

    watched = options | {"eval_every": 2, "eval_batches": 2, "sample_every": 2}
    rows, weights, samples = train(make_trainer(**watched))
    assert rows[0]["grad_norm"] > 0.5  # clipping is part of what is compared
    first, second = on_two_ranks(engine, train, accumulation=accumulation, **watched)
    assert first[0] == second[0]
    same_rows(first[0], rows)
    torch.testing.assert_close(first[1], weights)
    assert [(step, pytest.approx(float(text), abs=2e-4)) for step, text in samples] == [
        (step, float(text)) for step, text in first[2]
    ]
    assert second[2] == first[2]


def test_sharded_ranks_hold_half_of_everything():
    def held(run):
        run.fit(until=1)
        states = run.optimizer.state.values()
        return [
            sum(p.to_local().numel() for p in run.model.parameters()),
            *(sum(s[key].to_local().numel() for s in states) for key in ("exp_avg", "exp_avg_sq")),
        ]

    whole = sum(p.numel() for p in make_trainer().model.parameters())
    assert on_two_ranks("fsdp", held) == [[whole // 2] * 3] * 2


def test_replicated_ranks_exchange_gradients_once_for_all_parts():
    def exchanges(run):
        seen = []

        def hook(group, bucket):
            seen.append(bucket.index())
            return allreduce_hook(group, bucket)

        run.loss.register_comm_hook(None, hook)
        run.fit(until=1)
        return len(seen)

    whole, parts = (on_two_ranks("ddp", exchanges, accumulation=n)[0] for n in (1, 4))
    assert whole == parts > 0


def test_sharded_ranks_exchange_gradients_with_the_last_part():
    def arrived(run):
        batch, found = run.train_data.batch(0), []
        for last in (False, False, True):
            with run.parallel.backward(last=last):
                run.loss(batch).backward()
            found.append([p.grad is not None for p in run.model.parameters()])
        return [set(each) for each in found]

    assert on_two_ranks("fsdp", arrived) == [[{False}, {False}, {True}]] * 2


@pytest.mark.parametrize(("first", "then"), [(None, "fsdp"), ("fsdp", None), ("ddp", "fsdp")])
def test_a_checkpoint_goes_from_any_number_of_ranks_to_any_other(tmp_path, first, then):
    def work(run):
        if latest_checkpoint(tmp_path):
            run.resume(tmp_path)
        run.fit(until=run.step + 2)
        return run.save(tmp_path), run.history.rows

    for engine in (first, then):
        if engine is None:
            path, rows = work(make_trainer(steps=4, folder=tmp_path))
        else:
            (path, rows), other = on_two_ranks(engine, work, steps=4, folder=tmp_path)
            assert other == (path, rows)
        assert path == latest_checkpoint(tmp_path)
    same_rows(rows, make_trainer(steps=4).fit().rows)
    assert History.load(tmp_path / "log.csv").rows == rows  # written once


@pytest.mark.parametrize("engine", ["ddp", "fsdp"])
def test_resumed_ranks_continue_bit_for_bit(tmp_path, engine):
    def whole(run):
        return run.fit().rows

    def begin(run):
        run.fit(until=2)
        run.save(tmp_path)

    def go_on(run):
        return run.resume(tmp_path).fit().rows

    expected = on_two_ranks(engine, whole, dropout=0.3)
    on_two_ranks(engine, begin, dropout=0.3)
    assert on_two_ranks(engine, go_on, dropout=0.3) == expected
    states = read_checkpoint(tmp_path)[1]
    assert not torch.equal(states["random.cpu"], states["random.cpu.1"])
    fresh = make_trainer(dropout=0.3).resume(tmp_path)  # one process: rank 0's generator
    assert torch.equal(torch.get_rng_state(), states["random.cpu"])
    assert fresh.step == 2


def test_a_killed_rank_is_noticed_and_the_run_goes_on(tmp_path):
    def dies(run):
        run.fit(until=3)
        if run.parallel.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        run.fit()

    def go_on(run):
        reached = run.resume(tmp_path).step
        return reached, run.fit().rows

    options = {"folder": tmp_path, "save_every": 1}
    before = time.monotonic()
    with pytest.raises(RankError, match="rank 1 of 2 was killed by SIGKILL"):
        on_two_ranks("fsdp", dies, **options)
    assert time.monotonic() - before < 30
    (reached, rows), _ = on_two_ranks("fsdp", go_on, **options)
    assert reached == 3
    same_rows(rows, make_trainer().fit().rows)


@pytest.mark.parametrize("engine", ["ddp", "fsdp"])
def test_all_ranks_begin_with_the_weights_of_rank_0(engine):
    def of_rank(rank, world_size):
        with parallel_from_environment(engine) as parallel:
            torch.manual_seed(rank)
            model = GPT(GPTConfig(**SIZES))
            run = Trainer(model, TrainConfig(steps=1), Uneven(), parallel=parallel)
            return run.weights()

    torch.manual_seed(0)
    expected = dict(GPT(GPTConfig(**SIZES)).named_parameters())
    for found in run_ranks(of_rank, 2):
        torch.testing.assert_close(found, {k: p.detach() for k, p in expected.items()})


def test_blocks_are_dropped_again_after_a_sample():
    def held(run):
        found = []
        for sampled in (False, True):
            if sampled:
                with run.parallel.whole_model():
                    found.append(run.model.blocks[0].attention.q_proj.weight.shape)
            with torch.no_grad():
                run.loss(run.train_data.batch(0))
            weight = run.model.blocks[0].attention.q_proj.weight
            found.append((type(weight), weight.to_local().shape))
        return found

    part, whole, again = on_two_ranks("fsdp", held)[0]
    assert part == again == (DTensor, (8, 16))
    assert whole == (16, 16)


def test_rows_that_cannot_be_divided_are_refused():
    for rows, parts in ((8, 3), (4, 4)):
        named = rf"accumulation={parts} on 2 ranks .* batch of {rows}"
        with pytest.raises(ValueError, match=named):
            on_two_ranks("ddp", lambda run: run.fit(), accumulation=parts, rows=rows)


SCRIPT = """
import json, sys, torch, torch.distributed as dist
from llmlib.models import GPT, GPTConfig
from llmlib.training import TrainConfig, Trainer, parallel_from_environment

with parallel_from_environment(sys.argv[1]) as parallel:
    torch.manual_seed(0)
    model = GPT(GPTConfig(**json.loads(sys.argv[2])))
    config = TrainConfig(steps=4, batch_size=4, accumulation=2)
    run = Trainer(model, config, torch.arange(300) % 12, parallel=parallel, folder=sys.argv[3])
    run.fit()
    run.save(sys.argv[3])
    assert type(parallel).__name__ == "ShardedDataParallel" and parallel.world_size == 2
assert not dist.is_initialized()
"""


def test_the_same_recipe_under_torchrun(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [str(script), "fsdp", json.dumps(SIZES), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    torch.manual_seed(0)
    alone = Trainer(
        GPT(GPTConfig(**SIZES)), TrainConfig(steps=4, batch_size=4), torch.arange(300) % 12
    )
    same_rows(read_checkpoint(tmp_path / "run")[2]["history"], alone.fit().rows)


def test_the_engines_are_imported_when_they_are_used():
    code = (
        "import sys, llmlib.training as t; t.OneProcess(); "
        "print([name for name in ('torch._dynamo', 'torch.distributed.fsdp', "
        "'torch.distributed.tensor', 'torch.distributed.checkpoint') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_a_launcher_there_is_one_process():
    with parallel_from_environment("fsdp") as parallel:
        assert type(parallel) is OneProcess
    with pytest.raises(ValueError, match="engine='zero'"), parallel_from_environment("zero"):
        pass
    with pytest.raises(RuntimeError, match="torchrun"):
        DataParallel()
