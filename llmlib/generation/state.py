"""A text that grows token by token, with the model's view of it.

A state hides how the next logits come about: :class:`CachedText` gives the model the newest
tokens only, :class:`WholeText` the whole text at every step, :class:`Target` a decoder what it
has written. All offer the same two methods, so greedy search, sampling and beam search are each
written once.

=================  ====================================  ============
method             what it does                          shape
=================  ====================================  ============
``logits()``       scores of the next token              ``(B, V)``
``append(ids)``    takes the token that was chosen       ``(B,)``
``reorder(rows)``  goes on from other rows (beams)       ``(B,)``
=================  ====================================  ============
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from llmlib.models import CausalLanguageModel, EncoderDecoder

__all__ = ["CachedText", "Target", "TextState", "WholeText", "begin", "pad_left"]


class TextState(ABC):
    """What has been read and written, and how to go on."""

    ids: Tensor
    mask: Tensor | None

    @abstractmethod
    def logits(self) -> Tensor:
        """Scores of the next token: ``(B, V)``."""

    def append(self, tokens: Tensor) -> None:
        """Go on with these tokens: ``(B,)``."""
        self.ids = torch.cat((self.ids, tokens[:, None]), dim=1)
        if self.mask is not None:
            self.mask = torch.cat((self.mask, torch.ones_like(self.mask[:, :1])), dim=1)

    def reorder(self, rows: Tensor) -> None:
        """Row ``i`` goes on from what row ``rows[i]`` is: ``(B,)``."""
        self.ids = self.ids[rows]
        self.mask = None if self.mask is None else self.mask[rows]


class CachedText(TextState):
    """The model sees each token once; keys and values stay in its cache."""

    def __init__(
        self, model: CausalLanguageModel, ids: Tensor, mask: Tensor | None, max_len: int
    ) -> None:
        self.model, self.ids, self.mask = model, ids, mask
        self.cache = model.new_cache(ids.shape[0], max_len)
        self.new = ids
        self.positions = None if mask is None else places(mask)

    def logits(self) -> Tensor:
        hidden = self.model.hidden_states(
            self.new, self.mask, positions=self.positions, cache=self.cache
        )
        return self.model.logits(hidden[:, -1])  # (B, D) -> (B, V)

    def append(self, tokens: Tensor) -> None:
        super().append(tokens)
        self.new = tokens[:, None]  # (B, 1)
        if self.positions is not None:
            self.positions = self.positions[:, -1:] + 1

    def reorder(self, rows: Tensor) -> None:
        super().reorder(rows)
        self.cache.reorder(rows)
        if self.positions is not None:
            self.positions = self.positions[rows]


class WholeText(TextState):
    """The model reads the whole text anew at every step: the plain version."""

    def __init__(self, model: Callable[..., Tensor], ids: Tensor, mask: Tensor | None) -> None:
        self.model, self.ids, self.mask = model, ids, mask

    def logits(self) -> Tensor:
        if self.mask is None:
            return self.model(self.ids)[:, -1]  # (B, T, V) -> (B, V)
        return self.model(self.ids, self.mask, positions=places(self.mask))[:, -1]


class Target(TextState):
    """What a decoder has written about a source; ``ids`` begin with the start token."""

    def __init__(
        self, model: EncoderDecoder, source: Tensor, mask: Tensor | None, max_len: int, cache: bool
    ) -> None:
        self.model, self.mask = model, None  # nothing written is padding
        self.source_mask = mask
        self.memory = model.encode(source, mask)
        self.ids = source.new_full((source.shape[0], 1), model.config.start_id)
        self.new = self.ids
        self.cache = model.new_cache(*source.shape, max_len) if cache else None

    def logits(self) -> Tensor:
        read = self.ids if self.cache is None else self.new
        hidden = self.model.decode(read, self.memory, self.source_mask, cache=self.cache)
        return self.model.logits(hidden[:, -1])

    def append(self, tokens: Tensor) -> None:
        super().append(tokens)
        self.new = tokens[:, None]

    def reorder(self, rows: Tensor) -> None:
        super().reorder(rows)
        self.memory = self.memory[rows]
        self.source_mask = None if self.source_mask is None else self.source_mask[rows]
        if self.cache is not None:
            self.cache.reorder(rows)


def begin(
    model: nn.Module | Callable[..., Tensor],
    ids: Tensor,
    mask: Tensor | None,
    max_new_tokens: int,
    *,
    cache: bool,
) -> TextState:
    """The state that suits the model, checked before the first step.

    Raises
    ------
    ValueError
        The prompt is empty or has no real token, the mask does not fit, or prompt and new tokens
        are longer than the context.
    """
    if ids.dim() != 2 or ids.shape[1] == 0:
        raise ValueError(
            f"ids have shape {tuple(ids.shape)}, but a prompt of at least one token is needed: "
            "give (batch, length), and begin an empty text with a special token"
        )
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens={max_new_tokens}, but it must be 0 or more")
    if mask is not None:
        _check_mask(mask, ids, left=not isinstance(model, EncoderDecoder))
        mask = None if bool(mask.all()) else mask
    if isinstance(model, EncoderDecoder):
        _check_room(1, max_new_tokens, model.max_len)
        return Target(model, ids, mask, max_new_tokens + 1, cache)
    if isinstance(model, CausalLanguageModel):
        _check_room(ids.shape[1], max_new_tokens, model.config.context_length)
        if cache:
            return CachedText(model, ids, mask, ids.shape[1] + max_new_tokens)
    return WholeText(model, ids, mask)


def places(mask: Tensor) -> Tensor:
    """Place of each real token in its own text: ``(B, T)`` boolean to integers."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def pad_left(prompts: Sequence[Sequence[int]], pad_id: int = 0) -> tuple[Tensor, Tensor]:
    """Make a batch of prompts of different lengths, all ending at the last place.

    Parameters
    ----------
    prompts : sequence of sequences of int
        At least one, each with at least one token.
    pad_id : int
        What fills the places before a shorter prompt; any id of the vocabulary.

    Returns
    -------
    tuple of Tensor
        ``ids`` ``(B, T)`` and the boolean ``mask`` ``(B, T)``, True at real tokens.

    Examples
    --------
    >>> ids, mask = pad_left([[5, 6, 7], [8]])
    >>> ids
    tensor([[5, 6, 7],
            [0, 0, 8]])
    >>> mask.int()
    tensor([[1, 1, 1],
            [0, 0, 1]], dtype=torch.int32)
    """
    lengths = [len(prompt) for prompt in prompts]
    if not lengths or min(lengths) == 0:
        empty = f"prompt {lengths.index(0)} is empty" if lengths else "there is no prompt"
        raise ValueError(f"{empty}: begin an empty text with a special token")
    longest = max(lengths)
    ids = torch.full((len(prompts), longest), pad_id)
    mask = torch.zeros(len(prompts), longest, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.as_tensor(prompt)
        mask[row, longest - len(prompt) :] = True
    return ids, mask


def _check_room(length: int, new: int, limit: int | None) -> None:
    if limit is not None and length + new > limit:
        raise ValueError(
            f"a prompt of {length} and max_new_tokens={new} make {length + new} tokens, but "
            f"context_length={limit}: shorten the prompt or ask for at most {limit - length}"
        )


def _check_mask(mask: Tensor, ids: Tensor, *, left: bool) -> None:
    if mask.dtype != torch.bool or mask.shape != ids.shape:
        raise ValueError(
            f"mask has dtype {mask.dtype} and shape {tuple(mask.shape)}, but torch.bool and "
            f"{tuple(ids.shape)} are needed: one entry for every token, True where it is real"
        )
    if left and not bool(mask[:, -1].all()):
        raise ValueError(
            "mask is False at the last place of a prompt, but new tokens go there: pad prompts on "
            "the left, as pad_left does"
        )
    if not bool(mask.any(dim=1).all()):
        raise ValueError("mask has a row without a real token: give every text one at least")
