"""Small messages: their bytes, their errors, and that feedback loses nothing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmlib.training import ErrorFeedback, Int8, Signs, TopK

COMPRESSORS = [TopK(2), Signs(), Int8()]


def vectors(count, size=37, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(size, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("compressor", COMPRESSORS)
@given(seed=st.integers(0, 99), count=st.integers(1, 6))
def test_feedback_sends_all_but_the_last_remainder(compressor, seed, count):
    sender = ErrorFeedback(compressor)
    wanted = vectors(count, seed=seed)
    sent = sum(sender.decode(sender.encode(vector)) for vector in wanted)
    torch.testing.assert_close(sent + sender.remainder, sum(wanted), rtol=1e-4, atol=1e-4)


def test_bytes_of_a_message():
    (vector,) = vectors(1, size=1001)
    assert vector.nbytes == 4004
    assert TopK(10).encode(vector).nbytes == 80
    assert Signs().encode(vector).nbytes == 126 + 4
    assert Int8().encode(vector).nbytes == 1001 + 4


@given(size=st.integers(1, 40), seed=st.integers(0, 99))
def test_what_arrives(size, seed):
    (vector,) = vectors(1, size, seed)
    signs = Signs().decode(Signs().encode(vector))
    torch.testing.assert_close(signs, vector.sign() * vector.abs().mean())
    steps = Int8().decode(Int8().encode(vector))
    assert (steps - vector).abs().max() <= vector.abs().max() / 254 * 1.001
    k = (size + 1) // 2
    kept = TopK(k).decode(TopK(k).encode(vector))
    assert int((kept != 0).sum()) == k
    assert torch.equal(kept[kept != 0], vector[kept != 0])
    rest = vector[kept == 0].abs()
    assert not len(rest) or rest.max() <= kept[kept != 0].abs().min()


def test_zeros_and_impossible_sizes():
    nothing = torch.zeros(5)
    for compressor in COMPRESSORS:
        assert torch.equal(compressor.decode(compressor.encode(nothing)), nothing)
    with pytest.raises(ValueError, match="k=6, but the vector has 5"):
        TopK(6).encode(nothing)


@pytest.mark.parametrize("compressor", [TopK(1), Signs()])
def test_a_small_steady_gradient_gets_through_with_feedback_alone(compressor):
    """As in Karimireddy et al. 2019: often a little down, seldom far up, and more up in all."""
    gradients = [torch.tensor([10.0 * (-1) ** t, 4.0 if t % 4 == 0 else -1.0]) for t in range(400)]

    def arrived(sender):
        return sum(sender.decode(sender.encode(gradient))[1].item() for gradient in gradients)

    assert sum(gradient[1].item() for gradient in gradients) == 100
    assert arrived(ErrorFeedback(compressor)) == pytest.approx(100, abs=20)
    assert arrived(compressor) <= 0
