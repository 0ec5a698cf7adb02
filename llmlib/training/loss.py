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

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from llmlib.training.batches import Batch

__all__ = ["BatchLoss", "cross_entropy"]


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


class BatchLoss(nn.Module):
    """Mean loss of a batch, as a module: what trains on many devices watches ``forward``.

    Parameters
    ----------
    model : torch.nn.Module
        Has ``loss(ids, targets, mask)``.
    precision : str
        As in :class:`~llmlib.training.TrainConfig`.

    Examples
    --------
    >>> from llmlib.models import GPT, GPTConfig
    >>> sizes = {"vocab_size": 8, "context_length": 4, "dim": 16, "num_layers": 1, "num_heads": 2}
    >>> ids = torch.tensor([[1, 2, 3]])
    >>> BatchLoss(GPT(GPTConfig(**sizes)))(Batch(ids=ids, targets=ids + 1)).shape
    torch.Size([])
    """

    def __init__(self, model: nn.Module, precision: str = "float32") -> None:
        super().__init__()
        self.model, self.precision = model, precision

    def forward(self, batch: Batch) -> Tensor:
        """Mean loss, in nats per token."""
        with self._autocast(batch.ids.device.type):
            # Only models that read left to right know documents.
            options = {} if batch.documents is None else {"documents": batch.documents}
            if batch.weights is None:
                return self.model.loss(batch.ids, batch.targets, batch.mask, **options)
            logits = self.model(batch.ids, batch.mask, **options).float()  # (B, T, V)
        return cross_entropy(logits, batch.targets, weights=batch.weights)

    def _autocast(self, kind: str):
        precision = self.precision
        if precision == "auto":
            has_it = kind == "cuda" and torch.cuda.is_bf16_supported()
            precision = "bfloat16" if has_it else "float32"
        if precision == "float32":
            return nullcontext()
        return torch.autocast(kind, dtype=torch.bfloat16)
