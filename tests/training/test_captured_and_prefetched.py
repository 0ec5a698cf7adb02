"""Batches made ahead, and steps played back: the same as those made and run as usual."""

import pytest
import torch

from llmlib.models import Llama, LlamaConfig
from llmlib.training import (
    Batch,
    BatchLoss,
    CapturedGraphs,
    PrefetchedBatches,
    TokenBatches,
    TrainConfig,
    Trainer,
)
from llmlib.training.captured import fill_batch

SIZES = {"vocab_size": 11, "context_length": 8, "dim": 16, "num_layers": 2, "num_heads": 2}


class GrowingBatches:
    """Batches of 1, 2, 3, ... rows, with documents and weights."""

    def batch(self, number):
        generator = torch.Generator().manual_seed(number)
        ids = torch.randint(11, (number % 5 + 1, 9), generator=generator)
        weights = torch.rand(ids[:, 1:].shape, generator=generator)
        documents = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2]).expand(len(ids), 8)
        return Batch(ids=ids[:, :-1], targets=ids[:, 1:], weights=weights, documents=documents)


def model():
    torch.manual_seed(0)
    return Llama(LlamaConfig(**SIZES))


def test_batches_made_ahead_are_those_of_the_source():
    source = GrowingBatches()
    ahead = PrefetchedBatches(source, workers=2, ahead=2)
    for number in (0, 1, 2, 3, 1, 2, 9):
        made, wanted = ahead.batch(number), source.batch(number)
        assert all(torch.equal(tensor, getattr(wanted, name)) for name, tensor in made.tensors())


def test_making_batches_ahead_draws_no_random_numbers_of_the_run():
    state = torch.get_rng_state()
    PrefetchedBatches(GrowingBatches(), workers=1).batch(0)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_run_is_the_same_with_batches_made_ahead():
    tokens, config = torch.arange(300) % 11, TrainConfig(steps=5, batch_size=2)
    source = TokenBatches(tokens, context_length=8, batch_size=2)
    losses = [
        Trainer(model(), config, data).fit().column("loss")
        for data in (source, PrefetchedBatches(source, workers=1))
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("rows", [1, 3, 4, 5])
def test_rows_that_fill_a_batch_change_neither_loss_nor_gradient(rows):
    batch = GrowingBatches().batch(rows - 1)
    filled = fill_batch(batch, 4)
    assert len(filled.ids) % 4 == 0
    found = []
    for each in (batch, filled):
        loss = BatchLoss(model())
        value = loss(each)
        value.backward()
        found.append([value.detach(), *(p.grad for p in loss.parameters())])
    torch.testing.assert_close(found[0], found[1])


def test_graphs_need_a_gpu():
    with pytest.raises(ValueError, match="CUDA graphs on cpu"):
        CapturedGraphs("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_steps_that_are_played_back_train_like_those_that_run():
    config = TrainConfig(steps=12, max_lr=1e-2, eval_every=4)
    found = []
    for parallel in (None, CapturedGraphs("cuda")):
        trainer = Trainer(
            model().to("cuda"), config, GrowingBatches(), GrowingBatches(), parallel=parallel
        )
        history = trainer.fit()
        found.append(
            [history.column("loss"), history.column("grad_norm"), *trainer.weights().values()]
        )
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-4)
