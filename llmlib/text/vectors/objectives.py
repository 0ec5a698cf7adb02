r"""How well does a hidden vector predict a word? The full softmax and its cheap stand-in.

.. math::

    L_\text{softmax} &= -\log \frac{\exp(h \cdot u_o)}{\sum_{w=1}^{V} \exp(h \cdot u_w)} \\
    L_\text{negative} &= -\log \sigma(h \cdot u_o) - \sum_{k=1}^{K} \log \sigma(-h \cdot u_k),
    \qquad u_k \sim P(w)^{3/4}

====================  ==========================================  ==================
code                  symbol                                      shape
====================  ==========================================  ==================
``hidden``            :math:`h`, vector of the word or window     ``(B, D)``
``output``            :math:`u`, one row per word                 ``(V, D)``
``targets``           :math:`o`, the word to predict              ``(B,)``
``negatives``         :math:`k`, words drawn as noise             ``(B, K)``
====================  ==========================================  ==================

The softmax touches all V rows for every example, negative sampling K + 1 of them. The gradients
are written out, because they are the lesson: each row moves along ``h`` by "probability given
minus truth". Tests compare them with ``torch.autograd``.

References: Mikolov, Sutskever, Chen, Corrado and Dean, "Distributed representations of words and
phrases and their compositionality", NeurIPS 2013; Goldberg and Levy, "word2vec explained",
arXiv:1402.3722.

Differs from the paper: a noise word that equals the target is left out, as in the authors' code.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F

__all__ = [
    "FullSoftmax",
    "NegativeSampling",
    "Objective",
    "RowGradients",
    "negative_sampling_gradients",
    "negative_sampling_loss",
    "softmax_gradients",
    "softmax_loss",
]


class RowGradients(NamedTuple):
    """What an objective hands back for a batch: losses, and gradients of their sum."""

    losses: torch.Tensor  # (B,)
    hidden: torch.Tensor  # (B, D)
    rows: torch.Tensor  # (R,) rows of ``output`` that get a gradient; a row may stand twice
    output: torch.Tensor  # (R, D)


def softmax_loss(hidden: torch.Tensor, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the softmax over all V words: ``(B, D), (V, D), (B,) -> (B,)``, nats.

    Examples
    --------
    A hidden vector of zeros finds all words equally likely: ln V.

    >>> softmax_loss(torch.zeros(1, 3), torch.ones(4, 3), torch.tensor([2]))
    tensor([1.3863])
    """
    return F.cross_entropy(hidden @ output.T, targets, reduction="none")


def softmax_gradients(
    hidden: torch.Tensor, output: torch.Tensor, targets: torch.Tensor
) -> RowGradients:
    """Gradients of the summed :func:`softmax_loss`, written out."""
    log_probabilities = torch.log_softmax(hidden @ output.T, dim=1)  # (B, V)
    losses = -log_probabilities.gather(1, targets[:, None]).squeeze(1)
    error = log_probabilities.exp()
    error[torch.arange(len(targets)), targets] -= 1.0  # probability minus truth
    rows = torch.arange(len(output))
    return RowGradients(losses, error @ output, rows, error.T @ hidden)


def negative_sampling_loss(
    hidden: torch.Tensor,
    output: torch.Tensor,
    targets: torch.Tensor,
    negatives: torch.Tensor,
) -> torch.Tensor:
    """Negative-sampling loss: ``(B, D), (V, D), (B,), (B, K) -> (B,)``, nats.

    Examples
    --------
    With zeros every score is 0 and every sigmoid 1/2: (1 + K) ln 2.

    >>> output = torch.ones(4, 3)
    >>> negative_sampling_loss(torch.zeros(1, 3), output, torch.tensor([2]), torch.tensor([[0, 1]]))
    tensor([2.0794])
    """
    right = (hidden * output[targets]).sum(1)  # (B,)
    wrong = torch.einsum("bd,bkd->bk", hidden, output[negatives])
    counted = (negatives != targets[:, None]).to(wrong.dtype)
    return -F.logsigmoid(right) - (F.logsigmoid(-wrong) * counted).sum(1)


def negative_sampling_gradients(
    hidden: torch.Tensor,
    output: torch.Tensor,
    targets: torch.Tensor,
    negatives: torch.Tensor,
) -> RowGradients:
    """Gradients of the summed :func:`negative_sampling_loss`, written out."""
    rows = torch.cat([targets[:, None], negatives], dim=1)  # (B, 1 + K), the target first
    vectors = output[rows]  # (B, 1 + K, D)
    scores = torch.einsum("bd,bkd->bk", hidden, vectors)
    counted = (rows != targets[:, None]).to(scores.dtype)
    error = torch.sigmoid(scores) * counted
    error[:, 0] = torch.sigmoid(scores[:, 0]) - 1.0  # probability minus truth, as in the softmax
    losses = -F.logsigmoid(scores[:, 0]) - (F.logsigmoid(-scores) * counted).sum(1)
    hidden_gradient = torch.einsum("bk,bkd->bd", error, vectors)
    output_gradient = error[:, :, None] * hidden[:, None, :]
    return RowGradients(losses, hidden_gradient, rows.flatten(), output_gradient.flatten(0, 1))


class Objective(Protocol):
    """What a model needs to learn from a batch."""

    def prepare(self, counts: np.ndarray, generator: torch.Generator) -> None:
        """Learn the word counts ``(V,)`` before training."""

    def gradients(
        self, hidden: torch.Tensor, output: torch.Tensor, targets: torch.Tensor
    ) -> RowGradients:
        """Losses and gradients of a batch."""


class FullSoftmax:
    """Predict among all V words. The plain twin: exact, and V / (K + 1) times the work."""

    def prepare(self, counts: np.ndarray, generator: torch.Generator) -> None:
        """Nothing to prepare: the softmax needs no noise."""

    def gradients(
        self, hidden: torch.Tensor, output: torch.Tensor, targets: torch.Tensor
    ) -> RowGradients:
        """Losses and gradients of a batch."""
        return softmax_gradients(hidden, output, targets)


class NegativeSampling:
    """Tell the target from ``count`` words drawn from the noise ``P(w)^power``.

    Parameters
    ----------
    count : int
        Noise words per example, K. The paper suggests 5 to 20 for small texts.
    power : float
        3/4 draws rare words more often than they occur, frequent ones less.
    """

    def __init__(self, count: int = 5, *, power: float = 0.75) -> None:
        if count < 1:
            raise ValueError(f"count {count}: negative sampling needs at least 1 noise word")
        self.count = count
        self.power = power

    def prepare(self, counts: np.ndarray, generator: torch.Generator) -> None:
        """Build the table that noise words are drawn from."""
        weights = np.maximum(counts, 0) ** self.power
        if not weights.sum() > 0:
            raise ValueError("all word counts are zero; noise needs words that occur")
        self._cumulative = torch.from_numpy(np.cumsum(weights / weights.sum()))
        self._generator = generator

    def draw(self, examples: int) -> torch.Tensor:
        """Draw noise words, ``(examples, count)``."""
        uniform = torch.rand(examples, self.count, generator=self._generator, dtype=torch.float64)
        return torch.searchsorted(self._cumulative, uniform).clamp_(max=len(self._cumulative) - 1)

    def gradients(
        self, hidden: torch.Tensor, output: torch.Tensor, targets: torch.Tensor
    ) -> RowGradients:
        """Losses and gradients of a batch with fresh noise."""
        return negative_sampling_gradients(hidden, output, targets, self.draw(len(targets)))
