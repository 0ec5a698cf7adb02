r"""Documents of different lengths into rows of one length.

A model reads batches that are rectangles of ``length`` tokens; documents are of any length. Three
ways to fill the rectangle, and what each wastes:

==========================  ====================================================================
:func:`pad_documents`       one document a row; the rest of the row is padding
:func:`cut_into_blocks`     all documents joined and cut; no padding, but documents are torn
:func:`pack_documents`      whole documents together in a row, the longest first, each where it
                            fits best; little padding, nothing torn
==========================  ====================================================================

In a row with several documents, a token must not look into a document that is not its own:
:func:`document_numbers` says which is whose, and the models take it as ``documents``.

References
----------
1. Krell et al., *Efficient Sequence Packing without Cross-contamination*, 2021, arXiv:2107.02027.
2. Ding et al., *Fewer Truncations Improve Language Modeling*, ICML 2024, arXiv:2404.10830
   (best-fit packing).
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence

import numpy as np

__all__ = [
    "batches_by_length",
    "cut_into_blocks",
    "document_numbers",
    "fill_rows",
    "pack_documents",
    "pad_documents",
    "padding_share",
]


def cut_into_blocks(documents: Iterable[Sequence[int]], length: int) -> np.ndarray:
    """All documents joined and cut every ``length`` tokens; an incomplete last block is left out.

    Returns
    -------
    numpy.ndarray
        ``(blocks, length)``, integers.

    Examples
    --------
    >>> cut_into_blocks([[1, 2, 0], [3, 4, 5, 0]], 3)
    array([[1, 2, 0],
           [3, 4, 5]])
    """
    _check_length(length)
    joined = np.array([i for document in documents for i in document], dtype=np.int64)
    return joined[: len(joined) // length * length].reshape(-1, length)


def pack_documents(lengths: Sequence[int], length: int) -> list[list[int]]:
    """Which documents share a row: best fit, the longest first.

    Each document goes into the row in which the least room is left over, or begins a new one. The
    rows needed are at most 11/9 of the best possible number, but for a constant (Johnson 1974).

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each document.
    length : int
        Tokens of a row.

    Returns
    -------
    list of list of int
        For each row, the numbers of its documents in ascending order; rows in the order of their
        first document.

    Raises
    ------
    ValueError
        A document is empty, or longer than a row.

    Examples
    --------
    >>> pack_documents([3, 6, 5, 4, 2], 10)
    [[0, 2, 4], [1, 3]]
    """
    _check_length(length)
    for number, size in enumerate(lengths):
        if not 0 < size <= length:
            raise ValueError(
                f"document {number} has {size} tokens, but a row holds 1 to {length}: cut it, or "
                "make the rows longer"
            )
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens left, row), sorted
    for number in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        place = bisect.bisect_left(room, (lengths[number], -1))
        if place == len(room):
            rows.append([])
            left, row = length, len(rows) - 1
        else:
            left, row = room.pop(place)
        rows[row].append(number)
        bisect.insort(room, (left - lengths[number], row))
    return sorted(sorted(row) for row in rows)


def fill_rows(
    groups: Sequence[Sequence[int]],
    documents: Sequence[Sequence[int]],
    length: int,
    *,
    padding_id: int,
) -> np.ndarray:
    """Rows of tokens, each from the documents of its group, filled up on the right.

    Parameters
    ----------
    groups : sequence of sequence of int
        For each row, the numbers of its documents, as :func:`pack_documents` gives them.
    documents : sequence of sequence of int
        Token ids.
    length : int
        Tokens of a row.
    padding_id : int
        Fills the rest of a row.

    Returns
    -------
    numpy.ndarray
        ``(rows, length)``, integers.

    Raises
    ------
    ValueError
        The documents of a group are longer than a row.

    Examples
    --------
    >>> fill_rows([[0, 1], [2]], [[5, 6], [7], [8, 9]], 4, padding_id=0)
    array([[5, 6, 7, 0],
           [8, 9, 0, 0]])
    """
    _check_length(length)
    rows = np.full((len(groups), length), padding_id, dtype=np.int64)
    for row, group in zip(rows, groups, strict=True):
        joined = [token for number in group for token in documents[number]]
        if len(joined) > length:
            raise ValueError(
                f"the documents {list(group)} have {len(joined)} tokens together, but a row holds "
                f"{length}: choose the groups with pack_documents"
            )
        row[: len(joined)] = joined
    return rows


def pad_documents(
    documents: Sequence[Sequence[int]], length: int, *, padding_id: int
) -> np.ndarray:
    """One document a row, filled up on the right.

    Parameters
    ----------
    documents : sequence of sequence of int
        Token ids.
    length : int
        Tokens of a row.
    padding_id : int
        Fills the rest.

    Returns
    -------
    numpy.ndarray
        ``(documents, length)``, integers.

    Raises
    ------
    ValueError
        A document is longer than a row.

    Examples
    --------
    >>> pad_documents([[5, 6], [7]], 3, padding_id=0)
    array([[5, 6, 0],
           [7, 0, 0]])
    """
    return fill_rows([[i] for i in range(len(documents))], documents, length, padding_id=padding_id)


def document_numbers(ids: np.ndarray, end_id: int) -> np.ndarray:
    """For each token of a row, the number of its document in the row, counted from 0.

    Parameters
    ----------
    ids : numpy.ndarray
        ``(rows, length)``: documents that each end with ``end_id``.
    end_id : int
        Belongs to the document that it ends.

    Returns
    -------
    numpy.ndarray
        ``(rows, length)``, integers. Two tokens may attend to each other when their numbers are
        equal.

    Examples
    --------
    >>> document_numbers(np.array([[5, 6, 0, 7, 0, 8]]), end_id=0)
    array([[0, 0, 0, 1, 1, 2]])
    """
    ends = np.cumsum(ids == end_id, axis=1)  # ends up to and with each token
    return ends - (ids == end_id)


def batches_by_length(lengths: Sequence[int], max_tokens: int, *, seed: int = 0) -> list[list[int]]:
    """Batches of documents of like length, each of at most ``max_tokens`` tokens with padding.

    Short documents make large batches, long ones small ones: dynamic batching. The order of the
    batches is drawn, and so is that of documents of one length; else the model would see all
    short ones first.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each document.
    max_tokens : int
        Documents times the longest of them, at most.
    seed : int
        Of both orders.

    Returns
    -------
    list of list of int
        Numbers of the documents of each batch.

    Raises
    ------
    ValueError
        A document alone is over the limit.

    Examples
    --------
    >>> batches = batches_by_length([2, 9, 3, 8, 2, 3], 18)
    >>> sorted(sorted(batch) for batch in batches)
    [[0, 2, 4, 5], [1, 3]]
    """
    if lengths and max(lengths) > max_tokens:
        raise ValueError(
            f"a document has {max(lengths)} tokens, but max_tokens={max_tokens}: cut it, or allow "
            "larger batches"
        )
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(lengths)).tolist()
    batches: list[list[int]] = []
    for number in sorted(shuffled, key=lambda i: lengths[i]):  # keeps the drawn order of equals
        if not batches or (len(batches[-1]) + 1) * lengths[number] > max_tokens:
            batches.append([])
        batches[-1].append(number)
    return [batches[i] for i in rng.permutation(len(batches))]


def padding_share(ids: np.ndarray, padding_id: int) -> float:
    """Share of tokens that are padding.

    >>> padding_share(np.array([[5, 6, 0, 0], [7, 0, 0, 0]]), padding_id=0)
    0.625
    """
    return float((ids == padding_id).mean())


def _check_length(length: int) -> None:
    if length < 1:
        raise ValueError(f"length={length}: a row needs at least one token")
