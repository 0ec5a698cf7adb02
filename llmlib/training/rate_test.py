r"""Finding a learning rate: let it grow from step to step, and watch the loss.

.. math::

   \eta_i = \eta_{\min} \left(\frac{\eta_{\max}}{\eta_{\min}}\right)^{i / (n - 1)},
   \qquad i = 0, \dots, n - 1

While the rate is too small the loss stays; then it falls; then the rate is too high, and it rises.

References
----------
1. Smith, *Cyclical Learning Rates for Training Neural Networks*, WACV 2017, arXiv:1506.01186.

**Differs from the paper in** the growth: the paper lets the rate grow in equal steps, this module
by equal factors, so that several powers of ten fit into one test.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, pairwise, takewhile

import torch
from torch import nn

from llmlib.training.batches import BatchSource
from llmlib.training.config import TrainConfig
from llmlib.training.gradients import clip_grad_norm
from llmlib.training.loss import BatchLoss
from llmlib.training.monitor import running_mean
from llmlib.training.optimizer import AdamW, parameter_groups

__all__ = ["RateTest", "lr_range_test"]


@dataclass(frozen=True)
class RateTest:
    """What a test found.

    Parameters
    ----------
    rates : list of float
        Learning rate of each step.
    losses : list of float
        Loss of the batch of that step, before its update.

    Examples
    --------
    >>> test = RateTest([1e-4, 1e-3, 1e-2, 1e-1], [6.0, 5.0, 3.0, 9.0])
    >>> test.lowest
    0.01
    """

    rates: list[float]
    losses: list[float]

    @property
    def smoothed(self) -> list[float]:
        """The losses without most of their noise."""
        return running_mean(self.losses, keep=0.7)

    @property
    def lowest(self) -> float:
        """Rate at which the smoothed loss is lowest before it first rises: stay well below."""
        smooth = self._before_rise()
        return self.rates[smooth.index(min(smooth))]

    @property
    def steepest(self) -> float:
        """Rate at which the smoothed loss falls most per factor: a good first choice.

        Falls after a first rise do not count: there a loss comes back from where it was thrown.
        """
        smooth = self._before_rise()
        if len(smooth) < 2:
            return self.rates[0]
        falls = running_mean([before - after for before, after in pairwise(smooth)], keep=0.7)
        return self.rates[falls.index(max(falls))]

    def _before_rise(self, height: float = 1.1) -> list[float]:
        """Smoothed losses up to where they first lie a tenth over their lowest so far."""
        smooth = self.smoothed
        lows = accumulate(smooth, min)
        kept = takewhile(lambda pair: pair[0] <= height * pair[1], zip(smooth, lows, strict=True))
        return [loss for loss, _ in kept]


def lr_range_test(
    model: nn.Module,
    config: TrainConfig,
    train_data: BatchSource,
    *,
    min_lr: float = 1e-5,
    max_lr: float = 1.0,
    steps: int = 100,
    stop_at: float = 1.5,
    loss: Callable[[nn.Module, str], nn.Module] = BatchLoss,
) -> RateTest:
    """Train a copy of a model for a few steps while the learning rate grows.

    Parameters
    ----------
    model : torch.nn.Module
        Stays as it is.
    config : TrainConfig
        Optimizer settings of the run to come; its schedule is not used, and its accumulation
        neither.
    train_data : BatchSource
        Batches of the run to come.
    min_lr, max_lr : float
        First and last rate.
    steps : int
        Steps from one to the other.
    stop_at : float
        Stop when the loss is this many times the lowest so far, both smoothed, or not finite.
    loss : callable
        As for :class:`~llmlib.training.Trainer`.

    Returns
    -------
    RateTest
        Rates and losses, up to where it stopped.

    Raises
    ------
    ValueError
        The rates are not in order, there are fewer than two steps, or ``stop_at`` is not above 1.

    Examples
    --------
    >>> from llmlib.models import GPT, GPTConfig
    >>> from llmlib.training import TokenBatches
    >>> sizes = {"vocab_size": 8, "context_length": 8, "dim": 16, "num_layers": 1, "num_heads": 2}
    >>> _ = torch.manual_seed(0)
    >>> counting = TokenBatches(torch.arange(200) % 8, context_length=8, batch_size=4)
    >>> test = lr_range_test(GPT(GPTConfig(**sizes)), TrainConfig(steps=1), counting, steps=40)
    >>> 1e-4 < test.steepest <= test.lowest < 1
    True
    """
    if not 0 < min_lr < max_lr or steps < 2 or not stop_at > 1:
        raise ValueError(
            f"min_lr={min_lr}, max_lr={max_lr}, steps={steps}, stop_at={stop_at}: the rates must "
            "grow from above 0, in at least 2 steps, and stop_at must be above 1"
        )
    model = copy.deepcopy(model)
    device = next(model.parameters()).device
    measured = loss(model, config.precision).train()
    groups = parameter_groups(model, config.weight_decay)
    optimizer = AdamW(groups, lr=min_lr, betas=config.betas)
    rates: list[float] = []
    losses: list[float] = []
    for step in range(steps):
        rate = min_lr * (max_lr / min_lr) ** (step / (steps - 1))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        found = measured(train_data.batch(step).to(device))
        found = found[0] if isinstance(found, tuple) else found  # without what else was measured
        if not math.isfinite(float(found.detach())):
            break
        rates.append(rate)
        losses.append(float(found.detach()))
        smooth = running_mean(losses, keep=0.7)
        if smooth[-1] > stop_at * min(smooth):
            break
        found.backward()
        if not torch.isfinite(clip_grad_norm(model.parameters(), config.clip_norm)):
            break
        optimizer.step()
    return RateTest(rates, losses)
