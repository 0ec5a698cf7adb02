r"""From logits to a token: small pure functions, each one idea.

.. math::

   p_v = \frac{e^{z_v / \tau}}{\sum_u e^{z_u / \tau}}

and then tokens are dropped and what is left is scaled to sum to 1:

==================================  ==================================================
function                            keeps
==================================  ==================================================
:func:`keep_top_k`                  the k most probable tokens
:func:`keep_top_p`                  the fewest most probable tokens that have mass p
:func:`keep_min_p`                  tokens at least p times as probable as the best
==================================  ==================================================

===============  ============  =============
code             symbol        shape
===============  ============  =============
``logits``       :math:`z`     ``(..., V)``
``temperature``  :math:`\tau`  a number
===============  ============  =============

A dropped token gets the logit :math:`-\infty`, so the functions compose in any order.

References
----------
1. Fan, Lewis and Dauphin, *Hierarchical Neural Story Generation*, 2018, arXiv:1805.04833 (top-k).
2. Holtzman et al., *The Curious Case of Neural Text Degeneration*, 2020, arXiv:1904.09751 (top-p).
3. Nguyen et al., *Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs*, 2024,
   arXiv:2407.01082.
4. Keskar et al., *CTRL: A Conditional Transformer Language Model for Controllable Generation*,
   2019, arXiv:1909.05858 (repetition penalty).
"""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

__all__ = [
    "keep_min_p",
    "keep_top_k",
    "keep_top_p",
    "penalise_repetition",
    "sample",
    "token_probabilities",
]


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Drop all but the k largest logits; ties with the k-th stay.

    Parameters
    ----------
    logits : Tensor
        ``(..., V)``.
    k : int
        At least 1; V or more keeps all.

    Returns
    -------
    Tensor
        The same shape, ``-inf`` where a token is dropped.

    Examples
    --------
    >>> keep_top_k(torch.tensor([1.0, 3.0, 2.0]), k=2)
    tensor([-inf, 3., 2.])
    """
    if k < 1:
        raise ValueError(f"top_k={k}, but one token must stay: choose 1 or more, or None for all")
    lowest_kept = logits.topk(min(k, logits.shape[-1]), dim=-1).values[..., -1:]
    return logits.masked_fill(logits < lowest_kept, -inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the most probable tokens until their mass reaches p.

    Parameters
    ----------
    logits : Tensor
        ``(..., V)``.
    p : float
        In ``(0, 1]``.

    Returns
    -------
    Tensor
        The same shape, ``-inf`` where a token is dropped. At least one stays.

    Examples
    --------
    Probabilities 0.5, 0.3 and 0.2: the first has less than 0.6, the first two have more.

    >>> keep_top_p(torch.tensor([0.5, 0.3, 0.2]).log(), p=0.6).exp()
    tensor([0.5000, 0.3000, 0.0000])
    """
    if not 0.0 < p <= 1.0:
        raise ValueError(f"top_p={p} is outside (0, 1]: give the mass to keep, or None for all")
    ascending, order = logits.sort(dim=-1)
    mass_up_to = ascending.softmax(dim=-1).cumsum(dim=-1)
    drop = mass_up_to <= 1 - p  # the least probable tokens, together 1 - p at most
    drop[..., -1] = False
    return logits.masked_fill(drop.scatter(-1, order, drop), -inf)


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """Drop tokens less than p times as probable as the best one.

    Parameters
    ----------
    logits : Tensor
        ``(..., V)``.
    p : float
        In ``[0, 1]``.

    Returns
    -------
    Tensor
        The same shape, ``-inf`` where a token is dropped.

    Examples
    --------
    >>> keep_min_p(torch.tensor([0.5, 0.3, 0.2]).log(), p=0.5).exp()
    tensor([0.5000, 0.3000, 0.0000])
    """
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"min_p={p} is outside [0, 1]: give a share of the best probability")
    probabilities = logits.softmax(dim=-1)
    best = probabilities.amax(dim=-1, keepdim=True)
    return logits.masked_fill(probabilities < p * best, -inf)


def penalise_repetition(
    logits: Tensor, ids: Tensor, penalty: float, mask: Tensor | None = None
) -> Tensor:
    """Make tokens that were seen less probable.

    Parameters
    ----------
    logits : Tensor
        ``(B, V)``.
    ids : Tensor
        ``(B, T)``, what was seen.
    penalty : float
        Above 0. A positive logit is divided by it, a negative one multiplied; 1 changes nothing.
    mask : Tensor, optional
        Boolean ``(B, T)``; False at padding, which was not seen.

    Returns
    -------
    Tensor
        ``(B, V)``.

    Examples
    --------
    >>> logits = torch.tensor([[2.0, -1.0, 1.0]])
    >>> penalise_repetition(logits, torch.tensor([[0, 1]]), penalty=2.0)
    tensor([[ 1., -2.,  1.]])
    """
    check_penalty(penalty)
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
    # Several places may hold one token: it was seen if any of them is real.
    counts = torch.zeros_like(logits).scatter_add(1, ids, real.to(logits.dtype))
    return torch.where(
        counts > 0, torch.where(logits > 0, logits / penalty, logits * penalty), logits
    )


def token_probabilities(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
) -> Tensor:
    """Probabilities from which the next token is drawn.

    The temperature acts first, then top-k, top-p and min-p, each on what the one before left.

    Parameters
    ----------
    logits : Tensor
        ``(..., V)``.
    temperature : float
        At least 0. Below 1 sharpens, above 1 flattens; 0 leaves the best token alone.
    top_k, top_p, min_p
        As for :func:`keep_top_k`, :func:`keep_top_p` and :func:`keep_min_p`; None keeps all.

    Returns
    -------
    Tensor
        ``(..., V)``, each row summing to 1.

    Examples
    --------
    >>> logits = torch.tensor([0.5, 0.3, 0.2]).log()
    >>> token_probabilities(logits, top_k=2)
    tensor([0.6250, 0.3750, 0.0000])
    >>> token_probabilities(logits, temperature=0)
    tensor([1., 0., 0.])
    >>> token_probabilities(logits, temperature=0.5)  # squares, scaled to sum to 1
    tensor([0.6579, 0.2368, 0.1053])
    """
    check_temperature(temperature)
    logits = logits.float()
    if temperature == 0.0:
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(logits).scatter(-1, best, 1.0)
    logits = logits / temperature
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    if min_p is not None:
        logits = keep_min_p(logits, min_p)
    return logits.softmax(dim=-1)


def sample(probabilities: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw a token from each row: ``(B, V) -> (B,)``.

    Examples
    --------
    >>> sample(torch.tensor([[0.0, 1.0, 0.0]]))
    tensor([1])
    """
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0]


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that is no number of 0 or more."""
    if not 0.0 <= temperature < inf:
        raise ValueError(
            f"temperature={temperature}, but it must be a number of 0 or more: 0 takes the best "
            "token, 1 leaves the model's probabilities"
        )


def check_penalty(penalty: float) -> None:
    """Refuse a repetition penalty that is no number above 0."""
    if not 0.0 < penalty < inf:
        raise ValueError(
            f"repetition_penalty={penalty}, but it must be a number above 0: 1 is no penalty"
        )
