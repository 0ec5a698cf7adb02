"""Cross-entropy beside that of PyTorch."""

import pytest
import torch
import torch.nn.functional as F

from llmlib.training import cross_entropy


def both(shape, ignored):
    torch.manual_seed(0)
    logits = (5 * torch.randn(*shape, 11)).requires_grad_()
    targets = torch.randint(0, 11, shape)
    targets[torch.rand(shape) < ignored] = -100
    return logits, targets


def test_weights_count_targets_more_or_less():
    logits, targets = both((6,), 0.0)
    weights = torch.tensor([1.0, 0, 2, 0, 0, 1])
    repeated = torch.tensor([0, 2, 2, 5])
    ours = cross_entropy(logits, targets, weights=weights)
    torch.testing.assert_close(ours, F.cross_entropy(logits[repeated], targets[repeated]))


def test_a_wholly_ignored_batch_gives_zero():
    logits, targets = both((4,), 1.1)
    loss = cross_entropy(logits, targets)
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


def test_shapes_that_do_not_match():
    with pytest.raises(ValueError, match=r"\(3,\).*\(2, 5\)"):
        cross_entropy(torch.zeros(2, 5), torch.zeros(3, dtype=torch.int64))
