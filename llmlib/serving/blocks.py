"""Blocks of memory, counted: who holds them, and what stands in them.

The memory of the key-value cache is cut into blocks of a few slots. A sequence takes blocks one
by one as it grows, wherever one is free, so no room is set aside for text that may never come.
Nothing here knows of tensors: a block is a number.

=================  ==============================================================
code               what it is
=================  ==============================================================
``holders[b]``     sequences that hold block b; 0 means free
``free``           blocks that nobody holds, the one free for longest first
``found[text]``    the block with the last tokens of this text, its whole
                   beginning included: what another text may share
=================  ==============================================================

A block that is given back keeps its contents until it is taken again. A text with the same
beginning can have it back until then.

References
----------
1. Kwon et al., *Efficient Memory Management for Large Language Model Serving with
   PagedAttention*, 2023, arXiv:2309.06180.

**Differs from vLLM in** the key of a shared block: the whole text up to its end, where vLLM
chains hashes of blocks. That is slower for long texts and cannot confuse two of them.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["BlockPool", "OutOfBlocksError"]


class OutOfBlocksError(RuntimeError):
    """No block is free: something has to wait or to go."""


class BlockPool:
    """A fixed number of blocks, with a count of holders for each.

    Parameters
    ----------
    num_blocks : int
        Blocks there are.
    block_size : int
        Slots of a block, one for each token.

    Examples
    --------
    >>> pool = BlockPool(num_blocks=3, block_size=4)
    >>> first, second = pool.take(), pool.take()
    >>> pool.share(first)                 # another sequence holds it too
    >>> pool.give_back(first), pool.give_back(second)
    (False, True)
    >>> pool.num_free, pool.holders
    (2, [1, 0, 0])
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        if min(num_blocks, block_size) < 1:
            raise ValueError(
                f"num_blocks={num_blocks}, block_size={block_size}: each must be at least 1"
            )
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.holders = [0] * num_blocks
        self.free = dict.fromkeys(range(num_blocks))  # a queue from which any block may leave
        self.found: dict[tuple[int, ...], int] = {}
        self.text_of: dict[int, tuple[int, ...]] = {}

    @property
    def num_free(self) -> int:
        """Blocks that nobody holds."""
        return len(self.free)

    @property
    def num_used(self) -> int:
        """Blocks that somebody holds, shared ones counted once."""
        return self.num_blocks - len(self.free)

    def blocks_for(self, tokens: int) -> int:
        """Blocks that so many tokens fill, the last one perhaps in part.

        >>> [BlockPool(9, 4).blocks_for(tokens) for tokens in (0, 1, 4, 5)]
        [0, 1, 1, 2]
        """
        return -(-tokens // self.block_size)

    def take(self) -> int:
        """A free block, for one holder; what stood in it is forgotten.

        Raises
        ------
        OutOfBlocksError
            None is free.
        """
        if not self.free:
            raise OutOfBlocksError(
                f"all {self.num_blocks} blocks are held: let a sequence wait or give one back"
            )
        block = next(iter(self.free))
        del self.free[block]
        self.found.pop(self.text_of.pop(block, ()), None)
        self.holders[block] = 1
        return block

    def share(self, block: int) -> None:
        """One more holder, also of a block that was given back and not taken since."""
        self.free.pop(block, None)
        self.holders[block] += 1

    def give_back(self, block: int) -> bool:
        """One holder less; True when the block is free now.

        Raises
        ------
        ValueError
            Nobody holds the block.
        """
        if self.holders[block] == 0:
            raise ValueError(f"block {block} is free already: give back what you hold, once")
        self.holders[block] -= 1
        if self.holders[block] == 0:
            self.free[block] = None  # at the end of the queue
        return self.holders[block] == 0

    def remember(self, block: int, text: Sequence[int]) -> None:
        """Note that a full block ends this text, so that others may find it.

        The first block with a text is the one to be found.
        """
        key = tuple(text)
        if len(key) == 0 or len(key) % self.block_size:
            raise ValueError(
                f"a text of {len(key)} tokens does not end with a full block of "
                f"{self.block_size}: remember full blocks only"
            )
        if key not in self.found and block not in self.text_of:
            self.found[key] = block
            self.text_of[block] = key

    def find(self, text: Sequence[int]) -> list[int]:
        """Blocks that hold the beginning of this text, in order, as many as there are.

        Examples
        --------
        >>> pool = BlockPool(num_blocks=3, block_size=2)
        >>> block = pool.take()
        >>> pool.remember(block, [5, 6])
        >>> pool.find([5, 6, 7, 8]) == [block], pool.find([6, 5])
        (True, [])
        """
        blocks = []
        for end in range(self.block_size, len(text) + 1, self.block_size):
            block = self.found.get(tuple(text[:end]))
            if block is None:
                break
            blocks.append(block)
        return blocks
