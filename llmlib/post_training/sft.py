r"""Supervised fine-tuning: the next token again, but only the assistant's tokens are learned.

.. math::

   \mathcal L = -\frac{\sum_t m_t \log \pi(x_t \mid x_{<t})}{\sum_t m_t}

================  ===============  ==============================================
code              symbol           shape
================  ===============  ==============================================
``ids``           :math:`x`        ``(B, T)``
``learned``       :math:`m`        ``(T,)`` of a conversation, booleans
``targets``       :math:`x_{t+1}`  ``(B, T)``; -100 where :math:`m_{t+1}` is 0
``documents``                      ``(B, T)``: whose token it is; -1 at padding
================  ===============  ==============================================

Where replies are stories of a hundred tokens and answers of two, the answers hardly count in this
mean. With a *balance* :math:`\alpha` a token of a reply of n tokens weighs :math:`n^{-\alpha}`: 0
is the mean over tokens, 1 the mean over replies.

Conversations of different lengths share the rows of a batch (*packing*). What keeps them apart:
a token attends only to tokens of its own conversation, positions begin anew in each, and the last
token of one never has the first of the next as its target.

References
----------
1. Ouyang et al., *Training Language Models to Follow Instructions with Human Feedback*, 2022,
   arXiv:2203.02155.

Differs from there in what is learned: the replies of every turn, not of the last alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

import numpy as np
import torch

from llmlib.data.packing import fill_rows, pack_documents
from llmlib.tokenizers import ChatTemplate, Tokenizer
from llmlib.tokenizers.chat import EncodedChat
from llmlib.training import Batch

__all__ = ["ChatBatches", "emphasised", "pack_chats", "reply_weights", "shift_targets"]

IGNORED = -100
Messages = Sequence[Mapping[str, str]]


def shift_targets(ids: Sequence[int], learned: Sequence[bool]) -> list[int]:
    """What each token is to predict: the next one where that is learned, else -100.

    Parameters
    ----------
    ids, learned
        ``(T,)``, as :meth:`~llmlib.tokenizers.ChatTemplate.encode` gives them.

    Returns
    -------
    list of int
        ``(T - 1,)``; the last token predicts nothing. The mask moves with the tokens: a token is
        learned *at the place before it*.

    Examples
    --------
    >>> shift_targets([7, 8, 9, 7], [False, False, True, True])
    [-100, 9, 7]
    """
    if len(ids) != len(learned):
        raise ValueError(f"{len(ids)} tokens, but {len(learned)} entries that say what is learned")
    return [i if one else IGNORED for i, one in zip(ids[1:], learned[1:], strict=True)]


def reply_weights(learned: Sequence[bool], balance: float) -> list[float]:
    """How much each learned token counts, by the length of its reply.

    Parameters
    ----------
    learned : sequence of bool
        ``(T,)``.
    balance : float
        From 0, all tokens alike, to 1, all replies alike.

    Returns
    -------
    list of float
        ``(T,)``, 0 at tokens that are not learned.

    Examples
    --------
    >>> reply_weights([False, True, True, True, True, False, True], balance=0.5)
    [0.0, 0.5, 0.5, 0.5, 0.5, 0.0, 1.0]
    """
    weights = list[float]()
    for is_learned, run in groupby(learned):
        size = len(list(run))
        weights += [size**-balance if is_learned else 0.0] * size
    return weights


def emphasised(
    weights: Sequence[float], ids: Sequence[int], words: Iterable[Sequence[int]], factor: float
) -> list[float]:
    """Weights that are ``factor`` times as large wherever one of some words stands.

    Parameters
    ----------
    weights, ids
        ``(T,)`` each.
    words : iterable of sequences of int
        Tokens of each word.
    factor : float
        1 changes nothing.

    Returns
    -------
    list of float
        ``(T,)``.

    Examples
    --------
    >>> emphasised([1.0, 0.5, 0.5, 0.0], [7, 8, 9, 9], [[8, 9], [9]], 4.0)
    [1.0, 2.0, 2.0, 0.0]
    """
    ids, found = list(ids), set[int]()
    for word in words:
        for start in range(len(ids) - len(word) + 1):
            if ids[start : start + len(word)] == list(word):
                found.update(range(start, start + len(word)))
    return [w * factor if t in found else w for t, w in enumerate(weights)]


def pack_chats(
    chats: Sequence[EncodedChat],
    length: int,
    *,
    padding_id: int = 0,
    weights: Sequence[Sequence[float]] | None = None,
) -> Batch:
    """Conversations, packed into as few rows as they need.

    Parameters
    ----------
    chats : sequence of EncodedChat
        None longer than ``length + 1`` tokens: the last one is only a target.
    length : int
        Tokens of a row, T.
    padding_id : int
        Fills the rest of a row.
    weights : sequence of sequences of float, optional
        How much each token of each conversation counts, for example from :func:`reply_weights`;
        all that are learned alike when left out.

    Returns
    -------
    Batch
        ``ids``, ``targets`` and ``documents``, ``(B, T)`` each; ``weights`` too where given.

    Raises
    ------
    ValueError
        A conversation is too long.

    Examples
    --------
    >>> chats = [EncodedChat([7, 8, 7], [False, True, True]), EncodedChat([7, 9], [False, True])]
    >>> batch = pack_chats(chats, length=6)
    >>> batch.ids
    tensor([[7, 8, 7, 7, 9, 0]])
    >>> batch.targets  # the 7 that ends the first does not predict the 7 that begins the second
    tensor([[   8,    7, -100,    9, -100, -100]])
    >>> batch.documents
    tensor([[ 0,  0,  0,  1,  1, -1]])
    """
    room = length + 1
    groups = pack_documents([len(chat.ids) for chat in chats], room)
    # The first token of a conversation is predicted by nothing, whatever the mask says of it.
    learned = [[False, *chat.learned[1:]] for chat in chats]
    owners = [[number] * len(chat.ids) for number, chat in enumerate(chats)]
    ids = fill_rows(groups, [chat.ids for chat in chats], room, padding_id=padding_id)
    counted = fill_rows(groups, learned, room, padding_id=False)
    numbers = fill_rows(groups, owners, room, padding_id=-1)
    targets = np.where(counted[:, 1:] == 1, ids[:, 1:], IGNORED)
    made = {"ids": ids[:, :-1], "targets": targets, "documents": numbers[:, :-1]}
    if weights is not None:
        counts = np.zeros(ids.shape, dtype=np.float32)
        for row, group in zip(counts, groups, strict=True):
            joined = [weight for number in group for weight in weights[number]]
            row[: len(joined)] = joined
        made["weights"] = counts[:, 1:]
    return Batch(**{name: torch.from_numpy(array.copy()) for name, array in made.items()})


class ChatBatches:
    """Batches of conversations for :class:`~llmlib.training.Trainer`.

    Parameters
    ----------
    draw : callable
        Number of a batch -> its conversations, each a list of ``{"role", "content"}``; always the
        same for the same number.
    tokenizer : Tokenizer
        Has the marks of the template as special tokens.
    length : int
        Tokens of a row. Of a conversation that is longer, turns at the end are left out.
    template : ChatTemplate
        How conversations are written.
    balance : float
        As for :func:`reply_weights`.
    emphasis : float
        How many times as much the words count that a turn lists under ``wanted``: what was asked
        for. They are few among the tokens of a long reply.
    facts_from : int, optional
        Batch from which the words under ``facts`` count as much: all people, things and places of
        a reply. Until then a model hardly looks at what was asked for; and from then on it must
        not say it everywhere.

    Examples
    --------
    >>> from llmlib.tokenizers import BPETokenizer
    >>> marks = ["<|end|>", "<|user|>", "<|assistant|>"]
    >>> tokenizer = BPETokenizer.train([], 259, special_tokens=marks)
    >>> turns = [{"role": "user", "content": "2+3?"}, {"role": "assistant", "content": "5"}]
    >>> batch = ChatBatches(lambda number: [turns] * 3, tokenizer, length=20).batch(0)
    >>> batch.ids.shape, int((batch.targets != -100).sum())  # 5 and <|end|>, three times
    (torch.Size([2, 20]), 6)
    """

    def __init__(
        self,
        draw: Callable[[int], Sequence[Messages]],
        tokenizer: Tokenizer,
        *,
        length: int,
        template: ChatTemplate | None = None,
        balance: float = 0.0,
        emphasis: float = 1.0,
        facts_from: int | None = None,
    ) -> None:
        self.balance, self.emphasis, self.facts_from = balance, emphasis, facts_from
        self.draw, self.tokenizer, self.length = draw, tokenizer, length
        self.template = template or ChatTemplate()

    def batch(self, number: int) -> Batch:
        """Batch ``number``."""
        drawn = self.draw(number)
        chats = [self._encoded(turns) for turns in drawn]
        if not self.balance and self.emphasis == 1:
            return pack_chats(chats, self.length)
        everything = self.facts_from is not None and number >= self.facts_from
        weights = [
            self._weights(chat, turns, "facts" if everything else "wanted")
            for chat, turns in zip(chats, drawn, strict=True)
        ]
        return pack_chats(chats, self.length, weights=weights)

    def _weights(self, chat: EncodedChat, turns: Messages, listed: str) -> list[float]:
        weights = reply_weights(chat.learned, self.balance)
        if self.emphasis == 1:
            return weights
        words = {word for turn in turns for word in turn.get(listed, ())}
        # A word is written in another way after a space than at the beginning.
        spelled = [self.tokenizer.encode(text) for word in words for text in (word, f" {word}")]
        return emphasised(weights, chat.ids, spelled, self.emphasis)

    def _encoded(self, turns: Messages) -> EncodedChat:
        chat = self.template.encode(self.tokenizer, turns)
        while len(chat.ids) > self.length + 1:
            replies = [i for i, turn in enumerate(turns[:-1]) if turn["role"] == "assistant"]
            if not replies:
                raise ValueError(
                    f"a conversation has {len(chat.ids)} tokens up to its first reply, but a row "
                    f"holds {self.length + 1}: shorten it, or make the rows longer"
                )
            turns = turns[: replies[-1] + 1]
            chat = self.template.encode(self.tokenizer, turns)
        return chat
