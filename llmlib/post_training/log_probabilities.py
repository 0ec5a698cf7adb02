r"""What a model thinks of tokens that are already there.

.. math::

   \log \pi(y_t \mid y_{<t}) = z_{t, y_t} - \log \sum_v e^{z_{tv}}, \qquad
   H_t = -\sum_v \pi_t(v) \log \pi_t(v)

===============  ====================================  ===================
code             symbol                                shape
===============  ====================================  ===================
``logits``       :math:`z`                             ``(..., V)``
``tokens``       :math:`y`                             ``(...,)``, integers
===============  ====================================  ===================
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "sequence_lengths",
    "sequence_log_probabilities",
    "token_entropy",
    "token_log_probabilities",
]


def token_log_probabilities(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability of each token under the logits of its place.

    Parameters
    ----------
    logits : Tensor
        ``(..., V)``: at each place the scores of the token that stands there, so those of the
        place before in a model's output.
    tokens : Tensor
        ``(...,)`` integers.

    Returns
    -------
    Tensor
        ``(...,)``, in nats, never above 0.

    Raises
    ------
    ValueError
        The shapes do not match.

    Examples
    --------
    >>> logits = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]).log()
    >>> token_log_probabilities(logits, torch.tensor([0, 2])).exp()
    tensor([0.5000, 0.8000])
    """
    if tokens.shape != logits.shape[:-1]:
        raise ValueError(
            f"tokens have shape {tuple(tokens.shape)}, logits {tuple(logits.shape)}: one token for "
            "each row of logits is needed"
        )
    chosen = logits.gather(-1, tokens[..., None])[..., 0]  # (..., V) -> (...,)
    return chosen - torch.logsumexp(logits, dim=-1)


def sequence_log_probabilities(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    """Log-probability of each answer: the sum over its tokens.

    Parameters
    ----------
    logits : Tensor
        ``(B, T, V)``.
    targets : Tensor
        ``(B, T)``, at each place the token that comes next.
    ignore_index : int
        Target that does not count: that of the prompt and of padding.

    Returns
    -------
    Tensor
        ``(B,)``, in nats; 0 where no target counts.

    Raises
    ------
    ValueError
        The shapes do not match.

    Examples
    --------
    >>> logits = torch.tensor([[[0.5, 0.5], [0.2, 0.8], [0.1, 0.9]]]).log()
    >>> sequence_log_probabilities(logits, torch.tensor([[-100, 1, 0]])).exp()  # 0.8 times 0.1
    tensor([0.0800])
    """
    counted = targets != ignore_index  # (B, T)
    logps = token_log_probabilities(logits, targets.where(counted, 0))  # (B, T)
    return logps.where(counted, 0).sum(dim=-1)


def sequence_lengths(targets: Tensor, ignore_index: int = -100) -> Tensor:
    """Tokens of each answer: ``(B, T) -> (B,)``.

    Examples
    --------
    >>> sequence_lengths(torch.tensor([[-100, 4, 5], [7, -100, -100]]))
    tensor([2, 1])
    """
    return (targets != ignore_index).sum(dim=-1)


def token_entropy(logits: Tensor) -> Tensor:
    """Entropy of the distribution at each place: ``(..., V) -> (...,)``, in nats.

    Examples
    --------
    >>> token_entropy(torch.zeros(8))  # ln 8
    tensor(2.0794)
    """
    logs = logits.log_softmax(dim=-1)
    return -(logs.exp() * logs).sum(dim=-1)
