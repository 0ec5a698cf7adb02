"""Pairs of answers as batches: what a reward model and DPO learn from.

Each answer is a conversation of its own: the prompt as the user's turn, the answer as the
assistant's. The two sides of a batch are padded on the right, each to its own longest text.

==============  ===============================================  ====================
code            what it is                                       shape
==============  ===============================================  ====================
``ids``         tokens of a whole conversation                   ``(B, T)``
``targets``     the token after each, where the assistant wrote  ``(B, T)``
                it; -100 elsewhere
``mask``        True at real tokens                              ``(B, T)``
==============  ===============================================  ====================
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from llmlib.data import PreferencePair, preference_pairs
from llmlib.tokenizers import ChatTemplate, Tokenizer
from llmlib.training import Batch

__all__ = ["PreferenceBatch", "PreferenceBatches", "answer_batch", "pair_batch"]

IGNORED = -100


@dataclass(frozen=True)
class PreferenceBatch:
    """Answers that were chosen, and in the same rows those that were rejected.

    Parameters
    ----------
    chosen, rejected : Batch
        ``ids``, ``targets`` and ``mask``, each ``(B, T)``; their widths may differ.

    Examples
    --------
    >>> side = Batch(ids=torch.ones(4, 3), targets=torch.ones(4, 3))
    >>> batch = PreferenceBatch(side, side)
    >>> len(batch), batch.rows(0, 1).chosen.ids.shape, batch.counted
    (4, torch.Size([1, 3]), tensor(4))
    """

    chosen: Batch
    rejected: Batch

    def __len__(self) -> int:
        return len(self.chosen.ids)

    def rows(self, start: int, stop: int) -> PreferenceBatch:
        """Some of the pairs."""
        return PreferenceBatch(self.chosen.rows(start, stop), self.rejected.rows(start, stop))

    def to(self, device: torch.device | str) -> PreferenceBatch:
        """The same on another device."""
        return PreferenceBatch(self.chosen.to(device), self.rejected.to(device))

    @property
    def counted(self) -> Tensor:
        """Pairs: what the mean loss is divided by."""
        return torch.tensor(len(self), device=self.chosen.ids.device)

    @property
    def texts(self) -> tuple[Batch, Batch]:
        """Both sides."""
        return (self.chosen, self.rejected)

    @property
    def joined(self) -> Batch:
        """Both sides below each other, ``(2 B, T)``: one pass reads them all."""
        width = max(side.ids.shape[1] for side in self.texts)

        def both(name: str, filler: int | bool) -> Tensor:
            sides = [getattr(side, name) for side in self.texts]
            return torch.cat([pad(t, (0, width - t.shape[1]), value=filler) for t in sides])

        return Batch(ids=both("ids", 0), targets=both("targets", IGNORED), mask=both("mask", False))


def answer_batch(
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    answers: Sequence[str],
    template: ChatTemplate | None = None,
) -> Batch:
    """Prompts and answers as conversations, padded on the right.

    Parameters
    ----------
    tokenizer : Tokenizer
        Knows the marks of the template.
    prompts, answers : sequence of str
        What the user says, and what the assistant.
    template : ChatTemplate, optional
        The companion's when left out.

    Returns
    -------
    Batch
        ``ids``, ``targets`` and ``mask``, each ``(B, T)``. Only the answer and the mark that ends
        it are targets. A text that ends is read up to this mark.

    Examples
    --------
    >>> from llmlib.tokenizers import BPETokenizer
    >>> marks = ["<|end|>", "<|user|>", "<|assistant|>"]
    >>> tokenizer = BPETokenizer.train([], 259, special_tokens=marks)
    >>> batch = answer_batch(tokenizer, ["Hi?", "Hello?"], ["Ho", "Oh."])
    >>> batch.ids.shape, batch.mask.sum(1)
    (torch.Size([2, 14]), tensor([10, 14]))
    >>> tokenizer.decode(batch.targets[0][batch.targets[0] >= 0].tolist())
    'Ho<|end|>'
    """
    template = ChatTemplate() if template is None else template
    chats = [
        template.encode(
            tokenizer,
            [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer.strip()}],
        )
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    width = max(len(chat.ids) for chat in chats)
    ids = torch.zeros(len(chats), width, dtype=torch.int64)
    targets = torch.full_like(ids, IGNORED)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for row, chat in enumerate(chats):
        size = len(chat.ids)
        ids[row, :size] = torch.tensor(chat.ids)
        mask[row, :size] = True
        learned = torch.tensor(chat.learned[1:])
        targets[row, : size - 1] = ids[row, 1:size].where(learned, IGNORED)
    return Batch(ids=ids, targets=targets, mask=mask)


def pair_batch(
    tokenizer: Tokenizer, pairs: Sequence[PreferencePair], template: ChatTemplate | None = None
) -> PreferenceBatch:
    """Pairs as a batch; arguments as for :func:`answer_batch`.

    Examples
    --------
    >>> from llmlib.tokenizers import BPETokenizer
    >>> marks = ["<|end|>", "<|user|>", "<|assistant|>"]
    >>> tokenizer = BPETokenizer.train([], 259, special_tokens=marks)
    >>> len(pair_batch(tokenizer, list(preference_pairs(3))))
    3
    """
    prompts = [pair.instruction.prompt for pair in pairs]
    return PreferenceBatch(
        answer_batch(tokenizer, prompts, [pair.chosen for pair in pairs], template),
        answer_batch(tokenizer, prompts, [pair.rejected for pair in pairs], template),
    )


class PreferenceBatches:
    """Batches of preference pairs: drawn anew for every batch, or from a list, in epochs.

    Parameters
    ----------
    tokenizer : Tokenizer
        Knows the marks of the template.
    size : int
        Pairs B of a batch.
    pairs : sequence of PreferencePair, optional
        To learn from, in a new order every epoch. When left out, batch number n is drawn by a
        generator that is seeded with n, and no pair comes twice but by chance.
    seed : int
        Of the pairs that are drawn, or of the order.
    split : str
        From which pairs are drawn.
    template : ChatTemplate, optional
        The companion's when left out.

    Raises
    ------
    ValueError
        A batch has no pair, or the list has fewer than a batch.

    Examples
    --------
    >>> from llmlib.tokenizers import BPETokenizer
    >>> marks = ["<|end|>", "<|user|>", "<|assistant|>"]
    >>> tokenizer = BPETokenizer.train([], 259, special_tokens=marks)
    >>> source = PreferenceBatches(tokenizer, size=2)
    >>> one, again, other = source.batch(0), source.batch(0), source.batch(1)
    >>> torch.equal(one.chosen.ids, again.chosen.ids)
    True
    >>> one.chosen.ids.shape == other.chosen.ids.shape
    False
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        size: int,
        pairs: Sequence[PreferencePair] | None = None,
        seed: int = 0,
        split: str = "train",
        template: ChatTemplate | None = None,
    ) -> None:
        if size < 1:
            raise ValueError(f"size={size}: a batch needs at least 1 pair")
        if pairs is not None and len(pairs) < size:
            raise ValueError(f"{len(pairs)} pairs, but a batch takes {size}: give more pairs")
        self.tokenizer, self.size, self.seed, self.split = tokenizer, size, seed, split
        self._fixed = None if pairs is None else list(pairs)
        self.template = template

    def pairs(self, number: int) -> list[PreferencePair]:
        """The pairs of a batch."""
        if self._fixed is None:
            mixed = hashlib.blake2b(f"{self.seed}/{number}".encode(), digest_size=7).digest()
            seed = int.from_bytes(mixed, "big")
            return list(preference_pairs(self.size, seed=seed, split=self.split))
        batches = len(self._fixed) // self.size  # what does not fill a batch waits an epoch
        epoch, place = divmod(number, batches)
        order = list(range(len(self._fixed)))
        random.Random(f"{self.seed} {epoch}").shuffle(order)
        chosen = order[place * self.size : (place + 1) * self.size]
        return [self._fixed[i] for i in chosen]

    def batch(self, number: int) -> PreferenceBatch:
        """Batch ``number``."""
        return pair_batch(self.tokenizer, self.pairs(number), self.template)
