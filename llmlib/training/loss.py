r"""Cross-entropy of the next token.

.. math::

   \mathcal L = \frac{\sum_t a_t \bigl(\log \sum_v e^{z_{tv}} - z_{t,y_t}\bigr)}{\sum_t a_t}

=============  ============  ==================================
code           symbol        shape
=============  ============  ==================================
``logits``     :math:`z`     ``(..., V)``
``targets``    :math:`y`     ``(...,)``, integers
``weights``    :math:`a`     ``(...,)``; 1 where left out
=============  ============  ==================================
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cross_entropy"]


def cross_entropy(
    logits: Tensor, targets: Tensor, ignore_index: int = -100, *, weights: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy over the targets that count.

    Parameters
    ----------
    logits : Tensor
        ``(..., V)``.
    targets : Tensor
        ``(...,)``, integers.
    ignore_index : int
        Target that does not count.
    weights : Tensor, optional
        ``(...,)``: how much each target counts; all alike when left out.

    Returns
    -------
    Tensor
        A number, in nats. 0 with zero gradients when no target counts, where
        ``torch.nn.functional.cross_entropy`` gives NaN.

    Raises
    ------
    ValueError
        The shapes do not match.

    Examples
    --------
    >>> cross_entropy(torch.zeros(2, 8), torch.tensor([3, 5]))  # ln 8
    tensor(2.0794)
    >>> cross_entropy(torch.zeros(2, 8), torch.tensor([-100, -100]))
    tensor(0.)
    """
    if targets.shape != logits.shape[:-1]:
        raise ValueError(
            f"targets have shape {tuple(targets.shape)}, logits {tuple(logits.shape)}: one target "
            "for each row of logits is needed"
        )
    counted = (targets != ignore_index).to(logits.dtype)  # (...,)
    if weights is not None:
        counted = counted * weights
    right = logits.gather(-1, targets.where(targets != ignore_index, 0)[..., None])  # (..., 1)
    losses = torch.logsumexp(logits, dim=-1) - right[..., 0]  # (...,)
    total = counted.sum()
    return (losses * counted).sum() / total.where(total > 0, 1)
