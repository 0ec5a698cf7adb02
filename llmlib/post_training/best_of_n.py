r"""Best of n: sample n answers and take the one with the highest reward.

From :math:`N` answers to a prompt the mean over all choices of :math:`n` can be computed exactly.
Sort them by the reward that selects; the answer of rank :math:`i` is the best of those of which all
others have a lower rank:

.. math::

   \mathbb E[u \mid n] = \sum_{i=n}^{N} \frac{\binom{i-1}{n-1}}{\binom{N}{n}}\, u_i , \qquad
   \mathrm{KL}(n) = \ln n - \frac{n-1}{n}

==============  ===========================================  ============
code            what it is                                   shape
==============  ===========================================  ============
``selecting``   the reward that selects                      ``(..., N)``
``measured``    :math:`u`, what the answers are worth        ``(..., N)``
==============  ===========================================  ============

References
----------
1. Nakano et al., *WebGPT: Browser-assisted Question-answering with Human Feedback*, 2021,
   arXiv:2112.09332 (the estimator).
2. Gao, Schulman and Hilton, *Scaling Laws for Reward Model Overoptimization*, ICML 2023,
   arXiv:2210.10760.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["best_of_n", "best_of_n_kl"]


def best_of_n(selecting: Tensor, measured: Tensor, n: int) -> Tensor:
    """Expected worth of the answer that a reward selects from n.

    Parameters
    ----------
    selecting, measured : Tensor
        ``(..., N)``: the reward that selects, and what the same answers are worth.
    n : int
        Answers to select from, without putting back.

    Returns
    -------
    Tensor
        ``(...,)``, in float64. Answers of equal reward are as likely to be selected.

    Raises
    ------
    ValueError
        The shapes differ, or ``n`` is not between 1 and N.

    Examples
    --------
    >>> proxy, true = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([5.0, 9.0, 1.0])
    >>> [round(best_of_n(proxy, true, n).item(), 3) for n in (1, 2, 3)]  # (9 + 1 + 1) / 3 for n = 2
    [5.0, 3.667, 1.0]
    """
    if selecting.shape != measured.shape:
        raise ValueError(
            f"selecting has shape {tuple(selecting.shape)}, measured {tuple(measured.shape)}: give "
            "both rewards of the same answers"
        )
    total = selecting.shape[-1]
    if not 1 <= n <= total:
        raise ValueError(f"n={n}, but there are {total} answers: choose n between 1 and {total}")
    ways = math.comb(total, n)
    weights = [math.comb(i, n - 1) / ways for i in range(total)]  # (N,)
    weights = torch.tensor(weights, dtype=torch.float64, device=measured.device)
    order = selecting.argsort(dim=-1, stable=True)
    ranked, worth = selecting.gather(-1, order), measured.double().gather(-1, order)  # (..., N)
    return (weights * _mean_of_ties(ranked, worth)).sum(dim=-1)


def _mean_of_ties(ranked: Tensor, worth: Tensor) -> Tensor:
    """Each worth replaced by the mean over the answers with the same reward."""
    new = torch.ones_like(ranked, dtype=torch.bool)
    new[..., 1:] = ranked[..., 1:] != ranked[..., :-1]
    group = new.long().cumsum(dim=-1) - 1  # (..., N)
    sums = torch.zeros_like(worth).scatter_add_(-1, group, worth)
    sizes = torch.zeros_like(worth).scatter_add_(-1, group, torch.ones_like(worth))
    return (sums / sizes.clamp(min=1)).gather(-1, group)


def best_of_n_kl(n: int) -> float:
    """How far best of n goes from the model that it samples, in nats.

    Exact where no two answers have the same reward or are the same text, else an upper bound
    (Beirami et al. 2024, arXiv:2401.01879).

    Examples
    --------
    >>> best_of_n_kl(1), round(best_of_n_kl(2), 4), round(best_of_n_kl(64), 2)
    (0.0, 0.1931, 3.17)
    """
    if n < 1:
        raise ValueError(f"n={n}: at least 1 answer is needed")
    return math.log(n) - (n - 1) / n
