r"""Several rankings into one, by ranks alone.

.. math::

   \operatorname{RRF}(d) = \sum_{i} \frac{w_i}{c + r_i(d)}

============  ==============  ========================================================
code          symbol          what it is
============  ==============  ========================================================
``rankings``  :math:`r_i(d)`  rank of d in ranking i, from 1; no summand where d is
                              missing
``constant``  :math:`c`       how little the first places count more than later ones
``weights``   :math:`w_i`     trust in each ranking; 1 when left out
============  ==============  ========================================================

Scores of BM25 and cosines have different scales, and no factor makes them one. Ranks need none.

References
----------
1. Cormack, Clarke and Büttcher, *Reciprocal Rank Fusion Outperforms Condorcet and Individual Rank
   Learning Methods*, SIGIR 2009.

**Differs from the paper in** the weights, which are 1 there.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol

from llmlib.retrieval.passages import Hit

__all__ = ["Hybrid", "Retriever", "reciprocal_rank_fusion"]


class Retriever(Protocol):
    """Whatever finds chunks for a query."""

    def search(self, query: str, k: int = 10, where: Mapping[str, str] | None = None) -> list[Hit]:
        """The best k, the best first."""
        ...


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[Hit | Hashable]],
    *,
    constant: float = 60.0,
    weights: Sequence[float] | None = None,
) -> list[Hit]:
    """Add up a share for every rank that a chunk has.

    Parameters
    ----------
    rankings : sequence of sequences
        Of hits, or of anything that can stand in a set; the best first.
    constant, weights
        As in the formula above.

    Returns
    -------
    list of Hit
        Everything that was found, the best first; of equal ones what was seen first. The scores
        are sums of shares.

    Raises
    ------
    ValueError
        A weight is missing, or a ranking has something twice.

    Examples
    --------
    b is second in one and first in the other: 1 / 62 + 1 / 61 is more than 1 / 61.

    >>> fused = reciprocal_rank_fusion([["a", "b"], ["b", "c"]])
    >>> [hit.chunk for hit in fused], fused[0].score == 1 / 62 + 1 / 61
    (['b', 'a', 'c'], True)
    """
    weights = [1.0] * len(rankings) if weights is None else weights
    if len(weights) != len(rankings):
        raise ValueError(f"{len(weights)} weights for {len(rankings)} rankings: give one for each")
    shares: dict[Hashable, float] = {}
    for weight, ranking in zip(weights, rankings, strict=True):
        found = [hit.chunk if isinstance(hit, Hit) else hit for hit in ranking]
        if len(set(found)) < len(found):
            raise ValueError("a ranking has the same thing at two ranks: keep the first of them")
        for rank, chunk in enumerate(found, start=1):
            shares[chunk] = shares.get(chunk, 0.0) + weight / (constant + rank)
    ordered = sorted(shares, key=lambda chunk: -shares[chunk])
    return [Hit(chunk, shares[chunk]) for chunk in ordered]


class Hybrid:
    """Several retrievers asked at once, and their rankings fused.

    Parameters
    ----------
    retrievers : sequence
        Each has ``.search(query, k, where)``; all search the same chunks.
    depth : int
        Hits that each is asked for; at least as many as are wanted in the end.
    constant, weights
        As for :func:`reciprocal_rank_fusion`.

    Examples
    --------
    >>> from llmlib.retrieval import BM25
    >>> texts = ["The mill is green.", "The boat is green.", "A boat."]
    >>> whole, letters = BM25(texts), BM25(texts, split=lambda text: list(text.lower()))
    >>> [hit.text for hit in Hybrid([whole, letters]).search("A mill?", 1)]
    ['The mill is green.']
    """

    def __init__(
        self,
        retrievers: Sequence[Retriever],
        *,
        depth: int = 50,
        constant: float = 60.0,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.retrievers = list(retrievers)
        self.depth, self.constant, self.weights = depth, constant, weights

    def search(self, query: str, k: int = 10, where: Mapping[str, str] | None = None) -> list[Hit]:
        """The best k of the fused ranking."""
        rankings = [one.search(query, max(self.depth, k), where) for one in self.retrievers]
        fused = reciprocal_rank_fusion(rankings, constant=self.constant, weights=self.weights)
        return fused[:k]
