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

__all__ = ["token_entropy", "token_log_probabilities"]


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


def token_entropy(logits: Tensor) -> Tensor:
    """Entropy of the distribution at each place: ``(..., V) -> (...,)``, in nats.

    Examples
    --------
    >>> token_entropy(torch.zeros(8))  # ln 8
    tensor(2.0794)
    """
    logs = logits.log_softmax(dim=-1)
    return -(logs.exp() * logs).sum(dim=-1)
