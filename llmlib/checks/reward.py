"""Exercises of the chapter on reward models."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]


# --- ranking_loss -------------------------------------------------------------------------------


def _ranking_loss(
    chosen: Tensor,
    rejected: Tensor,
    *,
    sign: float = 1.0,
    swapped: bool = False,
    reduce: str = "mean",
) -> Tensor:
    """The loss of Bradley and Terry; the keywords make the known mistakes."""
    gap = rejected - chosen if swapped else chosen - rejected
    losses = sign * torch.nn.functional.softplus(-gap)
    return losses.mean() if reduce == "mean" else losses.sum()


def _unstable(chosen: Tensor, rejected: Tensor) -> Tensor:
    return -torch.sigmoid(chosen - rejected).log().mean()


def _no_log(chosen: Tensor, rejected: Tensor) -> Tensor:
    return -torch.sigmoid(chosen - rejected).mean()


def _two_rewards(g: Generator) -> tuple[Tensor, Tensor]:
    count = draw.integer(g, 3, 6)
    chosen, rejected = 2 * draw.normal(g, count), 2 * draw.normal(g, count)
    rejected[0] = chosen[0] + 200  # a pair that the model is very sure of, and wrong
    return chosen, rejected


# --- last_rewards -------------------------------------------------------------------------------


def _last_rewards(rewards: Tensor, mask: Tensor) -> Tensor:
    last = (mask * torch.arange(mask.shape[1])).argmax(dim=1)
    return rewards.gather(1, last[:, None])[:, 0]


def _last_column(rewards: Tensor, mask: Tensor) -> Tensor:
    return rewards[:, -1]


def _one_too_far(rewards: Tensor, mask: Tensor) -> Tensor:
    place = mask.sum(1).clamp(max=mask.shape[1] - 1)
    return rewards.gather(1, place[:, None])[:, 0]


def _counted(rewards: Tensor, mask: Tensor) -> Tensor:
    return rewards.gather(1, mask.sum(1)[:, None] - 1)[:, 0]


def _mean_of_tokens(rewards: Tensor, mask: Tensor) -> Tensor:
    return (rewards * mask).sum(1) / mask.sum(1)


def _padded(g: Generator) -> tuple[Tensor, Tensor]:
    rows, length = draw.integer(g, 3, 5), draw.integer(g, 5, 8)
    sizes = 2 + draw.tokens(g, rows, vocab_size=length - 2)
    starts = torch.tensor([0 if row % 2 == 0 else length - int(n) for row, n in enumerate(sizes)])
    places = torch.arange(length)
    mask = (places >= starts[:, None]) & (places < (starts + sizes)[:, None])
    return draw.normal(g, rows, length), mask


# --- calibration_error --------------------------------------------------------------------------


def _calibration_error(
    probabilities: Tensor,
    outcomes: Tensor,
    bins: int,
    *,
    weighted: bool = True,
    absolute: bool = True,
    middle: bool = False,
) -> float:
    """Expected calibration error; the keywords make the known mistakes."""
    which = (probabilities * bins).long().clamp(max=bins - 1)
    total, used = 0.0, 0
    for number in range(bins):
        inside = which == number
        if inside.any():
            predicted = (number + 0.5) / bins if middle else probabilities[inside].mean()
            gap = float(predicted - outcomes[inside].float().mean())
            share = inside.float().mean().item() if weighted else 1.0
            total += share * (abs(gap) if absolute else gap)
            used += 1
    return abs(total) if weighted else total / used


def _forecasts(g: Generator) -> tuple[Tensor, Tensor, int]:
    count, bins = draw.integer(g, 30, 60), draw.integer(g, 3, 6)
    p = draw.uniform(g, count) ** 2  # more low ones than high ones
    return p, draw.uniform(g, count) < 0.5, bins


# --- policy_gradient ----------------------------------------------------------------------------


def _policy_gradient(
    logits: Tensor,
    actions: Tensor,
    rewards: Tensor,
    baseline: float,
    *,
    use_baseline: bool = True,
    minus_policy: bool = True,
    sign: float = 1.0,
    reduce: str = "mean",
) -> Tensor:
    """REINFORCE for a softmax over K actions; the keywords make the known mistakes."""
    hot = torch.nn.functional.one_hot(actions, len(logits)).to(logits.dtype)
    scores = hot - logits.softmax(-1) if minus_policy else hot  # (N, K)
    pushes = sign * (rewards - baseline * use_baseline)[:, None] * scores
    return pushes.mean(0) if reduce == "mean" else pushes.sum(0)


def _draws(g: Generator) -> tuple[Tensor, Tensor, Tensor, float]:
    kinds, count = draw.integer(g, 3, 5), draw.integer(g, 4, 7)
    return (
        draw.normal(g, kinds),
        draw.tokens(g, count, vocab_size=kinds),
        3 + 2 * draw.normal(g, count),
        float(draw.integer(g, 2, 4)),
    )


# --- best_of_n ----------------------------------------------------------------------------------


def _best_of_n(proxy: Tensor, gold: Tensor, n: int) -> float:
    order, total = proxy.argsort(), len(proxy)
    weights = [math.comb(i, n - 1) / math.comb(total, n) for i in range(total)]
    return float((torch.tensor(weights) * gold[order]).sum())


def _best_by_gold(proxy: Tensor, gold: Tensor, n: int) -> float:
    return _best_of_n(gold, gold, n)


def _proxy_of_the_best(proxy: Tensor, gold: Tensor, n: int) -> float:
    return _best_of_n(proxy, proxy, n)


def _first_n(proxy: Tensor, gold: Tensor, n: int) -> float:
    return float(gold[proxy[:n].argmax()])


def _top_n(proxy: Tensor, gold: Tensor, n: int) -> float:
    return float(gold[proxy.argsort(descending=True)[:n]].mean())


def _put_back(proxy: Tensor, gold: Tensor, n: int) -> float:
    ranks = torch.arange(len(proxy) + 1) / len(proxy)
    return float(((ranks**n).diff() * gold[proxy.argsort()]).sum())


def _answers(g: Generator) -> tuple[Tensor, Tensor, int]:
    total = draw.integer(g, 5, 8)
    gold = draw.normal(g, total)
    return gold + draw.normal(g, total), gold, draw.integer(g, 2, 3)


EXERCISES = (
    Choice(
        name="reward.predict_constant",
        right="d",
        why={
            "a": "The loss sees the difference of two rewards of one prompt: the constant cancels.",
            "b": "Accuracy asks which of two rewards is higher, and both rose alike.",
            "c": "The same answer has the highest reward as before.",
            "d": "Without a baseline every drawn answer is pushed in proportion to its own reward. "
            "The mean of these pushes stays, but each draw pushes harder: more noise.",
        },
        hint="Three of these compare answers to one prompt. Which one uses a reward by itself?",
    ),
    Exercise(
        name="reward.ranking_loss",
        reference=_ranking_loss,
        inputs=_two_rewards,
        hint="logsigmoid of torch.nn.functional does not overflow.",
        remark="The same loss as that of a classifier whose logit is the difference.",
        wrong={
            "unstable": Wrong(
                _unstable,
                "The sigmoid of -200 is 0 in float32, and its logarithm minus infinity: take both "
                "in one function.",
            ),
            "swapped": Wrong(
                partial(_ranking_loss, swapped=True),
                "This teaches the model to prefer what was rejected: chosen minus rejected.",
            ),
            "sign": Wrong(
                partial(_ranking_loss, sign=-1.0), "This is the log-likelihood; the loss is minus."
            ),
            "sum": Wrong(
                partial(_ranking_loss, reduce="sum"),
                "You added the pairs up. The mean does not depend on the size of the batch.",
            ),
            "no log": Wrong(
                _no_log,
                "This is the probability itself. Its gradient vanishes where the model is sure and "
                "wrong; take the logarithm.",
            ),
        },
    ),
    Exercise(
        name="reward.last_rewards",
        reference=_last_rewards,
        inputs=_padded,
        hint="Where a mask times 0, 1, 2, ... is largest, stands the last real token.",
        remark="Right for padding on either side.",
        wrong={
            "last column": Wrong(
                _last_column, "The last column is padding where a text is padded on the right."
            ),
            "one too far": Wrong(
                _one_too_far, "You read one place behind the last token: places count from 0."
            ),
            "counted": Wrong(
                _counted,
                "The number of real tokens minus 1 is the place of the last one only where padding "
                "is on the right. Half of these rows have it on the left.",
            ),
            "mean": Wrong(
                _mean_of_tokens,
                "You took the mean over the tokens. Only the last token has read all the others.",
            ),
        },
    ),
    Exercise(
        name="reward.calibration_error",
        reference=_calibration_error,
        inputs=_forecasts,
        hint="A loop over the bins: share of the forecasts, times distance of two means.",
        remark="0 would mean that 70 % happens in 70 of 100 cases.",
        wrong={
            "unweighted": Wrong(
                partial(_calibration_error, weighted=False),
                "You took the plain mean over the bins. A bin with three forecasts counts less "
                "than one with thirty.",
            ),
            "signed": Wrong(
                partial(_calibration_error, absolute=False),
                "Bins that are too high and bins that are too low cancelled: take the distance in "
                "each bin.",
            ),
            "middle": Wrong(
                partial(_calibration_error, middle=True),
                "You took the middle of the bin. Hold the mean of its forecasts against what came.",
            ),
        },
    ),
    Exercise(
        name="reward.policy_gradient",
        reference=_policy_gradient,
        inputs=_draws,
        hint="The gradient of a log-probability in the logits: one-hot row minus softmax.",
        remark="Gradient ascent on this raises the expected reward.",
        wrong={
            "no baseline": Wrong(
                partial(_policy_gradient, use_baseline=False),
                "The baseline is missing. The mean is the same without it, the noise is not.",
            ),
            "no softmax": Wrong(
                partial(_policy_gradient, minus_policy=False),
                "Raising one logit lowers the probability of all others: subtract the softmax.",
            ),
            "sign": Wrong(
                partial(_policy_gradient, sign=-1.0),
                "This is the gradient of a loss, for descent. The expected reward is to rise.",
            ),
            "sum": Wrong(
                partial(_policy_gradient, reduce="sum"),
                "You added the draws up. An estimate of a mean is a mean.",
            ),
        },
    ),
    Exercise(
        name="reward.best_of_n",
        reference=_best_of_n,
        inputs=_answers,
        hint="The answer of rank i is the best of those choices whose other n - 1 come from the "
        "i - 1 below it.",
        remark="No sampling: the exact mean over all choices of n answers.",
        wrong={
            "by gold": Wrong(
                _best_by_gold, "You selected by what the answers are worth. Select by the proxy."
            ),
            "proxy": Wrong(
                _proxy_of_the_best,
                "This is the proxy of the selected answer, which always rises. Give its worth.",
            ),
            "first n": Wrong(
                _first_n, "You looked at the first n answers only: take the mean over all choices."
            ),
            "top n": Wrong(
                _top_n,
                "You took the mean of the n best. From each choice of n only one answer is taken.",
            ),
            "put back": Wrong(
                _put_back,
                "You let an answer be drawn twice. A choice of n holds n different answers.",
            ),
        },
    ),
)
