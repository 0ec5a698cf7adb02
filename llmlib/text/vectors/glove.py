r"""GloVe: a weighted factorisation of the logarithm of how often words meet.

.. math::

    L = \sum_{w, c \,:\, X_{wc} > 0} f(X_{wc})
        \bigl(v_w \cdot u_c + b_w + d_c - \log X_{wc}\bigr)^2, \qquad
    f(x) = \min\bigl(1, (x / x_{\max})^{\alpha}\bigr)

======================  ============================================  ====================
code                    symbol                                        shape
======================  ============================================  ====================
``counts``              :math:`X`, pairs that met                     ``(P,)`` of (V, V)
``words, contexts``     :math:`v`, :math:`u`                          ``(V, D)``
last column of each     :math:`b`, :math:`d`                          ``(V, 1)``
``weight``              :math:`f(X)`                                  ``(P,)``
======================  ============================================  ====================

Reference: Pennington, Socher and Manning, "GloVe: global vectors for word representation",
EMNLP 2014.

Differs from the paper: the loss is halved nowhere, so that the gradient carries a factor 2; the
step is taken per batch instead of per pair. As in the paper the result is the sum of word and
context vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from ..vocabulary import Vocabulary
from .adagrad import AdagradTable
from .counts import Cooccurrence, count_cooccurrence
from .neighbours import WordVectors
from .stream import TokenStream

__all__ = ["GloVe", "GloVeConfig", "glove_gradients", "glove_loss", "pair_weights"]


@dataclass(frozen=True, kw_only=True)
class GloVeConfig:
    """Sizes and step rule of a GloVe model."""

    dim: int = 50  # D, width of the vectors
    window: int = 5  # farthest neighbour; a neighbour at distance d counts 1/d
    epochs: int = 20  # passes over the pairs, not over the text
    batch_size: int = 2048  # pairs per step
    learning_rate: float = 0.05  # Adagrad's step, the authors' value
    x_max: float = 10.0  # counts from here on have full weight (100 for billions of words)
    alpha: float = 0.75  # how fast the weight of rarer pairs falls
    min_count: int = 1  # rarer words are left out
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dim", "window", "epochs", "batch_size", "min_count"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.x_max <= 0:
            raise ValueError(f"x_max is {self.x_max}; it must be greater than 0")


def pair_weights(counts: torch.Tensor, x_max: float, alpha: float) -> torch.Tensor:
    """Weight of each pair, ``f(X)``.

    Examples
    --------
    >>> pair_weights(torch.tensor([1.0, 10.0, 1000.0]), x_max=10.0, alpha=0.5)
    tensor([0.3162, 1.0000, 1.0000])
    """
    return (counts / x_max).clamp(max=1.0) ** alpha


def glove_loss(
    words: torch.Tensor,
    contexts: torch.Tensor,
    counts: torch.Tensor,
    *,
    x_max: float,
    alpha: float,
) -> torch.Tensor:
    """Weighted squared errors of some pairs, ``(P,)``.

    Parameters
    ----------
    words, contexts : tensors ``(P, D + 1)``
        The two rows of each pair, the bias in the last column.
    counts : tensor ``(P,)``
        How often the pair met; greater than 0.

    Examples
    --------
    >>> row = torch.tensor([[1.0, 0.0]])  # one number and a bias of 0: the product is 1
    >>> glove_loss(row, row, torch.tensor([1.0]), x_max=1.0, alpha=0.75)  # log 1 = 0
    tensor([1.])
    """
    error = _errors(words, contexts, counts)
    return pair_weights(counts, x_max, alpha) * error**2


def glove_gradients(
    words: torch.Tensor,
    contexts: torch.Tensor,
    counts: torch.Tensor,
    *,
    x_max: float,
    alpha: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Losses of some pairs, and the gradients of their sum in both rows, written out."""
    error = _errors(words, contexts, counts)
    weight = pair_weights(counts, x_max, alpha)
    push = (2 * weight * error)[:, None]  # (P, 1)
    one = torch.ones_like(push)
    word_gradient = push * torch.cat([contexts[:, :-1], one], dim=1)
    context_gradient = push * torch.cat([words[:, :-1], one], dim=1)
    return weight * error**2, word_gradient, context_gradient


class GloVe:
    """Learn vectors from a table of counts.

    Attributes
    ----------
    losses : list of float
        Mean weighted loss per pair of each epoch.

    Examples
    --------
    >>> text = ["cats drink milk", "dogs drink water", "cats eat fish", "dogs eat meat"] * 50
    >>> model = GloVe(GloVeConfig(dim=8, window=2))
    >>> vectors = model.fit(line.split() for line in text)
    >>> vectors.matrix.shape, model.losses[-1] < model.losses[0]
    ((8, 8), True)
    """

    def __init__(self, config: GloVeConfig | None = None) -> None:
        self.config = config or GloVeConfig()
        self.losses: list[float] = []

    def fit(
        self, sentences: Iterable[Sequence[str]], *, vocabulary: Vocabulary | None = None
    ) -> WordVectors:
        """Count the pairs of a text that is cut into words, then factorise."""
        sentences = list(sentences)
        if vocabulary is None:
            words = (word for sentence in sentences for word in sentence)
            vocabulary = Vocabulary(words, min_count=self.config.min_count)
        stream = TokenStream.from_sentences(sentences, vocabulary)
        counts = count_cooccurrence(stream, len(vocabulary), window=self.config.window)
        return self.fit_counts(counts, vocabulary)

    def fit_counts(self, counts: Cooccurrence, vocabulary: Vocabulary) -> WordVectors:
        """Factorise a table of counts that is ready."""
        config = self.config
        if len(counts.weights) == 0:
            raise ValueError("no two words met; give longer sentences or a wider window")
        generator = torch.Generator().manual_seed(config.seed)
        words, contexts = (
            AdagradTable(
                (torch.rand(len(vocabulary), config.dim + 1, generator=generator) - 0.5)
                / config.dim,
                learning_rate=config.learning_rate,
            )
            for _ in range(2)
        )
        rows, columns = torch.from_numpy(counts.rows), torch.from_numpy(counts.columns)
        weights = torch.from_numpy(counts.weights).float()
        self.losses = []
        for _ in range(config.epochs):
            total = 0.0
            for batch in torch.randperm(len(weights), generator=generator).split(config.batch_size):
                row, column = rows[batch], columns[batch]
                losses, word_gradient, context_gradient = glove_gradients(
                    words.values[row],
                    contexts.values[column],
                    weights[batch],
                    x_max=config.x_max,
                    alpha=config.alpha,
                )
                words.descend(row, word_gradient)
                contexts.descend(column, context_gradient)
                total += float(losses.sum())
            self.losses.append(total / len(weights))
        return WordVectors(vocabulary, (words.values + contexts.values)[:, :-1].numpy())


def _errors(words: torch.Tensor, contexts: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    products = (words[:, :-1] * contexts[:, :-1]).sum(1)
    return products + words[:, -1] + contexts[:, -1] - counts.log()
