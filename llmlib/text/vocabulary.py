"""Words and their numbers: the table that every model of text begins with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

__all__ = ["Vocabulary"]


class Vocabulary:
    """Distinct tokens with their counts, in order of falling count, then of the alphabet.

    Parameters
    ----------
    counts : mapping of token to count, or iterable of tokens
        What to number.
    min_count : int
        Leave out tokens that are rarer.
    unknown : str, optional
        A token that stands for all others. It gets number 0 and the counts of what it replaces.
        Without it, an unknown token is an error in :meth:`encode`.

    Examples
    --------
    >>> vocabulary = Vocabulary("to be or not to be".split())
    >>> vocabulary.tokens
    ('be', 'to', 'not', 'or')
    >>> vocabulary.encode(["not", "to"])
    [2, 1]
    >>> int(vocabulary.counts[vocabulary["be"]])
    2
    >>> Vocabulary("a a b".split(), min_count=2, unknown="<unk>").encode(["a", "b", "c"])
    [1, 0, 0]
    """

    def __init__(
        self,
        counts: Counter[str] | Iterable[str],
        *,
        min_count: int = 1,
        unknown: str | None = None,
    ) -> None:
        counter = Counter(counts)
        kept = {token: n for token, n in counter.items() if n >= min_count and token != unknown}
        ordered = sorted(kept, key=lambda token: (-kept[token], token))
        if unknown is not None:
            ordered.insert(0, unknown)
            kept[unknown] = sum(counter.values()) - sum(kept.values())
        if not ordered:
            raise ValueError(
                f"no token occurs {min_count} times or more; lower min_count or give more text"
            )
        self.tokens: tuple[str, ...] = tuple(ordered)
        self.counts: np.ndarray = np.array([kept[token] for token in ordered], dtype=np.int64)
        self.unknown = unknown
        self._number = {token: i for i, token in enumerate(ordered)}

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._number

    def __getitem__(self, token: str) -> int:
        """Return the number of a token, or of ``unknown`` where there is one."""
        number = self._number.get(token)
        if number is None:
            if self.unknown is None:
                raise KeyError(f"{token!r} is not among the {len(self)} tokens of the vocabulary")
            number = self._number[self.unknown]
        return number

    def encode(self, tokens: Iterable[str], *, skip_unknown: bool = False) -> list[int]:
        """Numbers of some tokens; ``skip_unknown`` leaves out what is not in the vocabulary."""
        if skip_unknown:
            return [self._number[token] for token in tokens if token in self._number]
        return [self[token] for token in tokens]

    def decode(self, numbers: Sequence[int]) -> list[str]:
        """Tokens of some numbers."""
        return [self.tokens[number] for number in numbers]
