r"""Near-duplicates without comparing all pairs: shingles, MinHash signatures, banding.

The *shingles* of a text are its runs of :math:`k` words; two texts are near-duplicates when the
Jaccard similarity of their sets of shingles is high. For a random order of all shingles,

.. math:: P(\text{both sets have the same first shingle}) = J(A, B) = \frac{|A \cap B|}{|A \cup B|},

so a *signature* of :math:`n` first shingles, under :math:`n` random orders, estimates :math:`J` by
the share of places where two signatures agree, with standard error
:math:`\sqrt{J (1 - J) / n}`. Cut into :math:`b` *bands* of :math:`r` rows, two signatures fall into
one bucket in some band with probability :math:`1 - (1 - J^r)^b`: a steep step, so that only pairs
that are likely alike are ever looked at.

=============  ===============================  =============================================
code           symbol                           shape
=============  ===============================  =============================================
``size``       :math:`k`                        words of a shingle
``signature``  :math:`\min_x h_i(x)`            (n,) unsigned 64-bit integers
``bands``      :math:`b`                        n = b r
=============  ===============================  =============================================

References
----------
1. Broder, *On the resemblance and containment of documents*, 1997.
2. Leskovec, Rajaraman and Ullman, *Mining of Massive Datasets*, chapter 3.

Differs from the paper in: random orders are replaced by multiply-and-shift hashing, h(x) = the
upper 32 bits of (a x + b) mod 2^64, which is fast in NumPy and random enough for the estimate.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

__all__ = ["MinHash", "jaccard", "near_duplicates", "shingles"]


def shingles(text: str, size: int = 5) -> set[str]:
    """Return the runs of ``size`` words; a shorter text is one shingle, an empty one has none.

    Examples
    --------
    >>> sorted(shingles("the cat saw the dog", size=3))
    ['cat saw the', 'saw the dog', 'the cat saw']
    """
    if size < 1:
        raise ValueError(f"size {size} must be 1 or more")
    words = text.split()
    if not words:
        return set()
    runs = max(1, len(words) - size + 1)
    return {" ".join(words[i : i + size]) for i in range(runs)}


def jaccard(a: set[str], b: set[str]) -> float:
    """Return the Jaccard similarity of two sets; two empty sets are alike.

    Examples
    --------
    >>> jaccard({"a", "b", "c"}, {"b", "c", "d"})
    0.5
    """
    return len(a & b) / len(a | b) if a or b else 1.0


class MinHash:
    """Signatures of sets, and the pairs of signatures that are likely alike.

    Parameters
    ----------
    bands, rows : int
        The signature has bands times rows places. With the defaults, a pair at Jaccard 0.9 is
        found with probability 0.9999, one at 0.5 with probability 0.06.
    seed : int
        Of the hash functions; signatures of different seeds cannot be compared.

    Raises
    ------
    ValueError
        For fewer than one band or row.

    Examples
    --------
    >>> minhash = MinHash()
    >>> one, two = ({f"{word}{i}" for i in range(100)} for word in ("a", "b"))
    >>> minhash.estimate(minhash.signature(one), minhash.signature(one))
    1.0
    >>> minhash.estimate(minhash.signature(one), minhash.signature(two))
    0.0
    """

    def __init__(self, *, bands: int = 16, rows: int = 8, seed: int = 0):
        if bands < 1 or rows < 1:
            raise ValueError(f"bands {bands} and rows {rows} must be 1 or more")
        self.bands, self.rows = bands, rows
        rng = np.random.default_rng(seed)
        size = bands * rows
        odd = rng.integers(0, 2**63, size=size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        self._factors = odd[:, None]  # (n, 1)
        self._offsets = rng.integers(0, 2**63, size=size, dtype=np.uint64)[:, None]

    def signature(self, items: Iterable[str]) -> np.ndarray:
        """Return the signature of a set, shape (bands * rows,); all ones for an empty set."""
        hashed = [
            int.from_bytes(hashlib.blake2b(item.encode(), digest_size=8).digest(), "little")
            for item in set(items)
        ]
        if not hashed:
            return np.full(self.bands * self.rows, 2**64 - 1, dtype=np.uint64)
        keys = np.array(hashed, dtype=np.uint64)[None]  # (1, items)
        mixed = (self._factors * keys + self._offsets) >> np.uint64(32)  # wraps modulo 2^64
        return mixed.min(axis=1)

    def estimate(self, a: np.ndarray, b: np.ndarray) -> float:
        """Estimate the Jaccard similarity of the sets behind two signatures."""
        return float((a == b).mean())

    def detection_probability(self, similarity: float) -> float:
        """Return how likely a pair of a given Jaccard similarity is found.

        Examples
        --------
        >>> round(MinHash(bands=2, rows=1).detection_probability(0.5), 6)
        0.75
        """
        return 1 - (1 - similarity**self.rows) ** self.bands

    def candidates(
        self, signatures: Sequence[np.ndarray], others: Sequence[np.ndarray] | None = None
    ) -> Iterator[tuple[int, int]]:
        """Give each pair that agrees in a whole band once.

        Pairs (i, j) with i < j within ``signatures``; or, with ``others``, i from ``signatures``
        and j from ``others``.
        """
        seen: set[tuple[int, int]] = set()
        for band in range(self.bands):
            part = slice(band * self.rows, (band + 1) * self.rows)
            buckets: dict[bytes, list[int]] = defaultdict(list)
            for i, signature in enumerate(signatures):
                key = signature[part].tobytes()
                if others is None:
                    seen.update((j, i) for j in buckets[key])
                buckets[key].append(i)
            for j, signature in enumerate(others or ()):
                seen.update((i, j) for i in buckets.get(signature[part].tobytes(), ()))
        yield from sorted(seen)


def near_duplicates(
    texts: Sequence[str],
    others: Sequence[str] | None = None,
    *,
    threshold: float = 0.9,
    size: int = 5,
    minhash: MinHash | None = None,
) -> list[tuple[int, int, float]]:
    """Return the pairs of texts whose shingles have a Jaccard similarity of the threshold or more.

    MinHash only proposes the pairs; the similarity that is returned and compared is exact. A pair
    above the threshold is missed with one minus :meth:`MinHash.detection_probability`.

    Parameters
    ----------
    texts, others : sequences of str
        Pairs within ``texts``, or between ``texts`` and ``others`` if they are given.
    threshold : float
        Between 0 and 1.
    minhash : MinHash, optional
        Unless given, 128 places in as few bands as find a pair at the threshold with a
        probability of 0.999.

    Returns
    -------
    list of (int, int, float)
        Places of the two texts and their similarity.

    Examples
    --------
    >>> near_duplicates(["a b c d e f g", "x y z", "a b c d e f g h"], threshold=0.7)
    [(0, 2, 0.75)]
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold {threshold} must lie between 0 and 1")
    minhash = minhash or _made_for(threshold)
    sets = [shingles(text, size) for text in texts]
    signatures = [minhash.signature(items) for items in sets]
    if others is None:
        other_sets, pairs = sets, minhash.candidates(signatures)
    else:
        other_sets = [shingles(text, size) for text in others]
        pairs = minhash.candidates(signatures, [minhash.signature(s) for s in other_sets])
    found = [(i, j, jaccard(sets[i], other_sets[j])) for i, j in pairs]
    return [pair for pair in found if pair[2] >= threshold]


def _made_for(threshold: float) -> MinHash:
    """Return the 128 places with the fewest bands that hardly miss a pair at the threshold."""
    for rows in (16, 8, 4, 2):
        minhash = MinHash(bands=128 // rows, rows=rows)
        if minhash.detection_probability(threshold) >= 0.999:
            return minhash
    return MinHash(bands=128, rows=1)
