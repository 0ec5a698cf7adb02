"""What a reward model can tell apart, in numbers.

Pairs of the test split are compared by a judge whose noise is known. So there are two shares: how
often the model agrees with the judge, which no model can push to one, and how often with the
utility behind the judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from llmlib.data.preferences import PAIR_KINDS, PreferencePair, preference_pairs
from llmlib.evaluation import expected_calibration_error, reliability_curve
from llmlib.post_training import RewardModel, pair_accuracy, pair_batch, reward_ranking_loss
from llmlib.tokenizers import Tokenizer

__all__ = ["RewardScores", "evaluate_reward", "pair_rewards"]


@dataclass(frozen=True, kw_only=True)
class RewardScores:
    """How well a reward model ranks answers, on held-out pairs.

    Parameters
    ----------
    accuracy : float
        Share of pairs in which it agrees with the judge.
    judge : float
        Share in which the judge agrees with the utility: what a perfect model would reach.
    true_accuracy : float
        Share in which the model agrees with the utility.
    by_kind : dict
        The same for each kind of pair.
    loss : float
        Ranking loss, in nats per pair.
    calibration_error : float
        Expected calibration error of its probabilities, against the judge.
    rank_correlation : float
        Of its rewards and the utilities, over the stories that are not spoiled.
    reliability : dict
        Of the pairs, seen from the side that the model prefers and sorted by its probability:
        ``predicted``, ``observed`` (the judge agrees) and ``counts`` of each bin.
    pairs : int
        How many.
    """

    accuracy: float
    judge: float
    true_accuracy: float
    by_kind: dict[str, float]
    loss: float
    calibration_error: float
    rank_correlation: float
    reliability: dict[str, list[float]]
    pairs: int

    def lines(self) -> list[str]:
        """The numbers as text."""
        return [
            f"agrees with the judge        {self.accuracy:6.1%} of {self.pairs} pairs",
            f"  a perfect model would      {self.judge:6.1%}",
            f"agrees with the utility      {self.true_accuracy:6.1%}",
            *(f"  {kind:26} {share:6.1%}" for kind, share in self.by_kind.items()),
            f"loss                         {self.loss:6.3f} nats per pair",
            f"calibration error            {self.calibration_error:6.3f}",
            f"rank correlation             {self.rank_correlation:6.2f} with the utility",
        ]


@torch.no_grad()
def pair_rewards(
    model: RewardModel,
    tokenizer: Tokenizer,
    pairs: Sequence[PreferencePair],
    *,
    batch_size: int = 32,
) -> tuple[Tensor, Tensor]:
    """Rewards of both sides: of the chosen and of the rejected answers, ``(n,)`` each."""
    device = model.head.weight.device
    found = []
    for start in range(0, len(pairs), batch_size):
        both = pair_batch(tokenizer, pairs[start : start + batch_size]).joined.to(device)
        found.append(model(both.ids, both.mask).float().cpu().chunk(2))
    chosen, rejected = zip(*found, strict=True)
    return torch.cat(chosen), torch.cat(rejected)


def evaluate_reward(
    model: RewardModel,
    tokenizer: Tokenizer,
    *,
    pairs: int = 1000,
    split: str = "test",
    seed: int = 0,
) -> RewardScores:
    """Measure a reward model.

    Parameters
    ----------
    model, tokenizer
        From :func:`llmlib.companion.load_reward`.
    pairs : int
        How many to compare.
    split : str
        ``"test"``: stories that no training has seen.
    seed : int
        Of the pairs.
    """
    drawn = list(preference_pairs(pairs, seed=seed, split=split))
    chosen, rejected = pair_rewards(model, tokenizer, drawn)
    flipped = torch.tensor([pair.flipped for pair in drawn])
    better, worse = chosen.where(~flipped, rejected), rejected.where(~flipped, chosen)
    kinds = torch.tensor([list(PAIR_KINDS).index(pair.kind) for pair in drawn])
    sure = torch.sigmoid((chosen - rejected).abs())
    whole = [
        (reward, utility)
        for pair, rewards in zip(drawn, zip(chosen, rejected, strict=True), strict=True)
        for reward, utility in zip(rewards, pair.utilities, strict=True)
        if utility > 0
    ]
    rewards, utilities = torch.tensor(whole, dtype=torch.float64).unbind(1)
    return RewardScores(
        accuracy=pair_accuracy(chosen, rejected).item(),
        judge=1 - flipped.double().mean().item(),
        true_accuracy=pair_accuracy(better, worse).item(),
        by_kind={
            kind: pair_accuracy(better[kinds == i], worse[kinds == i]).item()
            for i, kind in enumerate(PAIR_KINDS)
        },
        loss=reward_ranking_loss(chosen, rejected).item(),
        calibration_error=expected_calibration_error(sure, chosen > rejected),
        rank_correlation=_correlation(_ranks(rewards), _ranks(utilities)),
        reliability=asdict(reliability_curve(sure, chosen > rejected, bins=20)),
        pairs=pairs,
    )


def _ranks(values: Tensor) -> Tensor:
    """Place of each value in order; equal ones share the mean of their places."""
    below = (values[:, None] > values).sum(1)
    equal = (values[:, None] == values).sum(1)
    return (below + (equal - 1) / 2).double()


def _correlation(one: Tensor, other: Tensor) -> float:
    return torch.corrcoef(torch.stack((one, other)))[0, 1].item()
