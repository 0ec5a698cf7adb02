"""The learning rate over a run."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import get_cosine_schedule_with_warmup

from llmlib.training import cosine_schedule


@given(st.integers(1, 50), st.integers(2, 200))
def test_rises_to_the_top_and_falls_to_the_end(warmup, rest):
    options = {
        "max_lr": 3e-3,
        "min_lr": 1e-4,
        "warmup_steps": warmup,
        "total_steps": warmup + rest,
    }
    rates = [cosine_schedule(step, **options) for step in range(warmup + rest + 3)]
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert rates[warmup - 1] == rates[warmup] == max(rates)
    assert math.isclose(max(rates), 3e-3)
    assert rates[0] > 0
    assert rates[-1] == rates[-2] == rates[warmup + rest] == 1e-4
    middle = cosine_schedule(warmup + rest // 2, **options)
    assert rest % 2 or math.isclose(middle, (3e-3 + 1e-4) / 2)


def test_the_cosine_is_that_of_transformers():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)
    theirs = get_cosine_schedule_with_warmup(optimizer, 4, 20)
    for step in range(20):
        # They count the warm-up from zero, so that their first step learns nothing.
        ours = cosine_schedule(step, max_lr=0.5, min_lr=0.0, warmup_steps=4, total_steps=20)
        expected = theirs.get_last_lr()[0] + (0.5 / 4 if step < 4 else 0)
        assert ours == pytest.approx(expected)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize(
    ("step", "warmup", "total", "named"), [(-1, 0, 5, "step=-1"), (0, 6, 5, "warmup_steps=6")]
)
def test_what_cannot_be(step, warmup, total, named):
    with pytest.raises(ValueError, match=named):
        cosine_schedule(step, max_lr=1.0, min_lr=0.0, warmup_steps=warmup, total_steps=total)
