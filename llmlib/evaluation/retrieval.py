r"""How good a ranking is: recall, reciprocal rank and discounted gain.

.. math::

   \operatorname{recall@}k = \frac{|\text{relevant among the first } k|}{|\text{relevant}|}, \qquad
   \operatorname{RR} = \frac{1}{\text{rank of the first relevant}}, \qquad
   \operatorname{nDCG@}k = \frac{\sum_{i \le k} g_i / \log_2(i + 1)}
                                {\sum_{i \le k} g^*_i / \log_2(i + 1)}

==============  ================  =================================================================
code            symbol            what it is
==============  ================  =================================================================
``ranking``     --                what was found, the best first; names, each at most once
``relevant``    --                what should have been found
``gains``       :math:`g`         name -> how much it is worth; :math:`g^*_i` is the i-th largest
==============  ================  =================================================================

Each takes one query; the mean over queries is the number that is reported.

References
----------
1. Järvelin and Kekäläinen, *Cumulated gain-based evaluation of IR techniques*, 2002.

**Differs from the paper in** the logarithm of rank plus one, so that the first rank is discounted
by 1 and the second already by more; as in scikit-learn's ``ndcg_score``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence

__all__ = ["ndcg_at_k", "recall_at_k", "reciprocal_rank"]


def recall_at_k(ranking: Sequence[Hashable], relevant: Collection[Hashable], k: int) -> float:
    """The share of what is relevant that stands among the first k.

    Parameters
    ----------
    ranking : sequence
        What was found, the best first.
    relevant : collection
        What should have been found, at least one.
    k : int
        How far down the ranking to look, at least 1.

    Examples
    --------
    >>> recall_at_k(["a", "b", "c", "d"], {"b", "d"}, k=3)
    0.5
    """
    _check(ranking, relevant, k)
    wanted = set(relevant)
    return len(wanted & set(ranking[:k])) / len(wanted)


def reciprocal_rank(ranking: Sequence[Hashable], relevant: Collection[Hashable]) -> float:
    """One over the rank of the first that is relevant; 0 when none was found.

    Its mean over queries is called MRR.

    Examples
    --------
    >>> reciprocal_rank(["a", "b", "c", "d"], {"b", "d"}), reciprocal_rank(["a"], {"b"})
    (0.5, 0.0)
    """
    _check(ranking, relevant, 1)
    wanted = set(relevant)
    ranks = (rank for rank, name in enumerate(ranking, start=1) if name in wanted)
    return 1 / next(ranks, math.inf)


def ndcg_at_k(
    ranking: Sequence[Hashable],
    gains: Mapping[Hashable, float] | Collection[Hashable],
    k: int,
) -> float:
    """Discounted gain of the first k, as a share of what the best ranking would give.

    Parameters
    ----------
    ranking : sequence
        What was found, the best first.
    gains : mapping, or collection
        What each is worth, at least 0, and above 0 for at least one; a collection is worth 1 each.
    k : int
        How far down the ranking to look, at least 1.

    Returns
    -------
    float
        From 0 to 1; equal to scikit-learn's ``ndcg_score`` where there are no ties.

    Examples
    --------
    The relevant one is second of two: its gain counts 1 / log2(3).

    >>> round(ndcg_at_k(["a", "b"], {"b"}, k=2), 3)
    0.631
    >>> ndcg_at_k(["b", "a"], {"a": 1.0, "b": 3.0}, k=2)
    1.0
    """
    worth = gains if isinstance(gains, Mapping) else dict.fromkeys(gains, 1.0)
    _check(ranking, worth, k)
    if min(worth.values()) < 0 or max(worth.values()) <= 0:
        raise ValueError("gains must be at least 0, and one must be above 0")
    best = sorted(worth.values(), reverse=True)
    return _discounted([worth.get(name, 0.0) for name in ranking[:k]]) / _discounted(best[:k])


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def _check(ranking: Sequence[Hashable], relevant: Collection[Hashable], k: int) -> None:
    if k < 1:
        raise ValueError(f"k={k}: look at least at the first rank")
    if not relevant:
        raise ValueError("nothing is relevant, so no ranking is good or bad: leave the query out")
    if len(set(ranking)) < len(ranking):
        raise ValueError("the ranking has something twice, which would count twice: remove it")
