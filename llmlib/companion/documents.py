"""What the companion reads: documents of several kinds, made as they are needed.

Nothing is stored. Batch number n is drawn by a generator that is seeded with n, so every batch can
be made at any time, and no story comes twice but by chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from llmlib.data.packing import fill_rows, pack_documents
from llmlib.data.stories import generate_stories
from llmlib.tokenizers import Tokenizer
from llmlib.training import Batch

__all__ = ["END", "KINDS", "Document", "DocumentBatches"]

#: Begins and ends every document.
END = "<|end|>"
IGNORED = -100


@dataclass(frozen=True)
class Document:
    """Tokens, and from where on they are learned.

    Parameters
    ----------
    ids : list of int
        Tokens; the first is :data:`END`.
    learned_from : int
        Place of the first token that the model is to predict.
    """

    ids: list[int]
    learned_from: int = 1


def stories(tokenizer: Tokenizer, rng: np.random.Generator, split: str) -> Iterator[Document]:
    """Stories, whole."""
    end = tokenizer.special_tokens[END]
    for story in generate_stories(2**31, seed=int(rng.integers(2**62)), split=split):
        yield Document([end, *tokenizer.encode(story.text), end])


def copying(tokenizer: Tokenizer, rng: np.random.Generator, split: str) -> Iterator[Document]:
    """Random tokens written twice; the second time is learned.

    Nothing but looking back predicts the second time, so this makes the model learn to look back.
    """
    end = tokenizer.special_tokens[END]
    while True:
        segment = rng.integers(tokenizer.vocab_size, size=rng.integers(8, 64)).tolist()
        segment = [token for token in segment if token != end]
        yield Document([end, *segment, *segment, end], learned_from=1 + len(segment))


#: Kind of document -> who makes it.
KINDS = {"stories": stories, "copying": copying}


class DocumentBatches:
    """Batches of a fixed number of documents, packed into as few rows as they need.

    Every document that is drawn is in the batch: leaving out those that fit badly would show the
    model another world, one of stories that fit well.

    Parameters
    ----------
    tokenizer : Tokenizer
        Knows :data:`END`.
    mixture : dict
        Kind of document to its share of the documents.
    documents : int
        Documents of a batch.
    length : int
        Tokens of a row.
    split : str
        ``"train"``, ``"validation"`` or ``"test"``.
    seed : int
        Of everything drawn.

    Raises
    ------
    ValueError
        A kind is not known, or the shares do not sum to one.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        mixture: dict[str, float],
        *,
        documents: int,
        length: int,
        split: str = "train",
        seed: int = 0,
    ) -> None:
        unknown = sorted(set(mixture) - set(KINDS))
        if unknown:
            raise ValueError(f"no such kind of document: {unknown}; there are {sorted(KINDS)}")
        if abs(sum(mixture.values()) - 1) > 1e-9:
            raise ValueError(f"the shares {mixture} sum to {sum(mixture.values())}, not to 1")
        self.tokenizer, self.mixture, self.number = tokenizer, mixture, documents
        self.length, self.split, self.seed = length, split, seed

    def documents(self, number: int) -> dict[str, list[Document]]:
        """The documents of a batch, by kind."""
        rng = np.random.default_rng([self.seed, number])
        kinds = rng.choice(list(self.mixture), size=self.number, p=list(self.mixture.values()))
        drawn = {}
        for kind in self.mixture:
            source = KINDS[kind](
                self.tokenizer, np.random.default_rng(rng.integers(2**62)), self.split
            )
            drawn[kind] = list(islice(source, int((kinds == kind).sum())))
        return drawn

    def batch(self, number: int) -> Batch:
        """Batch ``number``: a row more where that makes their number even, for two processes."""
        documents = [document for kind in self.documents(number).values() for document in kind]
        room = self.length + 1  # the last token of a row is only a target
        sizes = [len(document.ids) for document in documents]
        groups = pack_documents(sizes, room)
        groups += [[]] * (len(groups) % 2)
        learned = [
            [False] * document.learned_from + [True] * (size - document.learned_from)
            for document, size in zip(documents, sizes, strict=True)
        ]
        owners = [[i] * size for i, size in enumerate(sizes)]
        ids = fill_rows(groups, [document.ids for document in documents], room, padding_id=0)
        counted = fill_rows(groups, learned, room, padding_id=False)
        numbers = fill_rows(groups, owners, room, padding_id=-1)
        targets = np.where(counted[:, 1:] == 1, ids[:, 1:], IGNORED)
        made = {"ids": ids[:, :-1], "targets": targets, "documents": numbers[:, :-1]}
        return Batch(**{name: torch.from_numpy(array.copy()) for name, array in made.items()})
