"""Who runs, who waits, and who has to go back: continuous batching.

A batch is put together anew for every step. A sequence that ends leaves at once, and the first
that waits takes its seat in the next step, in the middle of what the others are writing.

==============  =================================================================
code            what it is
==============  =================================================================
``waiting``     sequences without memory, first come first served
``running``     sequences that write one token per step, the oldest first
``seats``       most sequences that may run at once
==============  =================================================================

Where a running sequence needs a block and none is free, the youngest one is preempted: it gives
all its blocks back and waits at the front. What it wrote is kept as text, and its keys and values
are computed again when there is room. The oldest always goes on, so everything ends at last.

References
----------
1. Yu et al., *Orca: A Distributed Serving System for Transformer-Based Generative Models*, 2022,
   OSDI (scheduling by iteration).
2. Kwon et al., *Efficient Memory Management for Large Language Model Serving with
   PagedAttention*, 2023, arXiv:2309.06180, section 4.5 (preemption, recomputation).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from llmlib.serving.blocks import OutOfBlocksError
from llmlib.serving.paged import BlockTable, PagedCache

__all__ = ["Scheduler", "Sequence", "best_token"]


def best_token(logits: Tensor) -> int:
    """The most probable token, of logits ``(V,)``: greedy search.

    >>> import torch
    >>> best_token(torch.tensor([0.1, 0.7, 0.2]))
    1
    """
    return int(logits.argmax())


@dataclass(eq=False)
class Sequence:
    """One text that is being written.

    Parameters
    ----------
    number : int
        Counts the sequences of an engine, from 0.
    prompt : list of int
        At least one token.
    max_new_tokens : int
        Most tokens to write.
    stop_ids : tuple of int
        The text ends with the first of them.
    choose : callable
        From logits ``(V,)`` to a token.
    group : int
        Sequences with one group number were submitted together, with one prompt.

    Attributes
    ----------
    written : list of int
        What was written so far.
    table : BlockTable
        Where its keys and values are; without blocks while it waits.
    preempted : int
        How often it had to give its blocks back.
    shared : int
        Prompt tokens whose keys and values it found computed, when it last began.
    """

    number: int
    prompt: list[int]
    max_new_tokens: int
    stop_ids: tuple[int, ...] = ()
    choose: Callable[[Tensor], int] = best_token
    group: int = 0
    written: list[int] = field(default_factory=list)
    table: BlockTable = field(default_factory=BlockTable)
    preempted: int = 0
    shared: int = 0

    @property
    def tokens(self) -> list[int]:
        """The whole text."""
        return self.prompt + self.written

    @property
    def finished(self) -> bool:
        """Whether a stop token or the most allowed was reached."""
        stopped = bool(self.written) and self.written[-1] in self.stop_ids
        return stopped or len(self.written) >= self.max_new_tokens


class Scheduler:
    """Hands seats and blocks to sequences.

    Parameters
    ----------
    cache : PagedCache
        Its blocks are handed out.
    seats : int
        Most sequences that run at once.

    Examples
    --------
    >>> from llmlib.models import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocab_size=9, context_length=16, dim=8, num_layers=2, num_heads=2))
    >>> scheduler = Scheduler(PagedCache(model, num_blocks=3, block_size=2), seats=4)
    >>> for number in range(2):
    ...     scheduler.waiting.append(Sequence(number, prompt=[1, 2, 3], max_new_tokens=3))
    >>> scheduler.admit().number               # takes two of three blocks
    0
    >>> scheduler.admit() is None              # the other one needs two as well
    True
    """

    def __init__(self, cache: PagedCache, seats: int) -> None:
        if seats < 1:
            raise ValueError(f"seats={seats}, but at least one sequence must be able to run")
        self.cache = cache
        self.seats = seats
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []

    def make_room(self) -> list[Sequence]:
        """Get every running sequence the slot for its next token, the oldest first.

        Returns
        -------
        list of Sequence
            Those that were preempted for it.
        """
        victims = []
        place = 0
        while place < len(self.running):
            try:
                self.cache.reserve(self.running[place].table, 1)
                place += 1
            except OutOfBlocksError:
                victims.append(self._preempt_youngest())
        return victims

    def admit(self) -> Sequence | None:
        """Let the first that waits begin, if there are a seat and blocks for its text so far.

        Nobody overtakes: where the first does not fit, the others wait with it.
        """
        if not self.waiting or len(self.running) == self.seats:
            return None
        sequence = self.waiting[0]
        tokens = sequence.tokens
        table = self.cache.find(tokens)
        try:
            self.cache.reserve(table, len(tokens) - table.length)
        except OutOfBlocksError:
            self.cache.release(table)
            return None
        sequence.table, sequence.shared = table, table.length
        self.running.append(self.waiting.popleft())
        return sequence

    def admit_siblings(self, first: Sequence) -> list[Sequence]:
        """Let those begin that were submitted with ``first``, on its blocks: there is one text.

        They must stand at the front of the queue and have written nothing, and seats must be free.
        """
        joined = []
        while self.waiting and len(self.running) < self.seats:
            sibling = self.waiting[0]
            if sibling.group != first.group or sibling.written or first.written:
                break
            sibling.table = self.cache.fork(first.table)
            sibling.shared = first.table.length
            joined.append(self.waiting.popleft())
            self.running.append(sibling)
        return joined

    def leave(self, sequence: Sequence) -> None:
        """Take a sequence out of the batch and its blocks back."""
        self.running.remove(sequence)
        self.cache.release(sequence.table)

    def _preempt_youngest(self) -> Sequence:
        victim = self.running[-1]
        self.leave(victim)
        victim.preempted += 1
        self.waiting.appendleft(victim)
        return victim
