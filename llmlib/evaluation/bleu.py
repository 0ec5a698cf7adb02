r"""BLEU: how many n-grams of a translation stand in a reference.

.. math::

   \mathrm{BLEU} = 100 \cdot \underbrace{\min(1, e^{1 - r/c})}_{\text{brevity penalty}} \cdot
   \Big(\prod_{n=1}^{4} p_n\Big)^{1/4}, \qquad
   p_n = \frac{\text{n-grams of the hypotheses that match}}{\text{n-grams of the hypotheses}}

=====================  ===============  =======================================================
code                   symbol           meaning
=====================  ===============  =======================================================
``matches[n - 1]``     top of p_n       an n-gram counts at most as often as in one reference
``totals[n - 1]``      bottom of p_n    n-grams of all hypotheses together
``hypothesis_length``  c                tokens of all hypotheses
``reference_length``   r                tokens of the references nearest in length
=====================  ===============  =======================================================

References
----------
1. Papineni, Roukos, Ward and Zhu, *BLEU: a Method for Automatic Evaluation of Machine
   Translation*, ACL 2002.
2. Chen and Cherry, *A Systematic Comparison of Smoothing Techniques for Sentence-Level BLEU*,
   WMT 2014 (the smoothing used here is their method 3).
3. Post, *A Call for Clarity in Reporting BLEU Scores*, WMT 2018, arXiv:1804.08771 (sacrebleu).

**Differs from the paper in** the smoothing: the paper's BLEU is 0 as soon as one order has no
match; here, as in sacrebleu, the k-th such order counts as :math:`2^{-k}` matches.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

__all__ = ["corpus_bleu", "split_characters", "split_words"]

# The rules of WMT's script mteval-v13a, in order: signs of punctuation become tokens; a period or
# a comma too, unless it stands between digits; and so does a dash behind a digit.
_RULES = (
    (re.compile(r"([!-&(-+/:-@\[-`{-~])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))


def split_words(text: str) -> list[str]:
    """Words and punctuation of a Western language, by the rules of WMT's ``mteval-v13a``.

    Examples
    --------
    >>> split_words("It costs 3.50, doesn't it?")
    ['It', 'costs', '3.50', ',', "doesn't", 'it', '?']
    """
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, sign in _ENTITIES:
        text = text.replace(entity, sign)
    text = f" {text} "
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text.split()


def split_characters(text: str) -> list[str]:
    """Characters without white space: for Chinese, which marks no words.

    Examples
    --------
    >>> split_characters("狐狸 跑了。")
    ['狐', '狸', '跑', '了', '。']
    """
    return [character for character in text if not character.isspace()]


def corpus_bleu(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    split: Callable[[str], list[str]] = split_words,
    max_order: int = 4,
) -> float:
    """BLEU of a whole corpus, from 0 to 100.

    Parameters
    ----------
    hypotheses : sequence of str
        One translation per sentence.
    references : sequence of sequence of str
        One or more *streams* of references, each as long as ``hypotheses``:
        ``references[k][i]`` is the k-th reference of sentence i, as in sacrebleu.
    split : callable
        Cuts a text into tokens: :func:`split_words` or :func:`split_characters`.
    max_order : int
        Longest n-gram that counts.

    Returns
    -------
    float
        Equal to ``sacrebleu.corpus_bleu(...).score`` (``tokenize="13a"`` and ``"char"``).

    Raises
    ------
    ValueError
        No reference stream, or one of another length than ``hypotheses``.

    Examples
    --------
    All 8 words match, 6 of 7 pairs, 5 of 6 triples and 4 of 5 quadruples, and the hypothesis is
    one word shorter than the reference: 100 · exp(1 - 9/8) · (6/7 · 5/6 · 4/5) ** (1/4).

    >>> hypothesis = "the fox found a key near the mill"
    >>> reference = "the fox found a key near the old mill"
    >>> round(corpus_bleu([hypothesis], [[reference]]), 2)
    76.73
    >>> round(corpus_bleu([reference], [[reference]]), 2)
    100.0
    """
    if not references or any(len(stream) != len(hypotheses) for stream in references):
        lengths = [len(stream) for stream in references]
        raise ValueError(
            f"{len(hypotheses)} hypotheses need at least one stream of as many references, got "
            f"streams of lengths {lengths}: for one reference each, pass [references]"
        )
    matches, totals = [0] * max_order, [0] * max_order
    hypothesis_length = reference_length = 0
    for hypothesis, *alternatives in zip(hypotheses, *references, strict=True):
        tokens = split(hypothesis)
        candidates = [split(text) for text in alternatives]
        hypothesis_length += len(tokens)
        reference_length += min(
            (len(candidate) for candidate in candidates),
            key=lambda length: (abs(length - len(tokens)), length),
        )
        for order in range(1, max_order + 1):
            counts = _ngrams(tokens, order)
            allowed: Counter[tuple[str, ...]] = Counter()
            for candidate in candidates:
                allowed |= _ngrams(candidate, order)  # the larger count of the two
            matches[order - 1] += (counts & allowed).total()
            totals[order - 1] += counts.total()
    return _score(matches, totals, hypothesis_length, reference_length)


def _ngrams(tokens: list[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[start:] for start in range(order)), strict=False))


def _score(
    matches: list[int], totals: list[int], hypothesis_length: int, reference_length: int
) -> float:
    if not any(matches) or 0 in totals:
        return 0.0
    smoothed, halvings = [], 0
    for match in matches:
        if match == 0:
            halvings += 1
        smoothed.append(match or 2.0**-halvings)
    brevity = min(1.0, math.exp(1 - reference_length / hypothesis_length))
    precisions = (top / bottom for top, bottom in zip(smoothed, totals, strict=True))
    return 100 * brevity * math.exp(sum(map(math.log, precisions)) / len(matches))
