"""A model that serves: texts come and go while it writes.

One step is one token for every running sequence:

1. running sequences get a slot for their next token; the youngest are preempted if need be;
2. those that wait begin while there are seats and blocks, each with one pass over its text
   (prefill), which gives its first token;
3. all others get their next token from one pass over the batch (decode);
4. what has ended leaves.

References
----------
1. Yu et al., *Orca: A Distributed Serving System for Transformer-Based Generative Models*, 2022,
   OSDI.
2. Kwon et al., *Efficient Memory Management for Large Language Model Serving with
   PagedAttention*, 2023, arXiv:2309.06180.

**Differs from vLLM in** prefill: one text at a time and in one piece. vLLM puts several into one
pass and cuts long ones into chunks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from llmlib.generation.decoding import evaluating
from llmlib.models import CausalLanguageModel
from llmlib.serving.paged import PagedCache
from llmlib.serving.scheduler import Scheduler, Sequence, best_token

__all__ = ["Engine", "Step"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one step did.

    Parameters
    ----------
    decoded : int
        Sequences that got a token from the common pass.
    prefilled : int
        Tokens read for sequences that began.
    shared : int
        Tokens that those need not have read, since their blocks were there.
    preempted : int
        Sequences that had to give their blocks back.
    finished : tuple of Sequence
        Sequences that ended.
    used_blocks : int
        Blocks held before the finished ones left.
    """

    decoded: int
    prefilled: int
    shared: int
    preempted: int
    finished: tuple[Sequence, ...]
    used_blocks: int


class Engine:
    """Writes many texts at once, with continuous batching and a paged cache.

    Parameters
    ----------
    model : CausalLanguageModel
        A :class:`~llmlib.models.GPT` or :class:`~llmlib.models.Llama`.
    num_blocks, block_size : int
        The memory: blocks, and tokens of a block.
    seats : int
        Most sequences that run at once.

    Attributes
    ----------
    history : list of Step
        What each step did.

    Notes
    -----
    Source: Yu et al. 2022; Kwon et al. 2023. Every text is the one that
    :func:`llmlib.generation.generate` writes alone, whatever runs beside it.

    Examples
    --------
    >>> from llmlib.models import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocab_size=9, context_length=16, dim=8, num_layers=2, num_heads=2))
    >>> engine = Engine(model, num_blocks=6, block_size=4, seats=2)
    >>> first = engine.submit([1, 2, 3], max_new_tokens=4)
    >>> step = engine.step()
    >>> second = engine.submit([4, 5], max_new_tokens=2)   # joins while the first is written
    >>> engine.run()
    >>> len(first.written), len(second.written), len(engine.history), engine.cache.pool.num_used
    (4, 2, 4, 0)
    """

    def __init__(
        self, model: CausalLanguageModel, *, num_blocks: int, block_size: int = 16, seats: int = 8
    ) -> None:
        self.model = model
        self.cache = PagedCache(model, num_blocks, block_size)
        self.scheduler = Scheduler(self.cache, seats)
        self.history: list[Step] = []
        self._numbers = itertools.count()

    def submit(
        self,
        prompt: Iterable[int],
        *,
        max_new_tokens: int,
        stop_ids: Iterable[int] = (),
        choose: Callable[[Tensor], int] = best_token,
    ) -> Sequence:
        """Put a text into the queue; it begins with the next step that has room for it.

        Parameters
        ----------
        prompt : iterable of int
            At least one token.
        max_new_tokens : int
            Most tokens to write, at least 1.
        stop_ids : iterable of int
            The text ends with the first of them.
        choose : callable
            From logits ``(V,)`` to a token; the best one when left out.

        Returns
        -------
        Sequence
            Its ``written`` grows from step to step.

        Raises
        ------
        ValueError
            The prompt is empty, or the text could become longer than the context or the memory.
        """
        return self.submit_group(
            prompt, [choose], max_new_tokens=max_new_tokens, stop_ids=stop_ids
        )[0]

    def submit_group(
        self,
        prompt: Iterable[int],
        choosers: Iterable[Callable[[Tensor], int]],
        *,
        max_new_tokens: int,
        stop_ids: Iterable[int] = (),
    ) -> list[Sequence]:
        """Put several continuations of one prompt into the queue, one for each way to choose.

        The prompt is read once where the seats allow it, and its blocks are shared.
        """
        prompt, stops = list(prompt), tuple(stop_ids)
        self._check_size(prompt, max_new_tokens)
        group = []
        for choose in choosers:
            number = next(self._numbers)
            first = group[0].number if group else number
            group.append(Sequence(number, prompt, max_new_tokens, stops, choose, first))
        self.scheduler.waiting.extend(group)
        return group

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self.scheduler.running and not self.scheduler.waiting

    def run(self) -> None:
        """Step until nothing is left to write."""
        while not self.idle:
            self.step()

    def step(self) -> Step:
        """One token for every running sequence, those that begin included."""
        prefilled = shared = 0
        with evaluating(self.model), torch.inference_mode():
            preempted = self.scheduler.make_room()
            older = list(self.scheduler.running)
            # Who was sent back a moment ago would only be sent back again.
            while not preempted and (sequence := self.scheduler.admit()) is not None:
                logits = self._read([sequence])
                prefilled += len(sequence.tokens) - sequence.shared
                shared += sequence.shared
                siblings = self.scheduler.admit_siblings(sequence)
                shared += sum(sibling.shared for sibling in siblings)
                for one in (sequence, *siblings):
                    one.written.append(one.choose(logits[0]))
            if older:
                for sequence, scores in zip(older, self._read(older), strict=True):
                    sequence.written.append(sequence.choose(scores))
        used = self.cache.pool.num_used
        finished = tuple(one for one in self.scheduler.running if one.finished)
        for sequence in finished:
            self.scheduler.leave(sequence)
        record = Step(
            decoded=len(older),
            prefilled=prefilled,
            shared=shared,
            preempted=len(preempted),
            finished=finished,
            used_blocks=used,
        )
        self.history.append(record)
        return record

    def _read(self, batch: list[Sequence]) -> Tensor:
        """Read what each sequence has not read yet, equally many tokens: scores ``(B, V)``."""
        unread = [sequence.tokens[sequence.table.length :] for sequence in batch]
        view = self.cache.batch([sequence.table for sequence in batch], len(unread[0]))
        ids = torch.tensor(unread, device=view.slots.device)  # (B, T)
        hidden = self.model.hidden_states(ids, view.mask, positions=view.positions, cache=view)
        for sequence in batch:
            self.cache.written(sequence.table, sequence.tokens)
        return self.model.logits(hidden[:, -1])  # (B, D) -> (B, V)

    def _check_size(self, prompt: list[int], max_new_tokens: int) -> None:
        if not prompt or max_new_tokens < 1:
            raise ValueError(
                f"a prompt of {len(prompt)} tokens and max_new_tokens={max_new_tokens}: each must "
                "be at least 1; begin an empty text with a special token"
            )
        longest = len(prompt) + max_new_tokens
        room = self.cache.pool.num_blocks * self.cache.block_size
        limit = min(room, self.model.config.context_length)
        if longest > limit:
            raise ValueError(
                f"a prompt of {len(prompt)} and max_new_tokens={max_new_tokens} make {longest} "
                f"tokens, but the memory holds {room} and context_length="
                f"{self.model.config.context_length}: shorten the prompt or ask for fewer"
            )
