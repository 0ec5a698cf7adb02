r"""What all models share that read from left to right and predict the next token.

.. math::

   p(x_1 \dots x_T) = \prod_{t=1}^{T} p(x_t \mid x_1 \dots x_{t-1})

===============  ==============================  =========================
code             what it is                      shape
===============  ==============================  =========================
``ids``          tokens                          ``(B, T)``, integers
``mask``         True at real tokens             ``(B, S)``, boolean
``documents``    number of each token's          ``(B, T)``, integers
                 document in its row
``positions``    place of each token in its own  ``(T,)`` or ``(B, T)``
                 text
``cache``        keys and values of the S - T
                 tokens read before
``hidden``       what the last norm gives        ``(B, T, D)``
``logits``       score of every next token       ``(B, T, V)``
``targets``      the token after each token      ``(B, T)``, integers
===============  ==============================  =========================
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from llmlib.nn import KeyValueCache, TokenEmbedding, causal_mask, linear_cross_entropy

__all__ = ["CausalLanguageModel"]


class CausalLanguageModel(nn.Module, ABC):
    """A decoder-only language model: subclasses give its blocks.

    A subclass sets ``config`` with ``vocab_size`` and ``context_length``, builds
    ``token_embedding``, ``blocks``, ``norm`` and ``output`` (None when the output layer is the
    embedding), and says in :meth:`embed` how tokens enter.
    """

    token_embedding: TokenEmbedding
    blocks: nn.ModuleList
    norm: nn.Module
    output: nn.Linear | None

    @abstractmethod
    def embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Vectors that enter the first block: ``(B, T) -> (B, T, D)``."""

    def place(self, positions: Tensor) -> Tensor:
        """What the layers are told of the positions; a subclass may prepare it for all of them."""
        return positions

    def forward(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        *,
        positions: Tensor | None = None,
        cache: KeyValueCache | None = None,
        documents: Tensor | None = None,
    ) -> Tensor:
        """Score every next token.

        Parameters
        ----------
        ids : Tensor
            ``(B, T)`` integers.
        mask : Tensor, optional
            Boolean ``(B, S)`` over the tokens in the cache and those given; False at padding.
        positions : Tensor, optional
            Integer ``(T,)`` or ``(B, T)``; counted on from the cache when left out. Batches
            padded on the left need them.
        cache : KeyValueCache, optional
            From :meth:`new_cache`. ``ids`` then holds the new tokens only.
        documents : Tensor, optional
            Integer ``(B, T)``: several documents in one row, numbered without a gap. A token then
            attends to its own document only, whose positions count from 0. Not with a cache.

        Returns
        -------
        Tensor
            Logits ``(B, T, V)``.
        """
        options = {"positions": positions, "cache": cache, "documents": documents}
        return self.logits(self.hidden_states(ids, mask, **options))

    def hidden_states(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        *,
        positions: Tensor | None = None,
        cache: KeyValueCache | None = None,
        documents: Tensor | None = None,
    ) -> Tensor:
        """What the output layer reads; arguments as for :meth:`forward`. ``-> (B, T, D)``."""
        seen = 0 if cache is None else cache.length
        self._check_call(ids, mask, seen)
        length = ids.shape[1]
        if documents is not None:
            check_documents(documents, ids.shape, seen)
        if positions is None:
            if documents is None:
                positions = torch.arange(seen, seen + length, device=ids.device)  # (T,)
            else:
                positions = places_in_documents(documents)  # (B, T)
        if mask is not None:
            mask = mask[:, None, None, :]  # (B, S) -> (B, 1, 1, S)
        if documents is not None:
            own = documents[:, None, :, None] == documents[:, None, None, :]  # (B, 1, T, T)
            mask = own if mask is None else mask & own
        if mask is not None and length > 1:
            mask = mask & causal_mask(length, seen + length, device=ids.device)
        hidden = self.embed(ids, positions)  # (B, T, D)
        positions = self.place(positions)
        for number, block in enumerate(self.blocks):
            hidden = block(
                hidden,
                mask=mask,
                causal=mask is None,
                positions=positions,
                cache=None if cache is None else cache[number],
            )
        return self.norm(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """``(..., D) -> (..., V)``."""
        return self.token_embedding.logits(hidden) if self.output is None else self.output(hidden)

    @property
    def output_weight(self) -> Tensor:
        """Matrix ``(V, D)`` of the output layer; the embedding's own where they are tied."""
        return (self.token_embedding if self.output is None else self.output).weight

    def loss(
        self,
        ids: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        *,
        ignore_index: int = -100,
        documents: Tensor | None = None,
    ) -> Tensor:
        """Mean cross-entropy of the targets, in nats per token.

        Parameters
        ----------
        ids : Tensor
            ``(B, T)``.
        targets : Tensor
            ``(B, T)``: at each place the token that comes next.
        mask : Tensor, optional
            Boolean ``(B, T)``; False at padding.
        ignore_index : int
            Target that does not count.
        documents : Tensor, optional
            As for :meth:`forward`.

        Returns
        -------
        Tensor
            A number; near ln V for a model that has learned nothing.
        """
        hidden = self.hidden_states(ids, mask, documents=documents)
        return linear_cross_entropy(hidden, self.output_weight, targets, ignore_index=ignore_index)

    def new_cache(self, batch_size: int, max_len: int | None = None) -> KeyValueCache:
        """Room for the keys and values of ``max_len`` tokens (by default the whole context)."""
        first = self.blocks[0].attention
        max_len = self.config.context_length if max_len is None else max_len
        return KeyValueCache(
            len(self.blocks),
            batch_size,
            first.num_kv_heads,
            max_len,
            first.head_dim,
            dtype=first.k_proj.weight.dtype,
            device=first.k_proj.weight.device,
        )

    @property
    def num_parameters(self) -> int:
        """Trainable numbers, a tied matrix counted once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def _check_call(self, ids: Tensor, mask: Tensor | None, seen: int) -> None:
        check_batch(ids, seen, self.config.context_length)
        if mask is not None:
            check_padding_mask(mask, (ids.shape[0], seen + ids.shape[1]))


def check_batch(ids: Tensor, seen: int, context_length: int | None) -> None:
    """Refuse ids that are not a batch of texts, or are longer than the context (if it ends)."""
    if ids.dim() != 2 or ids.shape[1] == 0:
        raise ValueError(
            f"ids have shape {tuple(ids.shape)}, but (batch, length) with at least one token is "
            "needed: give a single text an axis with ids[None]"
        )
    if context_length is not None and seen + ids.shape[1] > context_length:
        cached = f" ({seen} of them cached)" if seen else ""
        raise ValueError(
            f"{seen + ids.shape[1]} tokens{cached}, but context_length={context_length}: cut the "
            f"text to its last {context_length} tokens or build the model with a longer context"
        )


def check_documents(documents: Tensor, shape: torch.Size, seen: int) -> None:
    """Refuse document numbers that do not match the ids, or that come with a cache."""
    if seen:
        raise ValueError(
            f"documents with a cache of {seen} tokens: a cache belongs to one text; leave out one "
            "of the two"
        )
    if documents.shape != shape:
        raise ValueError(
            f"documents have shape {tuple(documents.shape)}, ids {tuple(shape)}: one number for "
            "each token is needed"
        )


def places_in_documents(documents: Tensor) -> Tensor:
    """Place of each token in its document, from 0: ``(B, T) -> (B, T)``.

    >>> places_in_documents(torch.tensor([[0, 0, 0, 1, 2, 2]]))
    tensor([[0, 1, 2, 0, 0, 1]])
    """
    places = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return places - places.where(begins, 0).cummax(dim=1).values


def check_padding_mask(mask: Tensor, shape: tuple[int, int]) -> None:
    """Refuse a padding mask that is not boolean ``(B, S)``."""
    if mask.dtype != torch.bool:
        raise ValueError(
            f"mask has dtype {mask.dtype}, but torch.bool is needed, True at real tokens: convert "
            "with mask.bool()"
        )
    if tuple(mask.shape) != shape:
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}, but (batch, cached + new tokens) = {shape} is "
            "needed: one entry for every token, True where it is real"
        )


@torch.no_grad()
def initialise(model: nn.Module, std: float, residual_std: float | None = None) -> None:
    """Draw all matrices from a normal distribution and set all biases to zero.

    Parameters
    ----------
    model : torch.nn.Module
        Its linear and embedding layers are set.
    std : float
        Of the normal distribution.
    residual_std : float, optional
        Of the layers that write to the residual stream (``out_proj``, ``down_proj``); as ``std``
        when left out.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            writes = name.endswith(("out_proj", "down_proj"))
            module.weight.normal_(0.0, residual_std if writes and residual_std else std)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.Embedding):
            module.weight.normal_(0.0, std)
            if module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
