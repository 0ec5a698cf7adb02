r"""Word2Vec: words that predict the same neighbours get similar vectors.

Skip-gram takes one word and predicts each of its neighbours; CBOW takes the mean of the
neighbours and predicts the word. Both are a table of input vectors, a mean, and an objective:

.. math::

    h = \frac{1}{|B|} \sum_{i \in B} v_i, \qquad
    B_\text{skip-gram} = \{w_t\} \to w_{t+j}, \qquad
    B_\text{CBOW} = \{w_{t+j} : 0 < |j| \le b\} \to w_t

====================  ==========================================  ==================
code                  symbol                                      shape
====================  ==========================================  ==================
``bags``              :math:`B`, padded with -1                   ``(B, M)``
``inputs``            :math:`v`                                   ``(R, D)``
``hidden``            :math:`h`                                   ``(B, D)``
``targets``           the word to predict                         ``(B,)``
====================  ==========================================  ==================

References: Mikolov, Chen, Corrado and Dean, "Efficient estimation of word representations in
vector space", arXiv:1301.3781; and the paper named in ``objectives.py``.

Differs from the paper: examples are learned in batches with Adagrad instead of one by one with a
falling step (the plain step over a batch in which *the* stands a hundred times would be unstable);
frequent words are left out with the formula of the authors' code, not of their paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..vocabulary import Vocabulary
from .adagrad import AdagradTable
from .neighbours import WordVectors
from .objectives import NegativeSampling, Objective
from .stream import TokenStream

__all__ = ["CBOW", "SkipGram", "VectorConfig", "keep_probability", "skip_gram_pairs", "windows"]


@dataclass(frozen=True, kw_only=True)
class VectorConfig:
    """Sizes and step rule of a word-vector model."""

    dim: int = 50  # D, width of the vectors
    window: int = 5  # farthest neighbour; each place draws its own window from 1 to this
    epochs: int = 5  # passes over the text
    batch_size: int = 2048  # examples per step
    learning_rate: float = 0.1  # Adagrad's step
    min_count: int = 1  # rarer words are left out
    subsample: float = 1e-3  # words more frequent than this share are thinned out; 0: none
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dim", "window", "epochs", "batch_size", "min_count"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.subsample < 0:
            raise ValueError(f"subsample is {self.subsample}; it must be 0 or more")


def keep_probability(counts: np.ndarray, subsample: float) -> np.ndarray:
    """Chance with which each word stays in the text: ``min(1, sqrt(t / f) + t / f)``.

    Parameters
    ----------
    counts : array ``(V,)``
    subsample : float
        The share t of the text above which a word is thinned out; 0 keeps everything.

    Examples
    --------
    >>> keep_probability(np.array([90, 10]), 0.1).round(3)
    array([0.444, 1.   ])
    """
    if subsample == 0:
        return np.ones(len(counts))
    ratio = subsample * counts.sum() / np.maximum(counts, 1)
    return np.minimum(1.0, np.sqrt(ratio) + ratio)


def skip_gram_pairs(
    stream: TokenStream, reach: np.ndarray, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """All (word, neighbour) pairs, as two arrays ``(P,)``.

    Parameters
    ----------
    stream : TokenStream
    reach : array of int ``(T,)``
        How far each place looks, from 1 to ``window``.

    Examples
    --------
    >>> stream = TokenStream.from_sentences(["abc"], Vocabulary("abc"))
    >>> centers, neighbours = skip_gram_pairs(stream, np.array([1, 1, 2]), 2)
    >>> sorted(zip(centers.tolist(), neighbours.tolist()))
    [(0, 1), (1, 0), (1, 2), (2, 0), (2, 1)]
    """
    centers, neighbours = [], []
    for distance in range(1, window + 1):
        left, right = stream.neighbours(distance)
        for here, there in ((left, right), (right, left)):
            seen = reach[here] >= distance
            centers.append(stream.ids[here[seen]])
            neighbours.append(stream.ids[there[seen]])
    return np.concatenate(centers), np.concatenate(neighbours)


def windows(stream: TokenStream, reach: np.ndarray, window: int) -> np.ndarray:
    """Neighbours of every place, ``(T, 2 * window)``, padded with -1.

    Examples
    --------
    >>> stream = TokenStream.from_sentences(["abc"], Vocabulary("abc"))
    >>> windows(stream, np.array([1, 1, 2]), 2)
    array([[-1,  1, -1, -1],
           [ 0,  2, -1, -1],
           [ 1, -1,  0, -1]])
    """
    table = np.full((len(stream.ids), 2 * window), -1, dtype=np.int64)
    for distance in range(1, window + 1):
        left, right = stream.neighbours(distance)
        for side, here, there in ((0, right, left), (1, left, right)):
            seen = reach[here] >= distance
            table[here[seen], 2 * (distance - 1) + side] = stream.ids[there[seen]]
    return table


class BagModel:
    """What skip-gram, CBOW and FastText share: mean of some input rows, then an objective.

    A subclass says what stands in a bag (:meth:`examples`) and what a row is
    (:meth:`number_of_rows`).

    Attributes
    ----------
    losses : list of float
        Mean loss per example of each epoch, in nats.
    output : array ``(V, D)``
        The vectors of words as targets, after :meth:`fit`.
    """

    def __init__(
        self, config: VectorConfig | None = None, *, objective: Objective | None = None
    ) -> None:
        self.config = config or VectorConfig()
        self.objective = objective or NegativeSampling()
        self.losses: list[float] = []
        self.output = np.zeros((0, self.config.dim))

    def fit(
        self, sentences: Iterable[Sequence[str]], *, vocabulary: Vocabulary | None = None
    ) -> WordVectors:
        """Learn vectors from sentences that are cut into words.

        Returns
        -------
        WordVectors
            The input vectors. The same sentences, config and seed give the same vectors.
        """
        sentences = list(sentences)
        config = self.config
        if vocabulary is None:
            words = (word for sentence in sentences for word in sentence)
            vocabulary = Vocabulary(words, min_count=config.min_count)
        stream = TokenStream.from_sentences(sentences, vocabulary)
        generator = torch.Generator().manual_seed(config.seed)
        random = np.random.default_rng(config.seed)
        start = torch.rand(self.number_of_rows(vocabulary), config.dim, generator=generator) - 0.5
        inputs = AdagradTable(start / config.dim, learning_rate=config.learning_rate)
        output = AdagradTable(
            torch.zeros(len(vocabulary), config.dim), learning_rate=config.learning_rate
        )
        self.objective.prepare(vocabulary.counts, generator)
        keep = keep_probability(vocabulary.counts, config.subsample)
        self.losses = []
        for _ in range(config.epochs):
            thinned = stream.keep(random.random(len(stream.ids)) < keep[stream.ids])
            reach = random.integers(1, config.window + 1, len(thinned.ids))
            bags, targets = self.examples(thinned, reach)
            if len(targets) == 0:
                raise ValueError(
                    "no two known words stand beside each other; give longer sentences, "
                    "lower min_count or set subsample to 0"
                )
            order = torch.from_numpy(random.permutation(len(targets)))
            total = 0.0
            for batch in order.split(config.batch_size):
                total += self._step(inputs, output, bags[batch], targets[batch])
            self.losses.append(total / len(targets))
        self.output = output.values.numpy()
        return self.result(vocabulary, inputs.values.numpy())

    def number_of_rows(self, vocabulary: Vocabulary) -> int:
        """How many input rows there are: one per word, unless a subclass says otherwise."""
        return len(vocabulary)

    def examples(self, stream: TokenStream, reach: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the bags ``(P, M)`` and targets ``(P,)`` of one epoch."""
        raise NotImplementedError(f"{type(self).__name__} must say what stands in a bag")

    def gather(self, bags: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the U different bags of a batch ``(U, M)`` and which one each example uses.

        Each bag is its own here; FastText shares the pieces of a word that stands many times.
        """
        return bags, torch.arange(len(bags))

    def result(self, vocabulary: Vocabulary, rows: np.ndarray) -> WordVectors:
        """Wrap the input rows."""
        return WordVectors(vocabulary, rows)

    def _step(
        self, inputs: AdagradTable, output: AdagradTable, bags: torch.Tensor, targets: torch.Tensor
    ) -> float:
        bags, place = self.gather(bags)
        present = bags >= 0  # (U, M)
        share = present / present.sum(1, keepdim=True)  # weights of the mean
        means = torch.einsum("um,umd->ud", share, inputs.values[bags.clamp(min=0)])
        found = self.objective.gradients(means[place], output.values, targets)
        gradient = torch.zeros_like(means).index_add_(0, place, found.hidden)
        spread = share[:, :, None] * gradient[:, None, :]  # (U, M, D)
        inputs.descend(bags[present], spread[present])
        output.descend(found.rows, found.output)
        return float(found.losses.sum())


class SkipGram(BagModel):
    """Predict each neighbour from the word.

    Examples
    --------
    >>> text = ["cats drink milk", "dogs drink water", "cats eat fish", "dogs eat meat"] * 50
    >>> model = SkipGram(VectorConfig(dim=8, window=2, epochs=20, subsample=0))
    >>> vectors = model.fit(line.split() for line in text)
    >>> vectors.matrix.shape
    (8, 8)
    >>> model.losses[-1] < model.losses[0]
    True
    """

    def examples(self, stream: TokenStream, reach: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """One example per pair of neighbours; the bag holds one word."""
        centers, neighbours = skip_gram_pairs(stream, reach, self.config.window)
        return torch.from_numpy(centers)[:, None], torch.from_numpy(neighbours)


class CBOW(BagModel):
    """Predict the word from the mean of its neighbours (a continuous bag of words)."""

    def examples(self, stream: TokenStream, reach: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """One example per word that has a neighbour."""
        bags = windows(stream, reach, self.config.window)
        useful = (bags >= 0).any(axis=1)
        return torch.from_numpy(bags[useful]), torch.from_numpy(stream.ids[useful])
