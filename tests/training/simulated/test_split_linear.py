"""Columns and rows on ranks: the outputs of the whole layer."""

import pytest
import torch
from torch import nn

from llmlib.training import column_parallel, numbers_sent, row_parallel, split_feed_forward


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("bias", [False, True])
def test_parts_make_the_whole(ranks, bias):
    torch.manual_seed(0)
    up, down = nn.Linear(6, 8, bias=bias), nn.Linear(8, 6, bias=bias)
    x = torch.randn(2, 3, 6)
    parts = column_parallel(x, up.weight, up.bias, world_size=ranks)
    assert [part.shape for part in parts] == [(2, 3, 8 // ranks)] * ranks
    torch.testing.assert_close(torch.cat(parts, -1), up(x))
    outputs, _ = row_parallel(parts, down.weight, down.bias)
    together, log = split_feed_forward(x, up, down, torch.relu, world_size=ranks)
    for rank in range(ranks):
        torch.testing.assert_close(outputs[rank], down(up(x)))
        torch.testing.assert_close(together[rank], down(torch.relu(up(x))))
        # One all-reduce of the output, whatever the width in the middle.
        assert numbers_sent(log, rank) == 2 * x.numel() * (ranks - 1) / ranks


def test_a_softmax_over_the_features_cannot_be_split():
    torch.manual_seed(0)
    up, down, x = nn.Linear(4, 8), nn.Linear(8, 4), torch.randn(3, 4)
    outputs, _ = split_feed_forward(x, up, down, lambda h: h.softmax(-1), world_size=2)
    assert not torch.allclose(outputs[0], down(up(x).softmax(-1)), atol=1e-3)


def test_what_cannot_be_divided_is_refused():
    with pytest.raises(ValueError, match=r"8 outputs .* 3 ranks"):
        column_parallel(torch.ones(4), torch.ones(8, 4), world_size=3)
    with pytest.raises(ValueError, match=r"5 inputs .* 2 ranks"):
        row_parallel([torch.ones(2), torch.ones(3)], torch.ones(8, 5))
