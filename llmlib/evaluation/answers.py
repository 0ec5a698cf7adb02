"""How good a short answer is: equal to the right one, and supported by what it cites.

==========================  =====================================================================
:func:`exact_match`         the same words as a right answer
:func:`cited`               the numbers of the passages that an answer cites, as in ``Lunika [2]``
:func:`faithfulness`        share of an answer's words that stand in the passages it cites
==========================  =====================================================================

Exact match asks whether an answer is right, faithfulness whether the passages say so. An answer can
be right and unsupported (guessed, or remembered), or supported and wrong (the passage is false, or
about something else): the two are different numbers.

References
----------
1. Rajpurkar et al., *SQuAD: 100,000+ Questions for Machine Comprehension of Text*, 2016,
   arXiv:1606.05250: exact match after lower-casing and dropping punctuation and articles.
2. Es et al., *Ragas: Automated Evaluation of Retrieval Augmented Generation*, 2023,
   arXiv:2309.15217: faithfulness, the share of an answer's statements that the context supports.

**Differs from Ragas in** the judge: there a language model finds statements and decides, here words
are compared. That is enough where answers are names and numbers, and for nothing longer.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

__all__ = ["cited", "exact_match", "faithfulness"]

CITATION = re.compile(r"\[(\d+)\]")
ARTICLES = {"a", "an", "the"}


def exact_match(answer: str, right: str | Sequence[str]) -> float:
    """1.0 when an answer has the words of a right one, else 0.0.

    Parameters
    ----------
    answer : str
        What was answered. Case, punctuation, articles, white space and citations do not count.
    right : str or sequence of str
        One right answer or several.

    Examples
    --------
    >>> exact_match("The mill. [1]", "mill"), exact_match("a green mill", ["mill", "the mills"])
    (1.0, 0.0)
    """
    rights = [right] if isinstance(right, str) else right
    return float(_words(answer) in [_words(one) for one in rights])


def cited(answer: str) -> list[int]:
    """The numbers in square brackets, each once, in order.

    Examples
    --------
    >>> cited("Lunika [2], says the book [2][1].")
    [2, 1]
    """
    return list(dict.fromkeys(int(number) for number in CITATION.findall(answer)))


def faithfulness(answer: str, passages: Sequence[str], *, refusal: str = "I do not know.") -> float:
    """The share of an answer's words that stand in the passages it cites.

    Parameters
    ----------
    answer : str
        With citations ``[1]``, ``[2]``, ... of passages, counted from 1.
    passages : sequence of str
        What the answer was to be drawn from.
    refusal : str
        An answer that claims nothing, and so is faithful.

    Returns
    -------
    float
        From 0 to 1; 0 when nothing is cited, or only passages that are not there.

    Examples
    --------
    >>> passages = ["The mill is green. Lunika built it.", "The boat is red."]
    >>> faithfulness("Lunika [1]", passages), faithfulness("Lunika [2]", passages)
    (1.0, 0.0)
    >>> faithfulness("Lunika", passages), faithfulness("I do not know.", passages)
    (0.0, 1.0)
    """
    words = _words(answer)
    if words == _words(refusal):
        return 1.0
    chosen = [passages[n - 1] for n in cited(answer) if 1 <= n <= len(passages)]
    support = {word for passage in chosen for word in _words(passage)}
    return sum(word in support for word in words) / len(words) if words else 0.0


def _words(text: str) -> list[str]:
    """Lower case, no citations, no punctuation, no articles."""
    text = CITATION.sub(" ", text.lower())
    bare = "".join(" " if mark in string.punctuation else mark for mark in text)
    return [word for word in bare.split() if word not in ARTICLES]
