r"""How good what a reader was shown is, and how near an answer is to the right one.

.. math::

   \operatorname{context\ precision}
   = \frac{1}{\sum_k v_k} \sum_{k} v_k \frac{v_1 + \dots + v_k}{k}, \qquad
   \operatorname{context\ recall} = \frac{|\text{statements of the answer that were shown}|}
                                         {|\text{statements of the answer}|}

==============  ================  =================================================================
code            symbol            what it is
==============  ================  =================================================================
``relevant``    :math:`v_k`       1 where the passage at rank k helps to answer, else 0
``shown``       --                for each statement of the right answer, whether a passage has it
==============  ================  =================================================================

References
----------
1. Es et al., *Ragas: Automated Evaluation of Retrieval Augmented Generation*, 2023,
   arXiv:2309.15217.
2. Rajpurkar et al., *SQuAD: 100,000+ Questions for Machine Comprehension of Text*, 2016,
   arXiv:1606.05250: the overlap of words as F1.

**Differs from Ragas in** the judge. There a language model finds the statements, says which passage
has them, and what of two answers agrees; here that is given, or words are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from llmlib.evaluation.answers import _words

__all__ = ["answer_f1", "context_precision", "context_recall"]


def context_precision(relevant: Sequence[bool]) -> float:
    """Whether the passages that help stand before those that do not; 0 when none helps.

    Parameters
    ----------
    relevant : sequence of bool
        Passage by passage, the best first.

    Examples
    --------
    >>> context_precision([True, False]), context_precision([False, True])
    (1.0, 0.5)
    >>> round(context_precision([False, True, True]), 3)  # (1 / 2 + 2 / 3) / 2
    0.583
    """
    found, total = 0, 0.0
    for rank, helps in enumerate(relevant, start=1):
        if helps:
            found += 1
            total += found / rank
    return total / found if found else 0.0


def context_recall(shown: Sequence[bool]) -> float:
    """The share of the right answer's statements that some passage has.

    Examples
    --------
    >>> context_recall([True, False])
    0.5

    Raises
    ------
    ValueError
        The answer states nothing.
    """
    if not shown:
        raise ValueError("the right answer has no statement: leave the question out")
    return sum(map(bool, shown)) / len(shown)


def answer_f1(answer: str, right: str) -> float:
    """Overlap of the words of two answers; citations, case, articles and marks do not count.

    Examples
    --------
    Two of three words are right, and two of two were found: 2 * 2 / (3 + 2).

    >>> answer_f1("warm bean stew [1]", "bean stew")
    0.8
    """
    ours, theirs = Counter(_words(answer)), Counter(_words(right))
    common = (ours & theirs).total()
    return 2 * common / (ours.total() + theirs.total()) if common else 0.0
