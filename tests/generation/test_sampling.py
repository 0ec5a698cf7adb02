"""Filters keep what they say, and tokens are drawn as often as they should be."""

from math import inf

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from llmlib.generation import (
    generate,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalise_repetition,
    sample,
    token_probabilities,
)

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -4.0])
OPTIONS = [
    {},
    {"temperature": 0.5},
    {"temperature": 2.0},
    {"top_k": 3},
    {"top_p": 0.8},
    {"min_p": 0.2},
    {"temperature": 1.5, "top_k": 5, "top_p": 0.95, "min_p": 0.05},
]


def chi_square(counts, probabilities):
    """How far counts are from what is expected, and the bound of one in a million (6 cells)."""
    expected = counts.sum() * probabilities
    real = expected > 0
    assert counts[~real].sum() == 0  # what is dropped is never drawn
    statistic = ((counts[real] - expected[real]) ** 2 / expected[real]).sum().item()
    return statistic, 36.0  # the 1e-6 quantile with 5 degrees of freedom is 35.9


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_frequencies_are_the_probabilities(options):
    generator = torch.Generator().manual_seed(0)
    probabilities = token_probabilities(LOGITS, **options)
    drawn = sample(probabilities.expand(20_000, -1), generator)
    statistic, bound = chi_square(drawn.bincount(minlength=6).float(), probabilities)
    assert statistic < bound


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_frequencies_of_generated_tokens(options):
    def model(ids):
        return LOGITS.expand(*ids.shape, -1)

    generator = torch.Generator().manual_seed(1)
    ids = torch.zeros(5_000, 1, dtype=torch.long)
    written = generate(model, ids, max_new_tokens=4, generator=generator, **options)[:, 1:]
    probabilities = token_probabilities(LOGITS, **options)
    statistic, bound = chi_square(written.flatten().bincount(minlength=6).float(), probabilities)
    assert statistic < bound


def test_the_test_of_frequencies_notices_a_wrong_temperature():
    drawn = sample(token_probabilities(LOGITS, temperature=0.9).expand(20_000, -1))
    statistic, bound = chi_square(drawn.bincount(minlength=6).float(), LOGITS.softmax(-1))
    assert statistic > bound


logits_of_any_row = st.lists(
    st.floats(-30, 30, allow_subnormal=False, width=32), min_size=1, max_size=12
).map(torch.tensor)


@settings(deadline=None)
@given(logits_of_any_row, st.integers(1, 14))
def test_top_k_keeps_the_largest(logits, k):
    kept = keep_top_k(logits, k)
    stays = kept > -inf
    assert_close(kept[stays], logits[stays])
    assert stays.sum() >= min(k, len(logits))
    if not stays.all():
        assert logits[stays].min() > logits[~stays].max()


@settings(deadline=None)
@given(logits_of_any_row, st.floats(0.01, 1.0))
def test_top_p_keeps_the_fewest_that_have_the_mass(logits, p):
    stays = keep_top_p(logits, p) > -inf
    probabilities = logits.double().softmax(-1)
    assert probabilities[stays].sum() >= p - 1e-5
    smallest = probabilities[stays].min()
    assert stays.sum() == 1 or probabilities[stays].sum() - smallest <= p + 1e-5
    if not stays.all():
        assert smallest >= probabilities[~stays].max() - 1e-6


@settings(deadline=None)
@given(logits_of_any_row, st.floats(0.0, 1.0))
def test_min_p_keeps_what_is_near_the_best(logits, p):
    stays = keep_min_p(logits, p) > -inf
    share = logits.softmax(-1) / logits.softmax(-1).max()
    assert stays[logits.argmax()]
    assert (stays | (share < p + 1e-5)).all()
    assert (~stays | (share > p - 1e-5)).all()


def test_a_low_temperature_is_nearly_greedy_and_a_high_one_nearly_uniform():
    assert token_probabilities(LOGITS, temperature=0.01)[0] > 0.999
    assert_close(
        token_probabilities(LOGITS, temperature=1e6), torch.full((6,), 1 / 6), atol=1e-4, rtol=0
    )
    assert token_probabilities(LOGITS, temperature=0).tolist() == [1, 0, 0, 0, 0, 0]


def test_padding_is_not_punished():
    logits = torch.ones(1, 4)
    ids, mask = torch.tensor([[3, 3, 1, 3]]), torch.tensor([[False, False, True, False]])
    assert penalise_repetition(logits, ids, 2.0, mask).tolist() == [[1.0, 0.5, 1.0, 1.0]]
    mask[0, 3] = True  # the padding id as a token of the text
    assert penalise_repetition(logits, ids, 2.0, mask).tolist() == [[1.0, 0.5, 1.0, 0.5]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: token_probabilities(LOGITS, temperature=-0.1), "temperature=-0.1.*0 or more"),
        (lambda: token_probabilities(LOGITS, temperature=float("nan")), "temperature=nan"),
        (lambda: token_probabilities(LOGITS, temperature=inf), "temperature=inf"),
        (lambda: keep_top_k(LOGITS, 0), "top_k=0"),
        (lambda: keep_top_p(LOGITS, 0.0), "top_p=0.0 is outside"),
        (lambda: keep_top_p(LOGITS, 1.1), "top_p=1.1"),
        (lambda: keep_min_p(LOGITS, -0.1), "min_p=-0.1"),
        (lambda: keep_min_p(LOGITS, 2), "min_p=2"),
        (lambda: penalise_repetition(LOGITS[None], torch.zeros(1, 1).long(), 0.0), "penalty=0.0"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
