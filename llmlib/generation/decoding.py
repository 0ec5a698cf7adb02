r"""Greedy search and sampling.

.. math::

   x_{T+1} \sim p(\cdot \mid x_1 \dots x_T), \qquad
   x_{T+2} \sim p(\cdot \mid x_1 \dots x_{T+1}), \quad \dots

==================  =============================================  =============
code                what it is                                     shape
==================  =============================================  =============
``ids``             the prompts                                    ``(B, T)``
``mask``            True at real tokens of prompts padded left     ``(B, T)``
``token``           what is chosen at a step                       ``(B,)``
``finished``        whether a stop token has been chosen           ``(B,)``
==================  =============================================  =============

References
----------
1. Holtzman et al., *The Curious Case of Neural Text Degeneration*, 2020, arXiv:1904.09751 (why
   the most probable text is not the best one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from llmlib.generation.constrained import TokenConstraint
from llmlib.generation.sampling import (
    check_penalty,
    check_temperature,
    penalise_repetition,
    sample,
    token_probabilities,
)
from llmlib.generation.state import TextState, begin
from llmlib.models import CausalLanguageModel, EncoderDecoder
from llmlib.nn import Linear, TokenEmbedding, read_by_columns

__all__ = ["generate", "stream"]

# Below it, dividing by a temperature may overflow; the best token takes all anyway.
_COLDEST = 1e-6
# Tokens after which copying the weights has paid off.
_MANY = 32


def generate(
    model: nn.Module | Callable[..., Tensor],
    ids: Tensor,
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    stop_ids: Sequence[int] = (),
    pad_id: int | None = None,
    mask: Tensor | None = None,
    cache: bool = True,
    constraint: TokenConstraint | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Continue every text of a batch.

    Parameters
    ----------
    model : torch.nn.Module or callable
        A :class:`~llmlib.models.CausalLanguageModel`; an
        :class:`~llmlib.models.EncoderDecoder`; or anything that maps ids ``(B, T)`` to logits
        ``(B, T, V)``. It is in evaluation mode while it generates.
    ids : Tensor
        ``(B, T)`` integers, the prompts, with at least one token each; for an encoder-decoder
        the sources.
    max_new_tokens : int
        Most tokens to write.
    temperature : float
        0 takes the best token at every step (greedy), 1 draws by the model's probabilities.
    top_k, top_p, min_p
        Which tokens may be drawn; see :func:`~llmlib.generation.token_probabilities`.
    repetition_penalty : float
        Above 1, tokens of the prompt and of what was written become less probable.
    stop_ids : sequence of int
        A text ends with the first of them.
    pad_id : int, optional
        What follows a text that has ended before others; the first of ``stop_ids`` when left out.
    mask : Tensor, optional
        Boolean ``(B, T)`` for prompts of different lengths, padded on the left
        (:func:`~llmlib.generation.pad_left`).
    cache : bool
        Whether keys and values are kept; the text is the same, only slower without. Models that
        are neither of the two classes are always given the whole text.
    constraint : TokenConstraint, optional
        A language that what is written belongs to, whatever the model prefers; the text ends with
        the constraint's end token or, complete, at the limit.
    generator : torch.Generator, optional
        Source of randomness; PyTorch's global one when left out.

    Returns
    -------
    Tensor
        ``(B, T + new)``: the prompts and up to ``max_new_tokens`` new tokens, fewer when all texts
        have ended. For an encoder-decoder only what was written, ``(B, new)``.

    Raises
    ------
    ValueError
        The prompt is empty or too long, or an option is out of range; the message says which.

    Notes
    -----
    Equal to ``generate`` of transformers, token by token, where nothing is drawn.

    Examples
    --------
    A model that always thinks the next number is the likeliest:

    >>> def count_up(ids):
    ...     return torch.nn.functional.one_hot((ids + 1) % 10, 10).float() * 50
    >>> generate(count_up, torch.tensor([[3, 4]]), max_new_tokens=4, temperature=0)
    tensor([[3, 4, 5, 6, 7, 8]])
    >>> generate(count_up, torch.tensor([[3, 4], [7, 8]]), max_new_tokens=4, stop_ids=[6, 9])
    tensor([[3, 4, 5, 6],
            [7, 8, 9, 6]])
    """
    tokens = stream(
        model,
        ids,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        stop_ids=stop_ids,
        pad_id=pad_id,
        mask=mask,
        cache=cache,
        constraint=constraint,
        generator=generator,
    )
    written = [token[:, None] for token in tokens]  # (B, 1) each
    prompt = ids[:, :0] if isinstance(model, EncoderDecoder) else ids
    return torch.cat((prompt, *written), dim=1)


def stream(
    model: nn.Module | Callable[..., Tensor],
    ids: Tensor,
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    stop_ids: Sequence[int] = (),
    pad_id: int | None = None,
    mask: Tensor | None = None,
    cache: bool = True,
    constraint: TokenConstraint | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """The new tokens of :func:`generate`, one step at a time, as they are chosen.

    Parameters
    ----------
    model, ids, max_new_tokens, temperature, top_k, top_p, min_p, repetition_penalty, stop_ids, \
pad_id, mask, cache, constraint, generator
        As for :func:`generate`.

    Yields
    ------
    Tensor
        ``(B,)``, the token of every text. Ends early when all texts have ended.

    Examples
    --------
    >>> def count_up(ids):
    ...     return torch.nn.functional.one_hot((ids + 1) % 10, 10).float() * 50
    >>> [int(token) for token in stream(count_up, torch.tensor([[3]]), max_new_tokens=3)]
    [4, 5, 6]
    """
    check_temperature(temperature)
    check_penalty(repetition_penalty)
    if constraint is not None:
        stop_ids = _constrained_stops(stop_ids, constraint)
        temperature = 0.0 if temperature < _COLDEST else temperature
    stops = torch.tensor(list(stop_ids), dtype=ids.dtype, device=ids.device)
    filler = pad_id if pad_id is not None else (stop_ids[0] if len(stops) else 0)
    greedy = temperature == 0.0

    constrained = None
    if constraint is not None:
        constrained = constraint.begin(ids.shape[0], max_new_tokens)

    def choose(state: TextState) -> Tensor:
        logits = state.logits()  # (B, V)
        if repetition_penalty != 1.0:
            logits = penalise_repetition(logits, state.ids, repetition_penalty, state.mask)
        if constrained is not None:
            logits = constrained.confine(logits)
        if greedy:
            return logits.argmax(dim=-1)
        probabilities = token_probabilities(
            logits, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p
        )
        return sample(probabilities, generator)

    # Inference mode is on around each step, not around the yields: what happens there is the
    # caller's. The copy that is handed out was made outside it, so it may be trained on.
    with evaluating(model), read_by_columns(_read_often(model, ids.shape[0], max_new_tokens)):
        with torch.inference_mode():
            state = begin(model, ids, mask, max_new_tokens, cache=cache)
        finished = torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)
        for step in range(max_new_tokens):
            with torch.inference_mode():
                token = choose(state)  # (B,)
                if constrained is not None:
                    constrained.advance(token)
                if len(stops):
                    token = token.masked_fill(finished, filler)
                    finished |= torch.isin(token, stops)
                if step + 1 < max_new_tokens:
                    state.append(token)
            yield token.clone()
            if len(stops) and bool(finished.all()):
                return


def _constrained_stops(stop_ids: Sequence[int], constraint: TokenConstraint) -> Sequence[int]:
    """The end token of a constraint; other tokens would end a text that is not complete."""
    others = sorted(set(stop_ids) - {constraint.end_id})
    if others:
        raise ValueError(
            f"stop_ids {others} could end a text before the constraint allows it: leave them out; "
            f"the text ends with {constraint.end_id}"
        )
    return [constraint.end_id]


def _read_often(
    model: nn.Module | Callable[..., Tensor], batch: int, new: int
) -> list[Linear | TokenEmbedding]:
    """Layers whose weights a single text reads so often that a copy by columns pays."""
    if batch > 1 or new < _MANY or not isinstance(model, CausalLanguageModel | EncoderDecoder):
        return []
    layers = [module for module in model.modules() if isinstance(module, Linear)]
    return layers if model.output is not None else [*layers, model.token_embedding]


@contextmanager
def evaluating(model: nn.Module | Callable[..., Tensor]) -> Iterator[None]:
    """Dropout off; afterwards the mode is what it was."""
    training = isinstance(model, nn.Module) and model.training
    if training:
        model.eval()
    try:
        yield
    finally:
        if training:
            model.train()
