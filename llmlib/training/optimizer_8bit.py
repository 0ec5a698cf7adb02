r"""AdamW whose running means take one byte each.

A tensor is cut into blocks. Each block keeps its largest absolute value as a number of 32 bits, its
scale, and for each element the nearest of 256 values between -1 and 1 (or 0 and 1):

.. math::

   s_b = \max_{i \in b} \lvert x_i \rvert, \qquad
   c_i = \arg\min_j \, \Bigl\lvert q_j - \frac{x_i}{s_b} \Bigr\rvert, \qquad
   \hat x_i = s_b\, q_{c_i}

========================  ============  =========================================
code                      symbol        shape
========================  ============  =========================================
``values``                :math:`x`     any; n elements, read as one row
``scales``                :math:`s`     ``(blocks,)``, blocks = n / block_size, rounded up
``codes``                 :math:`c`     ``(n,)``, bytes
``table``                 :math:`q`     ``(256,)``, ascending
========================  ============  =========================================

The 256 values are not evenly spaced. The running mean of a squared gradient spans many powers of
ten within a block, and a second mean that is rounded to 0 makes an update of enormous size. So each
power of ten has values of its own, twice as many as the one below it.

References
----------
1. Dettmers, Lewis, Shleifer and Zettlemoyer, *8-bit Optimizers via Block-wise Quantization*, ICLR
   2022, arXiv:2110.02861.

**Differs from the paper in** the size of a block (256 here, 2,048 there), and in the speed: there
one kernel unpacks, updates and packs again, here each is a step of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from llmlib.training.optimizer import AdamW

__all__ = ["AdamW8bit", "dequantize_blocks", "dynamic_table", "quantize_blocks"]

DECADES = 7  # powers of ten from 1e-7 to 1


def dynamic_table(signed: bool) -> Tensor:
    """The 256 values that a byte can stand for, ascending.

    Parameters
    ----------
    signed : bool
        From -1 to 1, for a mean of gradients; or from 0 to 1, for a mean of squares.

    Returns
    -------
    Tensor
        ``(256,)``. The highest decade, 0.1 to 1, holds 64 values of each sign, or 128; the next one
        half as many, and so on.

    Examples
    --------
    >>> table = dynamic_table(signed=False)
    >>> table.shape, table[0].item(), table[-1].item()
    (torch.Size([256]), 0.0, 1.0)
    >>> [int(((table > 10.0**-d) & (table < 10.0 ** (1 - d))).sum()) for d in range(1, 8)]
    [128, 64, 32, 16, 8, 4, 2]
    """
    values = [torch.tensor([0.0, 1.0], dtype=torch.float64)]
    for decade in range(DECADES):  # 0 is the highest
        count = 2 ** (DECADES - 1 - decade) * (1 if signed else 2)
        edges = torch.linspace(0.1, 1, count + 1, dtype=torch.float64)
        middles = (edges[:-1] + edges[1:]) / 2 * 10.0**-decade
        values += [middles, -middles] if signed else [middles]
    return torch.cat(values).sort().values.float()


def quantize_blocks(values: Tensor, table: Tensor, block_size: int) -> tuple[Tensor, Tensor]:
    """Write a tensor as bytes and one scale for each block.

    Parameters
    ----------
    values : Tensor
        Any shape, n elements.
    table : Tensor
        ``(256,)``, from :func:`dynamic_table`.
    block_size : int
        Elements that share a scale.

    Returns
    -------
    tuple of Tensor
        Codes ``(n,)``, bytes; scales ``(blocks,)``.

    Raises
    ------
    ValueError
        ``block_size`` is not positive.

    Examples
    --------
    >>> table = dynamic_table(signed=True)
    >>> codes, scales = quantize_blocks(torch.tensor([0.0, -2.0, 30.0, 0.0]), table, 2)
    >>> scales
    tensor([ 2., 30.])
    >>> codes.dtype
    torch.uint8
    """
    if block_size < 1:
        raise ValueError(f"block_size={block_size}: it must be at least 1")
    flat = values.detach().reshape(-1).float()  # (n,)
    blocks = torch.nn.functional.pad(flat, (0, -len(flat) % block_size)).view(-1, block_size)
    scales = blocks.abs().amax(dim=1)  # (blocks,)
    shares = blocks / scales.where(scales > 0, 1)[:, None]  # (blocks, block_size)
    between = (table[1:] + table[:-1]) / 2  # (255,): from here on the next value is nearer
    codes = torch.bucketize(shares.view(-1)[: len(flat)], between)
    return codes.to(torch.uint8), scales


def dequantize_blocks(codes: Tensor, scales: Tensor, table: Tensor, block_size: int) -> Tensor:
    """Read such a tensor again, as a row.

    Parameters
    ----------
    codes, scales, table, block_size
        As :func:`quantize_blocks` took and gave them.

    Returns
    -------
    Tensor
        ``(n,)``.

    Examples
    --------
    >>> table = dynamic_table(signed=True)
    >>> packed = quantize_blocks(torch.tensor([0.0, -2.0, 1.0]), table, 2)
    >>> [round(x, 4) for x in dequantize_blocks(*packed, table, 2).tolist()]  # -1 has no byte
    [0.0, -1.9859, 1.0]
    """
    owner = torch.arange(len(codes), device=codes.device) // block_size  # (n,)
    return table[codes.long()] * scales[owner]


class AdamW8bit(AdamW):
    """AdamW with its two running means in bytes: about 2 bytes a parameter instead of 8.

    Parameters
    ----------
    params, lr, betas, eps, weight_decay
        As for :class:`~llmlib.training.AdamW`.
    block_size : int
        Elements that share a scale.
    min_8bit_size : int
        Tensors with fewer elements keep means of 32 bits: they take little, and norms and biases
        are touchy.

    Raises
    ------
    ValueError
        A number is outside its range.

    Notes
    -----
    Source: Dettmers et al. 2022. In practice: ``bitsandbytes.optim.AdamW8bit``.

    Examples
    --------
    >>> w = torch.nn.Parameter(torch.ones(8192))
    >>> optimizer = AdamW8bit([w], lr=0.1)
    >>> w.grad = torch.ones(8192)
    >>> optimizer.step()
    >>> sorted((name, str(t.dtype)) for name, t in optimizer.state[w].items())[:2]
    [('exp_avg', 'torch.uint8'), ('exp_avg_scale', 'torch.float32')]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        block_size: int = 256,
        min_8bit_size: int = 4096,
    ) -> None:
        if block_size < 1 or min_8bit_size < 0:
            raise ValueError(
                f"block_size={block_size}, min_8bit_size={min_8bit_size}: at least 1, and 0"
            )
        super().__init__(params, lr, betas, eps, weight_decay)
        self.block_size, self.min_8bit_size = block_size, min_8bit_size
        self._tables = {"exp_avg": dynamic_table(True), "exp_avg_sq": dynamic_table(False)}

    def _update(self, weight: Tensor, group: dict[str, Any]) -> None:
        if weight.numel() < self.min_8bit_size:
            super()._update(weight, group)
            return
        state, size = self.state[weight], self.block_size
        tables = {name: table.to(weight.device) for name, table in self._tables.items()}
        if state:
            for name, table in tables.items():
                scales = state.pop(f"{name}_scale")
                flat = dequantize_blocks(state[name], scales, table, size)
                state[name] = flat.view(weight.shape).to(weight.dtype)
        super()._update(weight, group)  # in 32 bits, as ever
        for name, table in tables.items():
            codes, scales = quantize_blocks(state[name], table, size)
            state[name], state[f"{name}_scale"] = codes, scales

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state of another one; bytes stay bytes."""
        super().load_state_dict(state_dict)
        saved = state_dict["state"]
        numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
        weights = [weight for group in self.param_groups for weight in group["params"]]
        for number, weight in zip(numbers, weights, strict=True):
            for name, tensor in saved.get(number, {}).items():
                self.state[weight][name] = tensor.clone().to(weight.device)
