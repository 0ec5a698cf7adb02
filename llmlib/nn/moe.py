r"""Mixture of experts: each token goes through a few of many feed-forward layers.

.. math::

   p = \mathrm{softmax}(W_r\, x), \qquad
   y = \sum_{e \,\in\, \mathrm{top}\text{-}k(p)} g_e \,\mathrm{expert}_e(x), \qquad
   g_e = \frac{p_e}{\sum_{e' \in \mathrm{top}\text{-}k(p)} p_{e'}}

.. math::

   \mathcal L_{balance} = E \sum_{e=1}^{E} f_e P_e

where, over a batch of tokens, :math:`f_e` is the number of times expert e is chosen per token
and :math:`P_e` its mean probability. With all experts chosen equally often the loss is k, its
smallest value for probabilities that follow the choices.

=================  ==============  =====================
code               symbol          shape
=================  ==============  =====================
``x``              :math:`x`       ``(..., D)``
``router``         :math:`W_r`     ``D -> E``
``router_logits``  :math:`W_r x`   ``(tokens, E)``
``gates``          :math:`g`       ``(tokens, top_k)``
``chosen``         top-k           ``(tokens, top_k)``
=================  ==============  =====================

References
----------
1. Shazeer et al., *Outrageously Large Neural Networks: The Sparsely-Gated
   Mixture-of-Experts Layer*, 2017, arXiv:1701.06538.
2. Fedus, Zoph and Shazeer, *Switch Transformers*, 2021, arXiv:2101.03961, equations 4 to 6
   (the balance loss).
3. Jiang et al., *Mixtral of Experts*, 2024, arXiv:2401.04088.

**Differs from the papers in**

* No noise on the router and no limit on the tokens of an expert: none is dropped (as Mixtral).
* :math:`f_e` counts all k choices, so a balanced router has loss k, not 1 (as transformers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from llmlib.nn.linear_layer import Linear

__all__ = ["MixtureOfExperts", "load_balance_loss"]


class MixtureOfExperts(nn.Module):
    """A router and its experts.

    Parameters
    ----------
    dim : int
        Model width D.
    experts : sequence of torch.nn.Module
        The E experts, each ``(n, D) -> (n, D)``.
    top_k : int
        Experts per token.
    renormalize : bool
        Whether the gates of the chosen experts are scaled to sum to 1 (Mixtral) or stay the
        router's probabilities (Switch).

    Attributes
    ----------
    router : Linear
        ``D -> E`` without bias.
    router_logits : Tensor or None
        ``(tokens, E)`` of the last forward pass, with its graph: what
        :func:`load_balance_loss` needs.

    Notes
    -----
    Source: Jiang et al. 2024, section 2.1. Equal to ``MixtralSparseMoeBlock`` of transformers.

    Examples
    --------
    >>> from llmlib.nn.feedforward import SwiGLU
    >>> layer = MixtureOfExperts(8, [SwiGLU(8, 16) for _ in range(4)], top_k=2)
    >>> layer(torch.randn(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    >>> layer.router_logits.shape
    torch.Size([10, 4])
    """

    def __init__(
        self, dim: int, experts: Sequence[nn.Module], *, top_k: int = 2, renormalize: bool = True
    ) -> None:
        super().__init__()
        if not 1 <= top_k <= len(experts):
            raise ValueError(
                f"top_k={top_k}, but there are {len(experts)} experts: choose 1 to {len(experts)}"
            )
        self.top_k = top_k
        self.renormalize = renormalize
        self.router = Linear(dim, len(experts), bias=False)
        self.experts = nn.ModuleList(experts)
        self.router_logits: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """``(..., D) -> (..., D)``; every expert runs on the tokens that chose it."""
        tokens = x.reshape(-1, x.shape[-1])  # (..., D) -> (tokens, D)
        gates, chosen = self.route(tokens)  # (tokens, top_k) each
        output = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            token, choice = torch.where(chosen == number)  # (n,) each
            if len(token):
                gated = gates[token, choice, None] * expert(tokens[token])  # (n, D)
                output = output.index_add(0, token, gated.to(output.dtype))
        return output.view_as(x)

    def forward_plain(self, x: Tensor) -> Tensor:
        """What :meth:`forward` computes, with every expert run on every token."""
        tokens = x.reshape(-1, x.shape[-1])  # (tokens, D)
        gates, chosen = self.route(tokens)
        weights = torch.zeros_like(self.router_logits, dtype=gates.dtype)
        weights = weights.scatter(1, chosen, gates)  # (tokens, E), 0 where not chosen
        outputs = torch.stack([expert(tokens) for expert in self.experts], dim=1)
        return torch.einsum("te,ted->td", weights, outputs).view_as(x)

    def route(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Gates and experts of each token: ``(tokens, D) -> (tokens, top_k)`` twice."""
        self.router_logits = self.router(tokens)  # (tokens, E)
        probabilities = self.router_logits.float().softmax(dim=-1)
        gates, chosen = probabilities.topk(self.top_k, dim=-1)
        if self.renormalize:
            gates = gates / gates.sum(dim=-1, keepdim=True)
        return gates, chosen

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes along: all but the graph of the last forward pass."""
        return {**self.__dict__, "router_logits": None}

    def extra_repr(self) -> str:
        """Sizes shown by ``print(module)``."""
        return f"top_k={self.top_k}, renormalize={self.renormalize}"


def load_balance_loss(
    router_logits: Tensor | Sequence[Tensor], top_k: int, mask: Tensor | None = None
) -> Tensor:
    """How unevenly the experts are used; add a small multiple of it to the training loss.

    Parameters
    ----------
    router_logits : Tensor or sequence of Tensor
        ``(tokens, E)``, or one such tensor per layer, taken together as one batch.
    top_k : int
        Experts per token.
    mask : Tensor, optional
        Boolean, one entry per token; False at padding, which does not count.

    Returns
    -------
    Tensor
        A number; ``top_k`` when all experts are used alike, up to ``E`` when always the same
        ones are.

    Notes
    -----
    Source: Fedus et al. 2021, equation 4. Equal to ``load_balancing_loss_func`` of transformers.

    Examples
    --------
    Two tokens, two experts, one token each: 2 * (1/2 * 1/2 + 1/2 * 1/2) = 1 when balanced.

    >>> load_balance_loss(torch.tensor([[9.0, -9.0], [-9.0, 9.0]]), top_k=1)
    tensor(1.)
    >>> load_balance_loss(torch.tensor([[9.0, -9.0], [9.0, -9.0]]), top_k=1)
    tensor(2.)
    """
    layers = [router_logits] if isinstance(router_logits, Tensor) else list(router_logits)
    logits = torch.cat(layers).float()  # (layers * tokens, E)
    num_experts = logits.shape[-1]
    if not 1 <= top_k <= num_experts:
        raise ValueError(
            f"top_k={top_k}, but there are {num_experts} experts: choose 1 to {num_experts}"
        )
    probabilities = logits.softmax(dim=-1)
    chosen = probabilities.topk(top_k, dim=-1).indices  # (layers * tokens, top_k)
    counts = torch.zeros_like(probabilities).scatter(1, chosen, 1.0)  # 1 where chosen
    if mask is not None:
        if mask.dtype != torch.bool or mask.numel() != layers[0].shape[0]:
            raise ValueError(
                f"mask has {mask.numel()} entries of {mask.dtype}, but one torch.bool for each of "
                f"the {layers[0].shape[0]} tokens is needed: pass the batch's padding mask"
            )
        real = mask.reshape(-1).repeat(len(layers))
        probabilities, counts = probabilities[real], counts[real]
    return num_experts * (counts.mean(dim=0) * probabilities.mean(dim=0)).sum()
