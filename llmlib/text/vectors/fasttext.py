r"""FastText: a word is the mean of its character n-grams, so that unseen words have vectors too.

.. math::

    h(w) = \frac{1}{|G_w|} \sum_{g \in G_w} z_g, \qquad
    G_\text{where} = \{\text{<wh, whe, her, ere, re>, \dots, <where>}\}

====================  ==========================================  ==================
code                  symbol                                      shape
====================  ==========================================  ==================
``ngrams``            :math:`G`, all n-grams of the vocabulary    G of them
``rows``              :math:`z`                                   ``(V + G, D)``
``table``             :math:`G_w` for every word, padded with -1  ``(V, M)``
====================  ==========================================  ==================

Reference: Bojanowski, Grave, Joulin and Mikolov, "Enriching word vectors with subword
information", TACL 5, 2017.

Differs from the paper: n-grams have a row each instead of sharing two million hashed ones (a
small text needs no more, and nothing collides); the vector is the mean, as in the authors' later
code, not the sum.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from ..vocabulary import Vocabulary
from .neighbours import WordVectors
from .objectives import Objective
from .stream import TokenStream
from .word2vec import BagModel, VectorConfig, skip_gram_pairs

__all__ = ["FastText", "SubwordVectors", "character_ngrams"]


def character_ngrams(word: str, shortest: int = 3, longest: int = 6) -> list[str]:
    """Pieces of ``<word>`` from ``shortest`` to ``longest`` characters, without repeats.

    The brackets mark where a word begins and ends; alone they are no n-gram.

    Examples
    --------
    >>> character_ngrams("cat", 3, 4)
    ['<ca', 'cat', 'at>', '<cat', 'cat>']
    >>> character_ngrams("火车", 1, 2)
    ['火', '车', '<火', '火车', '车>']
    """
    if not 1 <= shortest <= longest:
        raise ValueError(f"n-grams from {shortest} to {longest} characters: need 1 <= from <= to")
    marked = f"<{word}>"
    pieces = (
        marked[i : i + n] for n in range(shortest, longest + 1) for i in range(len(marked) - n + 1)
    )
    return [piece for piece in dict.fromkeys(pieces) if piece not in ("<", ">")]


class SubwordVectors(WordVectors):
    """Word vectors that can also make a vector for a word never seen.

    Parameters
    ----------
    vocabulary : Vocabulary
    matrix : array ``(V, D)``
    ngrams : mapping of n-gram to its vector ``(D,)``
    shortest, longest : int
        Lengths of the n-grams.

    Examples
    --------
    >>> ngrams = {"<火": np.array([1.0, 0.0]), "车>": np.array([0.0, 1.0])}
    >>> vectors = SubwordVectors(Vocabulary(["火车"]), np.array([[0.5, 0.5]]), ngrams, 2, 2)
    >>> vectors.vector("电车")
    array([0., 1.])
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        matrix: np.ndarray,
        ngrams: Mapping[str, np.ndarray],
        shortest: int,
        longest: int,
    ) -> None:
        super().__init__(vocabulary, matrix)
        self.ngrams = ngrams
        self.shortest = shortest
        self.longest = longest

    def vector(self, word: str) -> np.ndarray:
        """Vector of a word: its own if it was seen, else the mean of its known n-grams."""
        if word in self.vocabulary:
            return super().vector(word)
        pieces = character_ngrams(word, self.shortest, self.longest)
        known = [self.ngrams[piece] for piece in pieces if piece in self.ngrams]
        if not known:
            raise KeyError(f"{word!r} was never seen, and none of its {len(pieces)} n-grams was")
        return np.mean(known, axis=0)


class FastText(BagModel):
    """Skip-gram whose word vector is the mean of the word's row and its n-grams' rows.

    Parameters
    ----------
    config : VectorConfig
    shortest, longest : int
        Lengths of the character n-grams: 3 to 6 suit English, 1 to 2 Chinese.
    objective : Objective
        Negative sampling unless given.

    Examples
    --------
    >>> text = ["cats drink milk", "dogs drink water", "cats eat fish", "dogs eat meat"] * 50
    >>> model = FastText(VectorConfig(dim=8, window=2, subsample=0))
    >>> vectors = model.fit(line.split() for line in text)
    >>> "drinking" in vectors.vocabulary, vectors.vector("drinking").shape
    (False, (8,))
    """

    def __init__(
        self,
        config: VectorConfig | None = None,
        *,
        shortest: int = 3,
        longest: int = 6,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(config, objective=objective)
        self.shortest = shortest
        self.longest = longest

    def number_of_rows(self, vocabulary: Vocabulary) -> int:
        """One row per word, then one per n-gram; this also numbers the n-grams."""
        pieces = [character_ngrams(word, self.shortest, self.longest) for word in vocabulary]
        distinct = dict.fromkeys(piece for word in pieces for piece in word)
        self._row = {piece: len(vocabulary) + i for i, piece in enumerate(distinct)}
        table = np.full((len(vocabulary), 1 + max(map(len, pieces))), -1, dtype=np.int64)
        for i, word in enumerate(pieces):
            table[i, : 1 + len(word)] = [i, *(self._row[piece] for piece in word)]
        self._table = torch.from_numpy(table)
        return len(vocabulary) + len(distinct)

    def examples(self, stream: TokenStream, reach: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """One example per pair of neighbours, as in skip-gram."""
        centers, neighbours = skip_gram_pairs(stream, reach, self.config.window)
        return torch.from_numpy(centers), torch.from_numpy(neighbours)

    def gather(self, bags: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Look up the rows of each different word once, ``(U, M)``."""
        words, place = torch.unique(bags, return_inverse=True)
        return self._table[words], place

    def result(self, vocabulary: Vocabulary, rows: np.ndarray) -> SubwordVectors:
        """Add up each word once; keep the n-grams for words never seen."""
        table = self._table.numpy()
        present = table >= 0
        total = np.einsum("vm,vmd->vd", present.astype(rows.dtype), rows[np.maximum(table, 0)])
        matrix = total / present.sum(1, keepdims=True)
        ngrams = {piece: rows[i] for piece, i in self._row.items()}
        return SubwordVectors(vocabulary, matrix, ngrams, self.shortest, self.longest)
