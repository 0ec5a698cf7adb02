r"""Token embeddings, which may also be read backwards as the output layer.

.. math::

   x_t = c\, E_{\mathrm{id}_t}, \qquad \mathrm{logits} = h\, E^\top

==========  =========  =================================
code        symbol     shape
==========  =========  =================================
``ids``     id         ``(B, T)``, integers below V
``weight``  :math:`E`  ``(V, D)``
``scale``   :math:`c`  number
``hidden``  :math:`h`  ``(..., D)``
==========  =========  =================================

References
----------
1. Press and Wolf, *Using the Output Embedding to Improve Language Models*, 2017,
   arXiv:1608.05859 (one matrix for both ends).
2. Vaswani et al., *Attention Is All You Need*, 2017, arXiv:1706.03762, section 3.4
   (:math:`c = \sqrt D`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llmlib.nn.linear_layer import ColumnReader, linear, linear_by_columns

__all__ = ["TokenEmbedding"]


class TokenEmbedding(ColumnReader, nn.Embedding):
    """A trained vector per token.

    Parameters
    ----------
    vocab_size : int
        Number of tokens V.
    dim : int
        Model width D.
    padding_id : int, optional
        Id whose vector gets no gradient from :meth:`forward`, as ``padding_idx`` of
        ``torch.nn.Embedding``.
    scale : float
        Each vector is multiplied by it on the way in.

    Raises
    ------
    ValueError
        An id is negative or not below V, or the ids are not integers.

    Notes
    -----
    The range of the ids is looked at on the CPU, where it costs a few microseconds; on an
    accelerator it would stall the device, which reports the mistake itself.

    Examples
    --------
    >>> embedding = TokenEmbedding(10, 4)
    >>> embedding(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 4])
    >>> embedding.logits(torch.zeros(1, 3, 4)).shape
    torch.Size([1, 3, 10])
    >>> embedding(torch.tensor([[10]]))
    Traceback (most recent call last):
        ...
    ValueError: ids run from 10 to 10, but the vocabulary has ids 0..9: encode the text with \
the model's own tokenizer
    """

    def __init__(
        self, vocab_size: int, dim: int, *, padding_id: int | None = None, scale: float = 1.0
    ) -> None:
        if padding_id is not None and not 0 <= padding_id < vocab_size:
            raise ValueError(
                f"padding_id={padding_id} is outside the vocabulary 0..{vocab_size - 1}: give an "
                "id of the vocabulary or None"
            )
        super().__init__(vocab_size, dim, padding_idx=padding_id)
        self.scale = scale

    def forward(self, ids: Tensor) -> Tensor:
        """``(...,)`` integers ``-> (..., D)``."""
        check_ids(ids, self.num_embeddings)
        vectors = super().forward(ids)
        return vectors if self.scale == 1.0 else vectors * self.scale

    def logits(self, hidden: Tensor) -> Tensor:
        """Score of every token: ``(..., D) -> (..., V)``, with the same matrix."""
        if self.columns is not None and hidden.numel() == self.embedding_dim:
            return linear_by_columns(hidden, self.columns)
        return linear(hidden, self.weight)


def check_ids(ids: Tensor, vocab_size: int) -> None:
    """Refuse ids that name no token."""
    if ids.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"ids have dtype {ids.dtype}, but token ids are integers: convert with ids.long()"
        )
    if ids.device.type != "cpu" or torch.compiler.is_compiling() or not ids.numel():
        return
    low, high = (end.item() for end in torch.aminmax(ids))
    if low < 0 or high >= vocab_size:
        raise ValueError(
            f"ids run from {low} to {high}, but the vocabulary has ids "
            f"0..{vocab_size - 1}: encode the text with the model's own tokenizer"
        )
