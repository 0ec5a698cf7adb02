"""What rotary positions and position biases promise, and their errors."""

import pytest
import torch
from torch.testing import assert_close

from llmlib.nn import (
    ALiBi,
    LearnedPositions,
    LinearRopeScaling,
    Llama3RopeScaling,
    RelativePositionBias,
    RotaryEmbedding,
    SinusoidalPositions,
    interleaved_to_half,
    rotary_frequencies,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("pairing", ["half", "interleaved"])
def test_scores_depend_on_the_distance_only(pairing):
    rotary = RotaryEmbedding(16, pairing=pairing, max_len=600)
    query, key = torch.randn(1, 2, 7, 16), torch.randn(1, 2, 7, 16)
    positions = torch.arange(7)

    def scores(shift):
        turned = [rotary(x, positions + shift) for x in (query, key)]
        return turned[0] @ turned[1].transpose(-1, -2)

    assert_close(scores(500), scores(0), atol=1e-4, rtol=1e-4)
    elsewhere = rotary(query, positions) @ rotary(key, positions + 1).transpose(-1, -2)
    assert not torch.allclose(elsewhere, scores(0), atol=0.1)


@pytest.mark.parametrize("pairing", ["half", "interleaved"])
def test_turning_keeps_lengths(pairing):
    x = torch.randn(2, 3, 9, 8)
    turned = RotaryEmbedding(8, pairing=pairing)(x)
    assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert_close(turned[:, :, 0], x[:, :, 0])  # position 0 is not turned


def test_the_pairings_are_one_up_to_the_order_of_features():
    weight_q, weight_k = torch.randn(2 * 8, 5), torch.randn(2 * 8, 5)
    x = torch.randn(4, 5)

    def scores(pairing, reorder):
        heads = [
            (x @ reorder(weight).T).view(4, 2, 8).transpose(0, 1) for weight in (weight_q, weight_k)
        ]
        query, key = (RotaryEmbedding(8, pairing=pairing)(head) for head in heads)
        return query @ key.transpose(-1, -2)

    interleaved = scores("interleaved", lambda weight: weight)
    assert_close(scores("half", lambda weight: interleaved_to_half(weight, 8)), interleaved)
    assert not torch.allclose(scores("half", lambda weight: weight), interleaved, atol=0.1)


def test_left_padding_moves_positions_with_the_text():
    rotary = RotaryEmbedding(8)
    x = torch.randn(1, 2, 4, 8)
    padded = torch.cat((torch.zeros(1, 2, 3, 8), x), dim=2)
    positions = torch.tensor([[0, 0, 0, 0, 1, 2, 3]])
    assert_close(rotary(padded, positions)[:, :, 3:], rotary(x))


def test_scaling_slows_the_slow_pairs_only():
    frequencies = rotary_frequencies(64, 500_000.0)
    scaled = Llama3RopeScaling(
        factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_context=8192
    )(frequencies)
    ratio = frequencies / scaled
    assert ratio[0] == 1.0
    assert ratio[-1] == 8.0
    assert (ratio.diff() >= -1e-5).all()  # gradually more
    assert_close(LinearRopeScaling(factor=8.0)(frequencies), frequencies / 8)


def test_sinusoids_of_a_shifted_position_are_turned():
    table = SinusoidalPositions(16, 100)(torch.arange(100))
    products = table @ table.T
    assert_close(products[10, 15], products[60, 65])  # only the distance counts
    assert_close(products[10, 15], products[15, 10])
    assert products[10, 10] == products[10].max()


def test_every_distance_has_a_bucket_and_near_ones_their_own():
    bias = RelativePositionBias(1, num_buckets=32, max_distance=128)
    buckets = bias.bucket(torch.arange(-300, 301))
    # Bucket 16 would be distance 0 to the right, which there is none of.
    assert set(range(32)) - set(buckets.tolist()) == {16}
    near = bias.bucket(torch.arange(-7, 8))
    assert len(near.unique()) == 15
    assert (bias.bucket(torch.arange(0, 300)).diff() >= 0).all()


def test_a_bias_depends_on_the_distance_only():
    for bias in (ALiBi(6), RelativePositionBias(6)):
        slots = torch.arange(9)
        assert_close(bias(slots + 100, slots + 100), bias(slots, slots))


def test_alibi_falls_with_the_distance_in_every_head():
    bias = ALiBi(6)(torch.tensor([9]), torch.arange(10))[:, 0]
    assert (bias.diff(dim=-1) > 0).all()
    assert len(bias[:, 0].unique()) == 6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RotaryEmbedding(7), "head_dim=7.*even"),
        (lambda: RotaryEmbedding(8, pairing="pairs"), "'pairs' is not known"),
        (lambda: RotaryEmbedding(8, base=0.0), "base=0.0"),
        (lambda: RotaryEmbedding(8)(torch.zeros(1, 4)), "width 4.*head_dim=8"),
        (lambda: RotaryEmbedding(8, max_len=4)(torch.zeros(5, 8)), "0 to 4.*0..3"),
        (lambda: SinusoidalPositions(7, 10), "dim=7.*even"),
        (lambda: SinusoidalPositions(8, 10, layout="mixed"), "'mixed' is not known"),
        (lambda: SinusoidalPositions(8, 10)(torch.tensor([10])), "10 to 10.*0..9"),
        (lambda: LearnedPositions(10, 8)(torch.tensor([-1, 3])), "-1 to 3.*0..9"),
        (lambda: RelativePositionBias(2, num_buckets=2), "num_buckets=2"),
        (lambda: RelativePositionBias(2, num_buckets=32, max_distance=8), "max_distance=8"),
        (lambda: ALiBi(0), "num_heads=0"),
        (lambda: interleaved_to_half(torch.zeros(10, 2), 4), "10 rows.*head_dim=4"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
