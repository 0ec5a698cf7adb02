"""A text as one array of numbers that knows where its sentences end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..vocabulary import Vocabulary

__all__ = ["TokenStream"]


@dataclass(frozen=True)
class TokenStream:
    """A text as numbers: all sentences in one array, with the number of each token's sentence.

    Examples
    --------
    >>> vocabulary = Vocabulary("a b c".split())
    >>> stream = TokenStream.from_sentences([["a", "b"], ["c", "x", "a"]], vocabulary)
    >>> stream.ids.tolist(), stream.sentence.tolist()
    ([0, 1, 2, 0], [0, 0, 1, 1])
    """

    ids: np.ndarray
    sentence: np.ndarray

    @classmethod
    def from_sentences(
        cls, sentences: Iterable[Sequence[str]], vocabulary: Vocabulary
    ) -> TokenStream:
        """Encode sentences; words outside the vocabulary are dropped, as word2vec does."""
        encoded = [vocabulary.encode(s, skip_unknown=True) for s in sentences]
        lengths = [len(s) for s in encoded]
        return cls(
            ids=np.fromiter((i for s in encoded for i in s), dtype=np.int64, count=sum(lengths)),
            sentence=np.repeat(np.arange(len(encoded)), lengths),
        )

    def keep(self, mask: np.ndarray) -> TokenStream:
        """Leave out tokens; what stood around them moves together."""
        return TokenStream(self.ids[mask], self.sentence[mask])

    def neighbours(self, distance: int) -> tuple[np.ndarray, np.ndarray]:
        """Places of all tokens that stand ``distance`` apart in one sentence: (left, right)."""
        left = np.flatnonzero(self.sentence[distance:] == self.sentence[:-distance])
        return left, left + distance
