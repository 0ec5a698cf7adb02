r"""What models share that read one sequence and write another.

.. math::

   p(y_1 \dots y_T \mid x) = \prod_{t=1}^{T} p(y_t \mid y_1 \dots y_{t-1}, \mathrm{encoder}(x))

===============  ==================================  =========================
code             symbol                              shape
===============  ==================================  =========================
``ids``          the source :math:`x`                ``(B, S)``, integers
``mask``         True at real source tokens          ``(B, S)``, boolean
``memory``       :math:`\mathrm{encoder}(x)`         ``(B, S, D)``
``decoder_ids``  a start token, then :math:`y_1` to  ``(B, T)``, integers
                 :math:`y_{T-1}`
``logits``       score of every next token           ``(B, T, V)``
``targets``      :math:`y_1` to :math:`y_T`          ``(B, T)``, integers
===============  ==================================  =========================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llmlib.models.causal import check_batch, check_padding_mask
from llmlib.nn import KeyValueCache, TokenEmbedding, linear_cross_entropy

__all__ = ["DecoderCache", "EncoderDecoder", "shift_right"]


@dataclass
class DecoderCache:
    """Keys and values of what the decoder has written, and of the memory it reads."""

    own: KeyValueCache
    memory: KeyValueCache

    @property
    def length(self) -> int:
        """Tokens written so far."""
        return self.own.length

    def reorder(self, rows: Tensor) -> None:
        """Let sequence ``i`` go on from what sequence ``rows[i]`` has written (beam search)."""
        self.own.reorder(rows)
        self.memory.reorder(rows)


def shift_right(targets: Tensor, start_id: int, ignore_index: int = -100) -> Tensor:
    """What the decoder reads so that it writes ``targets``: a start token, then all but the last.

    Parameters
    ----------
    targets : Tensor
        ``(B, T)``. Where a target is ``ignore_index``, the start token is read instead.
    start_id : int
        The token to begin with.
    ignore_index : int
        Target that does not count.

    Returns
    -------
    Tensor
        ``(B, T)``.

    Examples
    --------
    >>> shift_right(torch.tensor([[5, 6, 7, -100, -100]]), start_id=0)
    tensor([[0, 5, 6, 7, 0]])
    """
    start = targets.new_full((targets.shape[0], 1), start_id)
    shifted = torch.cat((start, targets[:, :-1]), dim=1)
    return shifted.masked_fill(shifted == ignore_index, start_id)


class EncoderDecoder(nn.Module, ABC):
    """An encoder, a decoder that reads its output, and an output layer.

    A subclass sets ``config`` with ``start_id``, and builds ``token_embedding``,
    ``encoder_blocks``, ``encoder_norm``, ``decoder_blocks``, ``decoder_norm`` and ``output`` (None
    when the output layer is the embedding).
    """

    token_embedding: TokenEmbedding
    encoder_blocks: nn.ModuleList
    encoder_norm: nn.Module
    decoder_blocks: nn.ModuleList
    decoder_norm: nn.Module
    output: nn.Linear | None

    @abstractmethod
    def embed(self, ids: Tensor, slots: Tensor) -> Tensor:
        """Vectors that enter the first block: ``(B, T)`` and ``(T,) -> (B, T, D)``."""

    def encoder_bias(self, slots: Tensor) -> Tensor | None:
        """What is added to the scores of the encoder's self-attention: ``(S,) -> (H, S, S)``."""
        return None

    def decoder_bias(self, query_slots: Tensor, key_slots: Tensor) -> Tensor | None:
        """The same for the decoder: ``(T,), (S,) -> (H, T, S)``."""
        return None

    def forward(self, ids: Tensor, decoder_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Score every next token of the target.

        Parameters
        ----------
        ids : Tensor
            ``(B, S)``, the source.
        decoder_ids : Tensor
            ``(B, T)``, what has been written: a start token and the target but its last token.
            Padding at its end needs no mask, because no earlier token sees it.
        mask : Tensor, optional
            Boolean ``(B, S)``; False at padding of the source.

        Returns
        -------
        Tensor
            Logits ``(B, T, V)``.
        """
        memory = self.encode(ids, mask)
        return self.logits(self.decode(decoder_ids, memory, mask))

    def encode(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Read the source: ``(B, S) -> (B, S, D)``."""
        check_batch(ids, 0, self.max_len)
        slots = torch.arange(ids.shape[1], device=ids.device)
        attend = self._source_mask(mask, ids.shape)
        hidden, bias = self.embed(ids, slots), self.encoder_bias(slots)
        for block in self.encoder_blocks:
            hidden = block(hidden, mask=attend, bias=bias)
        return self.encoder_norm(hidden)

    def decode(
        self,
        decoder_ids: Tensor,
        memory: Tensor,
        mask: Tensor | None = None,
        *,
        cache: DecoderCache | None = None,
    ) -> Tensor:
        """What the output layer reads.

        Parameters
        ----------
        decoder_ids : Tensor
            ``(B, T)``; with a cache, the new tokens only.
        memory : Tensor
            ``(B, S, D)`` from :meth:`encode`.
        mask : Tensor, optional
            Boolean ``(B, S)``; False at padding of the source.
        cache : DecoderCache, optional
            From :meth:`new_cache`.

        Returns
        -------
        Tensor
            ``(B, T, D)``.
        """
        seen = 0 if cache is None else cache.length
        check_batch(decoder_ids, seen, self.max_len)
        slots = torch.arange(seen + decoder_ids.shape[1], device=decoder_ids.device)
        attend = self._source_mask(mask, memory.shape[:2])
        hidden = self.embed(decoder_ids, slots[seen:])
        bias = self.decoder_bias(slots[seen:], slots)
        for number, block in enumerate(self.decoder_blocks):
            hidden = block(
                hidden,
                memory,
                memory_mask=attend,
                memory_cache=None if cache is None else cache.memory[number],
                causal=True,
                bias=bias,
                cache=None if cache is None else cache.own[number],
            )
        return self.decoder_norm(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """``(..., D) -> (..., V)``."""
        hidden = self.scale_output(hidden)
        return self.token_embedding.logits(hidden) if self.output is None else self.output(hidden)

    def scale_output(self, hidden: Tensor) -> Tensor:
        """Last change before the output layer; none unless a subclass makes one."""
        return hidden

    def loss(
        self,
        ids: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        *,
        ignore_index: int = -100,
    ) -> Tensor:
        """Mean cross-entropy of the targets given the source, in nats per token.

        Parameters
        ----------
        ids : Tensor
            ``(B, S)``, the source.
        targets : Tensor
            ``(B, T)``, the target without a start token; padded with ``ignore_index``.
        mask : Tensor, optional
            Boolean ``(B, S)``; False at padding of the source.
        ignore_index : int
            Target that does not count.

        Returns
        -------
        Tensor
            A number.
        """
        decoder_ids = shift_right(targets, self.config.start_id, ignore_index)
        hidden = self.decode(decoder_ids, self.encode(ids, mask), mask)
        return linear_cross_entropy(
            self.scale_output(hidden), self.output_weight, targets, ignore_index=ignore_index
        )

    @property
    def output_weight(self) -> Tensor:
        """Matrix ``(V, D)`` of the output layer; the embedding's own where they are tied."""
        return (self.token_embedding if self.output is None else self.output).weight

    @property
    def max_len(self) -> int | None:
        """Longest source or target in tokens, None where there is no limit."""
        return self.config.context_length

    def new_cache(self, batch_size: int, source_len: int, max_len: int) -> DecoderCache:
        """Room for ``max_len`` written tokens and a memory of ``source_len``."""
        first = self.decoder_blocks[0].attention
        sizes = (len(self.decoder_blocks), batch_size, first.num_kv_heads)
        options = {"dtype": first.k_proj.weight.dtype, "device": first.k_proj.weight.device}
        return DecoderCache(
            own=KeyValueCache(*sizes, max_len, first.head_dim, **options),
            memory=KeyValueCache(*sizes, source_len, first.head_dim, **options),
        )

    @property
    def num_parameters(self) -> int:
        """Trainable numbers, a tied matrix counted once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def _source_mask(self, mask: Tensor | None, shape: tuple[int, int]) -> Tensor | None:
        if mask is None:
            return None
        check_padding_mask(mask, tuple(shape))
        return mask[:, None, None, :]  # (B, S) -> (B, 1, 1, S)
