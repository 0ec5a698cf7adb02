"""Embeddings, blocks and the chunked loss: properties and errors."""

import pytest
import torch
from torch.testing import assert_close

from llmlib.nn import (
    FeedForward,
    LayerNorm,
    MultiHeadAttention,
    PreNormBlock,
    TokenEmbedding,
    linear_cross_entropy,
    plain_linear_cross_entropy,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_tied_output_layer_reads_the_embedding_backwards():
    embedding = TokenEmbedding(20, 64)
    ids = torch.tensor([3, 7, 19])
    assert embedding.logits(embedding(ids)).argmax(-1).tolist() == ids.tolist()


def test_scale():
    plain, scaled = TokenEmbedding(5, 4), TokenEmbedding(5, 4, scale=2.0)
    scaled.load_state_dict(plain.state_dict())
    ids = torch.arange(5)
    assert_close(scaled(ids), 2 * plain(ids))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.tensor([4, 5]), "4 to 5.*0..4"),
        (torch.tensor([-1]), "-1 to -1"),
        (torch.tensor([1.0]), "torch.float32.*ids.long()"),
    ],
)
def test_ids_outside_the_vocabulary(ids, message):
    with pytest.raises(ValueError, match=message):
        TokenEmbedding(5, 4)(ids)


def test_padding_id_must_be_in_the_vocabulary():
    with pytest.raises(ValueError, match="padding_id=5"):
        TokenEmbedding(5, 4, padding_id=5)


@pytest.mark.parametrize("chunk", [1, 64, 10**9])
def test_chunked_loss_equals_plain(chunk, monkeypatch):
    monkeypatch.setattr("llmlib.nn.cross_entropy._CHUNK_NUMBERS", chunk)
    hidden = torch.randn(4, 7, 16, requires_grad=True)
    weight = torch.randn(33, 16, requires_grad=True)
    targets = torch.randint(0, 33, (4, 7))
    targets[0, :3] = -100
    results = []
    for loss in (linear_cross_entropy, plain_linear_cross_entropy):
        value = loss(hidden, weight, targets)
        results.append((value, *torch.autograd.grad(3 * value, (hidden, weight))))
    assert_close(*results)


def test_chunked_loss_survives_huge_logits():
    hidden = torch.full((2, 1), 1e4, requires_grad=True)
    weight = torch.tensor([[1.0], [-1.0]])
    loss = linear_cross_entropy(hidden, weight, torch.tensor([0, 1]))
    assert_close(loss, torch.tensor(1e4))  # right: 0, wrong: 2e4
    loss.backward()
    assert hidden.grad.isfinite().all()


def test_nothing_to_predict_gives_zero():
    hidden = torch.randn(3, 4, requires_grad=True)
    loss = linear_cross_entropy(hidden, torch.randn(5, 4), torch.full((3,), -100))
    loss.backward()
    assert loss == 0
    assert_close(hidden.grad, torch.zeros(3, 4))


def test_loss_in_half_precision():
    hidden, weight = torch.randn(6, 16), torch.randn(33, 16)
    targets = torch.randint(0, 33, (6,))
    half = linear_cross_entropy(hidden.bfloat16().requires_grad_(), weight.bfloat16(), targets)
    assert half.dtype == torch.float32
    assert_close(half.detach(), linear_cross_entropy(hidden, weight, targets), rtol=0.02, atol=0.1)


def test_loss_in_double_precision_keeps_its_digits():
    hidden = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 8, 3, -100, 1, 2])
    torch.set_default_dtype(torch.float64)
    try:
        loss = linear_cross_entropy(hidden, weight, targets)
    finally:
        torch.set_default_dtype(torch.float32)
    expected = torch.nn.functional.cross_entropy(hidden @ weight.T, targets)
    assert_close(loss, expected)  # float64: 1e-7
    ours = torch.autograd.grad(loss, (hidden, weight))
    assert_close(ours, torch.autograd.grad(expected, (hidden, weight)))
    assert_close(plain_linear_cross_entropy(hidden, weight, targets), expected)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.zeros(2, dtype=torch.long), r"\(2,\).*one target for each"),
        (torch.tensor([0, 1, 5]), "target 5 names no token of 0..4"),
        (torch.tensor([0, -1, 2]), "target -1"),
    ],
)
def test_wrong_targets(targets, message):
    with pytest.raises(ValueError, match=message):
        linear_cross_entropy(torch.randn(3, 4), torch.randn(5, 4), targets)


def test_a_block_that_only_reads_its_residual_stream_changes_nothing():
    block = PreNormBlock(MultiHeadAttention(8, 2), LayerNorm(8), FeedForward(8), LayerNorm(8))
    for layer in (block.attention.out_proj, block.feedforward.down_proj):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    x = torch.randn(2, 5, 8)
    assert torch.equal(block(x), x)


def test_memory_is_for_blocks_with_cross_attention():
    parts = (MultiHeadAttention(8, 2), LayerNorm(8), FeedForward(8), LayerNorm(8))
    x = torch.randn(1, 2, 8)
    with pytest.raises(ValueError, match="memory is given"):
        PreNormBlock(*parts)(x, x)
    cross = {"cross_attention": MultiHeadAttention(8, 2), "cross_norm": LayerNorm(8)}
    with pytest.raises(ValueError, match="memory is missing"):
        PreNormBlock(*parts, **cross)(x)
    with pytest.raises(ValueError, match="go together"):
        PreNormBlock(*parts, cross_norm=LayerNorm(8))
