r"""The paged key-value cache: keys and values in blocks, a table of blocks for each sequence.

Token t of a sequence stands in block ``table.blocks[t // block_size]``, at place
``t % block_size``; written as one number, its slot is

.. math::

   \mathrm{slot}(t) = b_{\lfloor t / m \rfloor} \cdot m + (t \bmod m)

====================  ===============================  ======================================
code                  what it is                       shape
====================  ===============================  ======================================
``block_size``        :math:`m`                        number
``table.blocks``      :math:`b_0, b_1, \dots`          numbers of blocks
``keys``, ``values``  all slots of all layers          ``(N, num_blocks * m, H_kv, K)``
``slots``             where the tokens of a batch      ``(B, S)``, integers
                      stand, padded on the left
====================  ===============================  ======================================

Attention wants rows of one length. :class:`PagedBatch` gathers them: it stands in for
:class:`llmlib.nn.KeyValueCache`, and the models are none the wiser.

References
----------
1. Kwon et al., *Efficient Memory Management for Large Language Model Serving with
   PagedAttention*, 2023, arXiv:2309.06180, section 4.

**Differs from the paper in** the kernel. PagedAttention reads the blocks where they are; here
they are gathered into one tensor first, which is a copy at every step and ten lines long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from llmlib.models import CausalLanguageModel
from llmlib.serving.blocks import BlockPool, OutOfBlocksError

__all__ = ["BlockTable", "PagedBatch", "PagedCache"]


@dataclass
class BlockTable:
    """Where the tokens of one sequence stand.

    Parameters
    ----------
    blocks : list of int
        Its blocks, in the order of the text.
    length : int
        Tokens whose keys and values have been written.
    """

    blocks: list[int] = field(default_factory=list)
    length: int = 0


class PagedCache:
    """Keys and values of all sequences, in blocks of a fixed size.

    Parameters
    ----------
    model : CausalLanguageModel
        Says how many layers, heads and components there are.
    num_blocks : int
        Blocks, of all sequences together. The memory is taken at once.
    block_size : int
        Tokens of a block.

    Examples
    --------
    >>> from llmlib.models import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocab_size=9, context_length=16, dim=8, num_layers=2, num_heads=2))
    >>> cache = PagedCache(model, num_blocks=4, block_size=2)
    >>> table = cache.find([5, 6, 7])          # nothing is known yet
    >>> cache.reserve(table, 3)
    >>> logits = model(torch.tensor([[5, 6, 7]]), cache=cache.batch([table], 3))
    >>> cache.written(table, [5, 6, 7])
    >>> len(table.blocks), cache.pool.num_used
    (2, 2)
    >>> cache.find([5, 6, 8]).length           # the first block can be shared
    2
    """

    def __init__(self, model: CausalLanguageModel, num_blocks: int, block_size: int = 16) -> None:
        self.pool = BlockPool(num_blocks, block_size)
        first = model.blocks[0].attention
        weight = first.k_proj.weight
        shape = (len(model.blocks), num_blocks * block_size, first.num_kv_heads, first.head_dim)
        self.keys = torch.zeros(shape, dtype=weight.dtype, device=weight.device)
        self.values = torch.zeros_like(self.keys)

    @property
    def block_size(self) -> int:
        """Tokens of a block."""
        return self.pool.block_size

    @property
    def bytes(self) -> int:
        """Memory taken, in bytes."""
        return 2 * self.keys.numel() * self.keys.element_size()

    def find(self, tokens: Sequence[int]) -> BlockTable:
        """A table for this text, with the full blocks at its beginning that are there already.

        The last token is left out of the search, since the model has to read at least one to say
        what comes next.
        """
        blocks = self.pool.find(tokens[:-1])
        for block in blocks:
            self.pool.share(block)
        return BlockTable(blocks, len(blocks) * self.block_size)

    def reserve(self, table: BlockTable, new: int) -> None:
        """Make sure that ``new`` tokens can be written behind those that are there.

        Takes the blocks that are missing. A block that others hold too and that would be written
        to is copied first: **copy on write**.

        Raises
        ------
        OutOfBlocksError
            There are not enough free blocks. Then nothing has changed.
        """
        first = table.length // self.block_size  # the first block that is written to
        shared = [
            place
            for place in range(first, len(table.blocks))
            if self.pool.holders[table.blocks[place]] > 1
        ]
        missing = self.pool.blocks_for(table.length + new) - len(table.blocks)
        wanted = len(shared) + max(missing, 0)
        if wanted > self.pool.num_free:
            raise OutOfBlocksError(
                f"{wanted} blocks are needed, {self.pool.num_free} of {self.pool.num_blocks} are "
                "free: let a sequence wait or give one back"
            )
        for place in shared:
            source, copy = table.blocks[place], self.pool.take()
            self._copy(source, copy)
            self.pool.give_back(source)
            table.blocks[place] = copy
        table.blocks.extend(self.pool.take() for _ in range(missing))

    def fork(self, table: BlockTable) -> BlockTable:
        """A second sequence with the same text so far. It shares all blocks, the last one too."""
        for block in table.blocks:
            self.pool.share(block)
        return BlockTable(list(table.blocks), table.length)

    def release(self, table: BlockTable) -> None:
        """Give all blocks back, the last one first, so that beginnings stay for longest."""
        while table.blocks:
            self.pool.give_back(table.blocks.pop())
        table.length = 0

    def written(self, table: BlockTable, tokens: Sequence[int]) -> None:
        """Note that the keys and values of all these tokens, the whole text, are there now."""
        before = table.length // self.block_size
        table.length = len(tokens)
        for place in range(before, table.length // self.block_size):
            self.pool.remember(table.blocks[place], tokens[: (place + 1) * self.block_size])

    def batch(self, tables: Sequence[BlockTable], new: int) -> PagedBatch:
        """These sequences as a cache that a model takes, for ``new`` more tokens of each."""
        return PagedBatch(self, tables, new)

    def slots(self, table: BlockTable, start: int, end: int) -> Tensor:
        """Where tokens ``start`` to ``end - 1`` of a sequence stand."""
        places = torch.arange(start, end, device=self.keys.device)
        blocks = torch.tensor(table.blocks, dtype=torch.long, device=self.keys.device)
        return blocks[places // self.block_size] * self.block_size + places % self.block_size

    def _copy(self, source: int, target: int) -> None:
        size = self.block_size
        for room in (self.keys, self.values):
            room[:, target * size : (target + 1) * size] = room[
                :, source * size : (source + 1) * size
            ]


class PagedBatch:
    """Some sequences of a :class:`PagedCache`, as rows that end at one slot.

    Shorter rows are padded on the left. ``mask`` and ``positions`` say so to the model.

    Parameters
    ----------
    cache : PagedCache
        Where keys and values are.
    tables : sequence of BlockTable
        One for each row, with room for the new tokens.
    new : int
        Tokens T that each row is about to get.

    Attributes
    ----------
    length : int
        Tokens in the cache of the longest row.
    positions : Tensor
        ``(B, T)``: place of each new token in its own text.
    mask : Tensor or None
        ``(B, S)``, False at the padding; None where there is none.
    """

    def __init__(self, cache: PagedCache, tables: Sequence[BlockTable], new: int) -> None:
        self.cache = cache
        lengths = [table.length for table in tables]
        self.length = max(lengths)
        device = cache.keys.device
        total = self.length + new
        self.slots = torch.zeros(len(tables), total, dtype=torch.long, device=device)  # (B, S)
        real = torch.zeros(len(tables), total, dtype=torch.bool, device=device)
        for row, table in enumerate(tables):
            padding = self.length - table.length
            self.slots[row, padding:] = cache.slots(table, 0, table.length + new)
            real[row, padding:] = True
        starts = torch.tensor(lengths, device=device)
        self.positions = starts[:, None] + torch.arange(new, device=device)  # (B, T)
        self.mask = None if bool(real.all()) else real

    def __getitem__(self, layer: int) -> PagedLayer:
        """The cache of one layer."""
        return PagedLayer(self, layer)


class PagedLayer:
    """One layer of a :class:`PagedBatch`, with the methods of :class:`llmlib.nn.LayerCache`."""

    def __init__(self, batch: PagedBatch, layer: int) -> None:
        self.slots = batch.slots
        self.length = batch.length
        self.keys, self.values = batch.cache.keys[layer], batch.cache.values[layer]

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new tokens into their blocks, and gather all that each row has.

        ``(B, H_kv, T, K)`` twice ``-> (B, H_kv, S, K)`` twice. The padding repeats slot 0.
        """
        new = self.slots[:, -key.shape[2] :]  # (B, T)
        self.keys[new] = key.transpose(1, 2)  # (B, H_kv, T, K) -> (B, T, H_kv, K)
        self.values[new] = value.transpose(1, 2)
        self.length += key.shape[2]
        keys, values = self.keys[self.slots], self.values[self.slots]  # (B, S, H_kv, K) each
        return keys.transpose(1, 2), values.transpose(1, 2)
