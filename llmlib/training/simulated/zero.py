r"""ZeRO: what data parallelism keeps on every rank is divided among them.

Every rank has all weights, all gradients and all states of the optimizer, though it needs the
states of a weight only where that weight is updated. If rank r updates piece r alone, the rest
need not be there:

=====  ========================  =========================================  ===================
stage  divided                   bytes on a rank                            numbers sent
=====  ========================  =========================================  ===================
0      nothing                   :math:`(w + g + s)\, \Phi`                 :math:`2 \Phi'`
1      states                    :math:`(w + g + s / W)\, \Phi`             :math:`2 \Phi'`
2      states, gradients         :math:`(w + (g + s) / W)\, \Phi`           :math:`2 \Phi'`
3      states, gradients,        :math:`(w + g + s) / W \cdot \Phi`         :math:`3 \Phi'`
       weights
=====  ========================  =========================================  ===================

where :math:`\Phi` is the number of weights, :math:`\Phi' = \Phi\, (W - 1) / W`, and w, g, s are the
bytes per weight of weight, gradient and states: 4, 4 and 8 for Adam in float32; 2, 2 and 12 where
weights and gradients are half precision and the states hold a float32 copy of the weight.

The first two stages cost no more messages than none: an all-reduce is a reduce-scatter and an
all-gather (:mod:`~llmlib.training.simulated.all_reduce`), and the update fits between the two.
Stage 3 has to gather the weights twice, for the forward and for the backward pass.

References
----------
1. Rajbhandari et al., *ZeRO: Memory Optimizations Toward Training Trillion Parameter Models*, SC
   2020, arXiv:1910.02054.

**Differs from the paper in** one point: stage 3 gathers all weights at once here, layer by layer
there. The number of messages is the same; the weights that are held for a moment are not.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from llmlib.training.optimizer import AdamW
from llmlib.training.simulated.all_reduce import (
    Message,
    join_logs,
    ring_all_gather,
    ring_all_reduce,
    ring_reduce_scatter,
)

__all__ = ["ZeroRanks", "zero_bytes"]


def zero_bytes(
    num_weights: int,
    world_size: int,
    stage: int,
    *,
    weight_bytes: int = 4,
    gradient_bytes: int = 4,
    state_bytes: int = 8,
) -> dict[str, float]:
    """Bytes that a rank keeps from one step to the next.

    Parameters
    ----------
    num_weights : int
        Of the model.
    world_size : int
        Ranks.
    stage : int
        Of ZeRO, 0 to 3.
    weight_bytes, gradient_bytes, state_bytes : int
        For each weight.

    Returns
    -------
    dict
        ``weights``, ``gradients`` and ``states``.

    Raises
    ------
    ValueError
        The stage or the number of ranks is not known.

    Examples
    --------
    A model of 7.5 billion weights on 64 ranks in mixed precision, in GB (figure 1 of the paper):

    >>> mixed = {"weight_bytes": 2, "gradient_bytes": 2, "state_bytes": 12}
    >>> for stage in range(4):
    ...     kept = zero_bytes(7_500_000_000, 64, stage, **mixed)
    ...     print(stage, round(sum(kept.values()) / 1e9, 1))
    0 120.0
    1 31.4
    2 16.6
    3 1.9
    """
    if stage not in range(4) or world_size < 1:
        raise ValueError(
            f"stage={stage}, world_size={world_size}: stages are 0 to 3, ranks at least 1"
        )
    return {
        "weights": num_weights * weight_bytes / (world_size if stage >= 3 else 1),
        "gradients": num_weights * gradient_bytes / (world_size if stage >= 2 else 1),
        "states": num_weights * state_bytes / (world_size if stage >= 1 else 1),
    }


class ZeroRanks:
    """Ranks that train one vector of weights with AdamW, at a stage of ZeRO.

    Parameters
    ----------
    weights : Tensor
        ``(n,)``, all weights in a row.
    world_size : int
        Ranks.
    stage : int
        0 to 3.
    **options
        Of :class:`~llmlib.training.AdamW`.

    Examples
    --------
    >>> ranks = ZeroRanks(torch.zeros(8), world_size=2, stage=2, lr=0.1, weight_decay=0.0)
    >>> log = ranks.step(lambda weights, rank: weights - 1)
    >>> ranks.bytes(0)
    {'weights': 32, 'gradients': 16, 'states': 32}
    >>> ranks.weights()[:2]
    tensor([0.1000, 0.1000])
    """

    def __init__(self, weights: Tensor, world_size: int, stage: int, **options: float) -> None:
        zero_bytes(len(weights), world_size, stage)  # refuses what cannot be
        self.world_size, self.stage = world_size, stage
        self._pieces = weights.tensor_split(world_size)
        # What each rank keeps: all weights, or from stage 3 on its piece.
        self._held = [
            (self._pieces[rank] if stage == 3 else weights).detach().clone()
            for rank in range(world_size)
        ]
        # What it updates: its piece, a view into what it keeps, or at stage 0 everything.
        self._updated = [nn.Parameter(self._own(rank)) for rank in range(world_size)]
        self._optimizers = [AdamW([piece], **options) for piece in self._updated]
        self._gradients: list[Tensor | None] = [None] * world_size

    def step(self, gradient: Callable[[Tensor, int], Tensor]) -> list[Message]:
        """One update of all weights.

        Parameters
        ----------
        gradient : callable
            Takes all weights ``(n,)`` and a rank, and returns ``(n,)``: its share of the gradient.
            The shares add up to the whole.

        Returns
        -------
        list of Message
            What the ranks sent.
        """
        whole, logs = self._held, []
        if self.stage == 3:
            for _ in ("forward", "backward"):  # dropped in between
                whole, log = ring_all_gather(self._held)
                logs.append(log)
        shares = [gradient(whole[rank], rank) for rank in range(self.world_size)]
        if self.stage == 0:
            sums, log = ring_all_reduce(shares)
        else:
            sums, log = ring_reduce_scatter(shares)
        logs.append(log)
        self._gradients = sums if self.stage in (0, 2, 3) else shares
        for piece, optimizer, total in zip(self._updated, self._optimizers, sums, strict=True):
            piece.grad = total
            optimizer.step()
            piece.grad = None
        if self.stage in (1, 2):
            whole, log = ring_all_gather([piece.data for piece in self._updated])
            logs.append(log)
            for held, new in zip(self._held, whole, strict=True):
                held.copy_(new)
        return join_logs(*logs)

    def weights(self) -> Tensor:
        """All weights ``(n,)``."""
        return torch.cat(self._held) if self.stage == 3 else self._held[0].clone()

    def bytes(self, rank: int) -> dict[str, int]:
        """Bytes of the tensors that a rank keeps, measured; gradients once a step has been."""
        gradient, states = self._gradients[rank], self._optimizers[rank].state.values()
        return {
            "weights": self._held[rank].nbytes,
            "gradients": 0 if gradient is None else gradient.nbytes,
            "states": sum(s["exp_avg"].nbytes + s["exp_avg_sq"].nbytes for s in states),
        }

    def _own(self, rank: int) -> Tensor:
        held = self._held[rank]
        return held if self.stage in (0, 3) else held.tensor_split(self.world_size)[rank]
