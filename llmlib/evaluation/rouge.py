r"""ROUGE: how much of a reference summary a summary recalls.

ROUGE-N counts common n-grams, ROUGE-L the longest common subsequence (LCS):

.. math::

   R = \frac{\text{common}}{\text{in the target}}, \qquad
   P = \frac{\text{common}}{\text{in the prediction}}, \qquad
   F = \frac{2 P R}{P + R}

References
----------
1. Lin, *ROUGE: A Package for Automatic Evaluation of Summaries*, 2004.

**Differs from the paper in** the F-measure, which weighs precision and recall alike, and in that
there is no stemming (the package ``rouge-score`` with its defaults does the same).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

__all__ = ["RougeScore", "rouge_l", "rouge_n"]


class RougeScore(NamedTuple):
    """Three numbers between 0 and 1."""

    precision: float
    recall: float
    fmeasure: float


def rouge_n(target: str, prediction: str, n: int = 2) -> RougeScore:
    """ROUGE-N: n-grams of the prediction that stand in the target.

    Parameters
    ----------
    target : str
        The reference summary.
    prediction : str
        The summary to judge. Words are runs of a-z and 0-9 after lower-casing, so that other
        scripts do not count (as in ``rouge-score``).
    n : int
        Length of the n-grams, at least 1.

    Returns
    -------
    RougeScore
        Equal to ``rouge_score``'s ``rouge{n}``.

    Raises
    ------
    ValueError
        ``n`` is below 1.

    Examples
    --------
    Two of the prediction's three pairs stand among the target's five:

    >>> score = rouge_n("the fox found the lost key", "a fox found the", n=2)
    >>> [round(part, 3) for part in score]
    [0.667, 0.4, 0.5]
    """
    if n < 1:
        raise ValueError(f"n={n}, but an n-gram has at least one word: pass n >= 1")
    wanted, given = _ngrams(_words(target), n), _ngrams(_words(prediction), n)
    return _score((wanted & given).total(), given.total(), wanted.total())


def rouge_l(target: str, prediction: str) -> RougeScore:
    """ROUGE-L: words of the prediction that stand in the target in the same order.

    Parameters and words as in :func:`rouge_n`.

    Returns
    -------
    RougeScore
        Equal to ``rouge_score``'s ``rougeL``.

    Examples
    --------
    The longest common subsequence is "fox found key":

    >>> score = rouge_l("the fox found the lost key", "fox quickly found key")
    >>> [round(part, 3) for part in score]
    [0.75, 0.5, 0.6]
    """
    wanted, given = _words(target), _words(prediction)
    return _score(_longest_common_subsequence(wanted, given), len(given), len(wanted))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _ngrams(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(words[start:] for start in range(n)), strict=False))


def _longest_common_subsequence(first: list[str], second: list[str]) -> int:
    # row[j] is the length for the words of `first` so far and the first j words of `second`.
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for j, other in enumerate(second, start=1):
            above = row[j]
            row[j] = diagonal + 1 if word == other else max(above, row[j - 1])
            diagonal = above
    return row[-1]


def _score(common: int, given: int, wanted: int) -> RougeScore:
    if common == 0:
        return RougeScore(0.0, 0.0, 0.0)
    precision, recall = common / given, common / wanted
    return RougeScore(precision, recall, 2 * precision * recall / (precision + recall))
