r"""Tensor parallelism: every rank computes some heads and some hidden features of each layer.

.. math::

   A = [A_1\ A_2 \dots], \qquad
   B = \begin{bmatrix} B_1 \\ B_2 \\ \vdots \end{bmatrix}, \qquad
   f(x A)\, B = \sum_r f(x A_r)\, B_r

A layer that widens is cut into columns, the one that narrows after it into rows. What stands
between them works on each feature or each head alone, so no rank needs another before the sum:
one message per attention and one per feed-forward layer, forward, and as many backward.

===================================  ========  ======================
layer                                cut into  what a rank computes
===================================  ========  ======================
``q_proj``, ``k_proj``, ``v_proj``   columns   ``H / W`` heads
``out_proj``                         rows      its share of the sum
``gate_proj``, ``up_proj``           columns   ``F / W`` features
``down_proj``                        rows      its share of the sum
===================================  ========  ======================

References
----------
1. Shoeybi et al., *Megatron-LM: Training Multi-Billion Parameter Language Models Using Model
   Parallelism*, 2019, arXiv:1909.08053.

**Differs from the paper in** what is cut: the embedding and the output layer stay whole here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from llmlib.models.causal import CausalLanguageModel
from llmlib.nn import FeedForward, GatedFeedForward, MultiHeadAttention

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

__all__ = ["split_layers", "split_plan"]


def split_layers(model: CausalLanguageModel, mesh: DeviceMesh) -> CausalLanguageModel:
    """Cut the attention and feed-forward layers of all blocks, in place. All ranks call it.

    Each rank must hold the same weights before, and gets the same input afterwards; the output is
    that of the whole model.

    Parameters
    ----------
    model : CausalLanguageModel
        A :class:`~llmlib.models.GPT` or a :class:`~llmlib.models.Llama`.
    mesh : torch.distributed.device_mesh.DeviceMesh
        The ranks, in one dimension, from ``init_device_mesh``.

    Returns
    -------
    CausalLanguageModel
        The model; the weights of what was cut are ``DTensor``.

    Raises
    ------
    ValueError
        Heads or features cannot be divided among the ranks, or a layer is of another kind.

    Notes
    -----
    ``parallelize_module`` of PyTorch with :func:`split_plan`. Use dropout 0: what ranks drop would
    have to agree.
    """
    from torch.distributed.tensor.parallel import parallelize_module

    plans = [split_plan(block, mesh.size()) for block in model.blocks]  # refuses before it cuts
    for block, plan in zip(model.blocks, plans, strict=True):
        parallelize_module(block, mesh, plan)
    return model


def split_plan(block: nn.Module, world_size: int) -> dict[str, Any]:
    """How each layer of a block is cut, by its name.

    Parameters
    ----------
    block : torch.nn.Module
        With ``attention`` and ``feedforward``.
    world_size : int
        Ranks W.

    Returns
    -------
    dict
        For ``parallelize_module``.

    Raises
    ------
    ValueError
        As :func:`split_layers`.

    Examples
    --------
    >>> from llmlib.nn import LayerNorm, PreNormBlock
    >>> block = PreNormBlock(
    ...     MultiHeadAttention(8, 2), LayerNorm(8), FeedForward(8), LayerNorm(8))
    >>> for name, cut in split_plan(block, world_size=2).items():
    ...     print(name, type(cut).__name__)
    attention.q_proj ColwiseParallel
    attention.k_proj ColwiseParallel
    attention.v_proj ColwiseParallel
    attention.out_proj RowwiseParallel
    feedforward.up_proj ColwiseParallel
    feedforward.down_proj RowwiseParallel
    """
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel

    attention, feedforward = block.attention, block.feedforward
    if not isinstance(attention, MultiHeadAttention):
        raise ValueError(f"{type(attention).__name__} cannot be cut: give a MultiHeadAttention")
    if not isinstance(feedforward, FeedForward | GatedFeedForward):
        raise ValueError(
            f"{type(feedforward).__name__} cannot be cut: give a FeedForward or GatedFeedForward"
        )
    if (attention.query_norm, attention.key_norm, attention.position_bias) != (None,) * 3:
        raise ValueError(
            "norms of queries and keys, and position biases, belong to heads of all ranks: build "
            "the attention without them"
        )
    features = feedforward.down_proj.in_features
    sizes = {"num_kv_heads": attention.num_kv_heads, "hidden_dim": features}
    for name, size in sizes.items():
        if size % world_size:
            raise ValueError(
                f"{name}={size} cannot be divided among {world_size} ranks: choose a multiple"
            )
    gated = isinstance(feedforward, GatedFeedForward)
    widening = ["attention.q_proj", "attention.k_proj", "attention.v_proj"]
    into = ["feedforward.gate_proj"] * gated + ["feedforward.up_proj"]
    return {
        **{name: ColwiseParallel() for name in widening},
        "attention.out_proj": RowwiseParallel(),
        **{name: ColwiseParallel() for name in into},
        "feedforward.down_proj": RowwiseParallel(),
    }
