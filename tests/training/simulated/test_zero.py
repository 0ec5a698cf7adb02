"""Whatever is divided, the weights are those of one process, the bytes those of the formula."""

import pytest
import torch

from llmlib.training import ZeroRanks, numbers_sent, zero_bytes

WIDTH = 6


def problem(ranks):
    """Least squares, its rows divided; the gradient shares of the ranks and that of all."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ranks * 4, WIDTH * 4, generator=generator)
    y = torch.randn(ranks * 4, generator=generator)

    def share(weights, rank):
        rows = slice(4 * rank, 4 * rank + 4)
        return x[rows].T @ (x[rows] @ weights - y[rows]) / len(x)

    return share, lambda weights: sum(share(weights, rank) for rank in range(ranks))


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_every_stage_trains_as_one_process(stage, ranks):
    share, whole = problem(ranks)
    start = torch.linspace(-1, 1, WIDTH * 4)
    options = {"lr": 0.05, "betas": (0.9, 0.99), "weight_decay": 0.1}
    simulated = ZeroRanks(start, ranks, stage, **options)
    weights = start.clone().requires_grad_()
    optimizer = torch.optim.AdamW([weights], **options)
    for _ in range(4):
        log = simulated.step(share)
        weights.grad = whole(weights.detach())
        optimizer.step()
    torch.testing.assert_close(simulated.weights(), weights.detach(), rtol=1e-5, atol=1e-6)
    assert torch.equal(start, torch.linspace(-1, 1, WIDTH * 4))
    size = len(start)
    for rank in range(ranks):
        assert simulated.bytes(rank) == zero_bytes(size, ranks, stage)
        times = 3 if stage == 3 else 2
        assert numbers_sent(log, rank) == times * size * (ranks - 1) / ranks


def test_pieces_that_do_not_divide_add_up():
    share, _ = problem(5)
    ranks = ZeroRanks(torch.zeros(24), 5, 3, lr=0.1)
    ranks.step(share)
    for what, whole in zero_bytes(24, 1, 3).items():
        assert sum(ranks.bytes(rank)[what] for rank in range(5)) == whole
    assert {ranks.bytes(rank)["weights"] for rank in range(5)} == {16, 20}


def test_all_ranks_hold_the_same_weights():
    share, _ = problem(4)
    ranks = ZeroRanks(torch.zeros(24), 4, 1, lr=0.1)
    ranks.step(share)
    seen = []
    ranks.step(lambda weights, rank: seen.append(weights.clone()) or share(weights, rank))
    assert all(torch.equal(weights, seen[0]) for weights in seen)


@pytest.mark.parametrize(("stage", "ranks"), [(4, 2), (-1, 2), (1, 0)])
def test_unknown_stages_are_refused(stage, ranks):
    with pytest.raises(ValueError, match=f"stage={stage}, world_size={ranks}"):
        zero_bytes(10, ranks, stage)
