r"""N-gram language models: the next token from the last few, by counting.

.. math::

    P(w_1 \dots w_T) = \prod_t P(w_t \mid w_{t-n+1} \dots w_{t-1}), \qquad
    \text{cross-entropy} = -\frac{1}{T} \sum_t \log P(w_t \mid \dots), \qquad
    \text{perplexity} = e^{\text{cross-entropy}}

A context that was never seen, or a token never seen after it, would get no probability from plain
counts. A *smoothing* says what to do instead; four are here, as objects to hand to the model.

====================  ==========================================  ==================
code                  symbol                                      shape
====================  ==========================================  ==================
``order``             :math:`n`                                   one number
``context``           :math:`w_{t-n+1} \dots w_{t-1}`             ``n - 1`` numbers
``distribution``      :math:`P(\cdot \mid \text{context})`        ``(V,)``, sums to 1
``lower``             the same with one token less context        ``(V,)``
====================  ==========================================  ==================

Logarithms are natural (nats) unless a name says *bits*.

References: Shannon, "Prediction and entropy of printed English", Bell System Technical Journal 30,
1951; Chen and Goodman, "An empirical study of smoothing techniques for language modeling",
Computer Speech and Language 13, 1999; Jurafsky and Martin, "Speech and Language Processing",
chapter on n-gram language models.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .vocabulary import Vocabulary

__all__ = ["AddK", "Interpolated", "KneserNey", "NGramModel", "Smoothing", "WittenBell"]

START = -1  # stands before the first token; it is context only and never predicted

Context = tuple[int, ...]


@dataclass(frozen=True)
class Followers:
    """What was seen after one context: tokens, how often, and how often in all."""

    tokens: np.ndarray
    counts: np.ndarray
    total: int

    @classmethod
    def from_counter(cls, counter: Mapping[int, int]) -> Followers:
        """Store a counter as two arrays."""
        return cls(
            np.fromiter(counter.keys(), dtype=np.int64, count=len(counter)),
            np.fromiter(counter.values(), dtype=np.int64, count=len(counter)),
            sum(counter.values()),
        )


Table = Mapping[Context, Followers]


class Smoothing(Protocol):
    """Turns counts into a probability for every token."""

    def distribution(self, model: NGramModel, context: Context) -> np.ndarray:
        """Probabilities of all V tokens after ``context``."""


@dataclass(frozen=True)
class AddK:
    """Pretend that everything was seen ``k`` times more: ``(c + k) / (N + k V)``.

    ``k`` 1 is Laplace's rule. With ``k`` 0 these are the plain counts (an unseen context gives
    all tokens the same chance).
    """

    k: float = 1.0

    def __post_init__(self) -> None:
        if self.k < 0:
            raise ValueError(f"k is {self.k}; a count cannot fall below 0")

    def distribution(self, model: NGramModel, context: Context) -> np.ndarray:
        """Probabilities of all V tokens after ``context``."""
        seen = model.followers(context)
        if seen is None:
            return model.uniform()
        counts = np.full(len(model.vocabulary), float(self.k))
        counts[seen.tokens] += seen.counts
        return counts / (seen.total + self.k * len(counts))


@dataclass(frozen=True)
class Interpolated:
    """Mix each order with the next lower one: ``trust * c / N + (1 - trust) * lower``.

    Known as Jelinek–Mercer smoothing. A context never seen leaves everything to ``lower``; below
    single tokens lies the uniform distribution.
    """

    trust: float = 0.7

    def __post_init__(self) -> None:
        if not 0 < self.trust < 1:
            raise ValueError(f"trust is {self.trust}; it must lie between 0 and 1")

    def distribution(self, model: NGramModel, context: Context) -> np.ndarray:
        """Probabilities of all V tokens after ``context``."""
        mixed = model.uniform()
        for seen in model.levels(context):
            mixed *= 1 - self.trust
            mixed[seen.tokens] += self.trust * seen.counts / seen.total
        return mixed


@dataclass(frozen=True)
class WittenBell:
    """Trust a context by how seldom it surprised: ``(c + D * lower) / (N + D)``.

    ``D`` is how many different tokens followed: a context with many followers will have more.
    """

    def distribution(self, model: NGramModel, context: Context) -> np.ndarray:
        """Probabilities of all V tokens after ``context``."""
        mixed = model.uniform()
        for seen in model.levels(context):
            different = len(seen.tokens)
            mixed *= different / (seen.total + different)
            mixed[seen.tokens] += seen.counts / (seen.total + different)
        return mixed


@dataclass(frozen=True)
class KneserNey:
    """Take ``discount`` off every count; lower orders count contexts instead of occurrences.

    "Francisco" is frequent but follows one word only, so it is a poor guess after a new word: the
    lower orders ask after how many different tokens something was seen. Interpolated form, one
    discount for all orders.
    """

    discount: float = 0.75

    def __post_init__(self) -> None:
        if not 0 < self.discount < 1:
            raise ValueError(f"discount is {self.discount}; it must lie between 0 and 1")

    def distribution(self, model: NGramModel, context: Context) -> np.ndarray:
        """Probabilities of all V tokens after ``context``."""
        mixed = model.uniform()
        for seen in model.levels(context, continuations=True):
            mixed *= self.discount * len(seen.tokens) / seen.total
            mixed[seen.tokens] += (seen.counts - self.discount) / seen.total
        return mixed


class NGramModel:
    """Counts of n-grams and a smoothing.

    Parameters
    ----------
    order : int
        n: 1 looks at nothing, 2 at the last token, and so on.
    smoothing : Smoothing
        :class:`WittenBell` unless given.
    end : str, optional
        A token that ends every sequence and is predicted like any other. Sentences need one, or
        their lengths have no probability; an endless text, such as characters, does not.

    Examples
    --------
    "the" was followed by "cat" twice and by "dog" once:

    >>> model = NGramModel(2, AddK(0)).fit([line.split() for line in
    ...                                     ("the cat sat", "the cat ran", "the dog sat")])
    >>> round(model.probability("cat", ["the"]), 4)
    0.6667

    Characters are tokens too, and then bits per token are bits per character. By hand, with
    Witten-Bell: P(a | start) = (1 + 1/2) / 2 = 0.75 and P(b | a) = (4 + 1/2) / 5 = 0.9, and
    -(log2 0.75 + log2 0.9) / 2 = 0.28.

    >>> model = NGramModel(2).fit(["abababab"])
    >>> round(model.bits_per_token(["ab"]), 2)
    0.28
    """

    def __init__(
        self, order: int, smoothing: Smoothing | None = None, *, end: str | None = None
    ) -> None:
        if order < 1:
            raise ValueError(f"order {order}: an n-gram holds at least 1 token")
        self.order = order
        self.smoothing = smoothing or WittenBell()
        self.end = end

    def fit(
        self, sequences: Iterable[Sequence[str]], *, vocabulary: Vocabulary | None = None
    ) -> NGramModel:
        """Count. A plain string is a sequence of characters.

        Parameters
        ----------
        sequences : iterable of sequences of tokens
        vocabulary : Vocabulary, optional
            Tokens to know, made from the sequences unless given. To score text with tokens that
            were never seen, give one with an ``unknown`` token.
        """
        sequences = [self._ended(sequence) for sequence in sequences]
        self.vocabulary = vocabulary or Vocabulary(itertools.chain.from_iterable(sequences))
        if self.end is not None and self.end not in self.vocabulary:
            raise ValueError(f"the vocabulary lacks the end token {self.end!r}; add it")
        raw: list[dict[Context, Counter[int]]] = [defaultdict(Counter) for _ in range(self.order)]
        for sequence in sequences:
            for context, token in self._steps(self.vocabulary.encode(sequence)):
                for length in range(self.order):
                    raw[length][context[self.order - 1 - length :]][token] += 1
        self.tables: list[Table] = [_freeze(table) for table in raw]
        # For lower orders: after how many different tokens was this n-gram seen?
        self.continuations: list[Table] = [
            _freeze(_count_left_contexts(table)) for table in raw[1:]
        ]
        return self

    def followers(self, context: Context) -> Followers | None:
        """What was seen after a context of ``order - 1`` numbers, or None."""
        return self.tables[-1].get(context)

    def levels(self, context: Context, *, continuations: bool = False) -> Iterator[Followers]:
        """What was seen after longer and longer ends of a context, from none of it to all of it.

        Ends at the first that was never seen. With ``continuations`` all but the full context
        count different left neighbours instead of occurrences.
        """
        for length in range(self.order):
            lower = continuations and length < self.order - 1
            table = self.continuations[length] if lower else self.tables[length]
            seen = table.get(context[len(context) - length :])
            if seen is None:
                return
            yield seen

    def uniform(self) -> np.ndarray:
        """The same probability for every token, ``(V,)``."""
        return np.full(len(self.vocabulary), 1.0 / len(self.vocabulary))

    def next_distribution(self, prefix: Sequence[int]) -> np.ndarray:
        """Probabilities of all V tokens after a prefix of token numbers, ``(V,)``.

        A prefix shorter than the context counts as the beginning of a sequence.
        """
        length = self.order - 1
        tail = tuple(prefix[max(0, len(prefix) - length) :])
        context = (START,) * (length - len(tail)) + tail
        return self.smoothing.distribution(self, context)

    def probability(self, token: str, prefix: Sequence[str] = ()) -> float:
        """Probability of a token after a prefix of tokens."""
        distribution = self.next_distribution(self.vocabulary.encode(prefix))
        return float(distribution[self.vocabulary[token]])

    def log_probabilities(self, sequence: Sequence[str]) -> np.ndarray:
        """Natural logarithm of the probability of each token, and of the end if there is one."""
        steps = self._steps(self.vocabulary.encode(self._ended(sequence)))
        chances = [self.smoothing.distribution(self, context)[token] for context, token in steps]
        with np.errstate(divide="ignore"):
            return np.log(np.array(chances, dtype=np.float64))

    def cross_entropy(self, sequences: Iterable[Sequence[str]]) -> float:
        """Mean of ``-log P`` over all tokens of some sequences, in nats per token."""
        found = [self.log_probabilities(sequence) for sequence in sequences]
        tokens = sum(map(len, found))
        if tokens == 0:
            raise ValueError("the cross-entropy of no tokens is not defined; give some text")
        return -sum(float(part.sum()) for part in found) / tokens

    def perplexity(self, sequences: Iterable[Sequence[str]]) -> float:
        """``exp`` of the cross-entropy: as hard as choosing among so many equal tokens."""
        return math.exp(self.cross_entropy(sequences))

    def bits_per_token(self, sequences: Iterable[Sequence[str]]) -> float:
        """Cross-entropy in bits; for a model of characters these are bits per character."""
        return self.cross_entropy(sequences) / math.log(2)

    def generate(
        self, length: int, *, generator: np.random.Generator, prefix: Sequence[str] = ()
    ) -> list[str]:
        """Draw up to ``length`` tokens after ``prefix``; stops at the end token.

        Examples
        --------
        >>> model = NGramModel(2, AddK(0)).fit(["abcabcabc"])
        >>> "".join(model.generate(7, generator=np.random.default_rng(0)))
        'abcabca'
        """
        numbers = self.vocabulary.encode(prefix)
        drawn: list[str] = []
        for _ in range(length):
            chances = self.next_distribution(numbers)
            numbers.append(int(generator.choice(len(chances), p=chances)))
            token = self.vocabulary.tokens[numbers[-1]]
            if token == self.end:
                break
            drawn.append(token)
        return drawn

    def _ended(self, sequence: Sequence[str]) -> list[str]:
        return [*sequence] if self.end is None else [*sequence, self.end]

    def _steps(self, numbers: Sequence[int]) -> Iterator[tuple[Context, int]]:
        """Each token with the ``order - 1`` numbers before it."""
        length = self.order - 1
        padded = (START,) * length + tuple(numbers)
        for i, token in enumerate(numbers):
            yield padded[i : i + length], token


def _freeze(table: Mapping[Context, Mapping[int, int]]) -> Table:
    return {context: Followers.from_counter(counter) for context, counter in table.items()}


def _count_left_contexts(table: Mapping[Context, Mapping[int, int]]) -> dict[Context, Counter[int]]:
    """For each n-gram without its first token: how many different first tokens it had."""
    found: dict[Context, Counter[int]] = defaultdict(Counter)
    for context, counter in table.items():
        found[context[1:]].update(counter.keys())
    return found
