r"""BM25: rank texts by the words that they share with the query, the rare ones above all.

.. math::

   \operatorname{score}(q, d) = \sum_{t \in q} \operatorname{idf}(t)\,
       \frac{f_{t,d}}{f_{t,d} + k_1 \left(1 - b + b\,\frac{|d|}{\overline{|d|}}\right)},
   \qquad
   \operatorname{idf}(t) = \ln\!\left(1 + \frac{N - n_t + \tfrac12}{n_t + \tfrac12}\right)

===========  =======================  ==================================================
code         symbol                   what it is
===========  =======================  ==================================================
``k1``       :math:`k_1`              how soon more of the same word stops counting
``b``        :math:`b`                how much a long text is held against it, 0 to 1
``indptr``   --                       where the postings of each term begin
``docs``     --                       postings: numbers of the texts that have the term
``impacts``  --                       the summand of each posting, computed beforehand
===========  =======================  ==================================================

Nothing in a summand depends on the query, so all are computed once, when the index is built. A
query adds up the postings of its terms: work for the texts that share a word, and for no others.

References
----------
1. Robertson and Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond*, 2009.
2. Lù, *BM25S: Orders of magnitude faster lexical search via eager sparse scoring*, 2024,
   arXiv:2407.03618.

**Differs from the paper in** the idf, which there can be negative, and in that the constant factor
:math:`k_1 + 1` is left out, which changes no order: both as in Lucene and as ``bm25s`` does by
default. Texts that share no word with the query are not returned.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from llmlib.retrieval.passages import Chunk, Document, Hit, as_chunks, matches
from llmlib.retrieval.ranking import top_k

__all__ = ["BM25", "STOP_WORDS", "bm25_score", "content_words", "search_words"]

WORD = re.compile("[\u3400-\u9fff]|[^\\W\u3400-\u9fff]+")


def search_words(text: str) -> list[str]:
    """Words in lower case; a Chinese character is a word of its own.

    Examples
    --------
    >>> search_words("Who built Tarobe's mill in 1848?")
    ['who', 'built', 'tarobe', 's', 'mill', 'in', '1848']
    >>> search_words("河边的磨坊")
    ['河', '边', '的', '磨', '坊']
    """
    return WORD.findall(text.lower())


#: Words that say how a question is put and not what it is about.
STOP_WORDS = frozenset([
    "a", "about", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "been",
    "but", "by", "can", "could", "did", "do", "does", "down", "each", "every", "few", "for",
    "from", "had", "has", "have", "he", "her", "here", "him", "his", "how", "i", "if", "in",
    "into", "is", "it", "its", "just", "many", "may", "me", "more", "most", "much", "must", "my",
    "no", "nor", "not", "of", "off", "on", "only", "or", "other", "our", "out", "over", "own",
    "s", "same", "she", "should", "so", "some", "such", "than", "that", "the", "their", "them",
    "then", "there", "these", "they", "this", "those", "through", "to", "too", "under", "up",
    "very", "was", "we", "were", "what", "when", "where", "which", "while", "who", "whom",
    "whose", "why", "will", "with", "would", "you", "your",
])  # fmt: skip


def content_words(text: str) -> list[str]:
    """:func:`search_words` without :data:`STOP_WORDS`.

    A rare word outweighs a stop word anyway. But a question that shares no other word with any text
    would still find something, and a fusion would take that for an opinion.

    Examples
    --------
    >>> content_words("Who built Tarobe's mill in 1848?")
    ['built', 'tarobe', 'mill', '1848']
    """
    return [word for word in search_words(text) if word not in STOP_WORDS]


def bm25_score(
    query: Sequence[str],
    text: Sequence[str],
    texts: Sequence[Sequence[str]],
    *,
    k1: float = 1.5,
    b: float = 0.75,
) -> float:
    """BM25 as the formula says, for one text: slow, plain, and the test of :class:`BM25`.

    Parameters
    ----------
    query, text : sequence of str
        Words.
    texts : sequence of sequences of str
        The whole collection; ``text`` is one of it.
    k1, b : float
        As in the formula.

    Examples
    --------
    "mill" stands in one text of two, once, and both texts are equally long: idf is ln 2, and the
    fraction is 1 / (1 + 1.5).

    >>> texts = [["green", "mill"], ["green", "boat"]]
    >>> round(bm25_score(["mill"], texts[0], texts), 4), round(math.log(2) / 2.5, 4)
    (0.2773, 0.2773)
    """
    mean_length = sum(len(words) for words in texts) / len(texts)
    score = 0.0
    for term in query:
        holders = sum(term in words for words in texts)
        if holders == 0:
            continue
        idf = math.log(1 + (len(texts) - holders + 0.5) / (holders + 0.5))
        count = text.count(term)
        score += idf * count / (count + k1 * (1 - b + b * len(text) / mean_length))
    return score


class BM25:
    """An inverted index that ranks by BM25.

    Parameters
    ----------
    chunks : iterable of Chunk, Document or str
        What to search.
    k1, b : float
        As in the formula above.
    split : callable
        Text to words, for texts and queries alike.

    Examples
    --------
    >>> index = BM25(["The mill is green.", "The boat is green.", "The mill and the other mill."])
    >>> [(hit.chunk.text, round(hit.score, 2)) for hit in index.search("Where is the mill?", 2)]
    [('The mill is green.', 0.46), ('The mill and the other mill.', 0.32)]
    """

    def __init__(
        self,
        chunks: Iterable[Chunk | Document | str],
        *,
        k1: float = 1.5,
        b: float = 0.75,
        split: Callable[[str], list[str]] = search_words,
    ) -> None:
        self.chunks = as_chunks(chunks)
        if not self.chunks:
            raise ValueError("there is nothing to search: give at least one text")
        if k1 < 0 or not 0 <= b <= 1:
            raise ValueError(f"k1={k1}, b={b}: k1 must be at least 0, and b from 0 to 1")
        self.k1, self.b, self.split = k1, b, split
        self.vocabulary: dict[str, int] = {}
        self._build([split(chunk.text) for chunk in self.chunks])

    def __len__(self) -> int:
        return len(self.chunks)

    def _build(self, texts: list[list[str]]) -> None:
        vocabulary = self.vocabulary
        terms: list[int] = []
        docs: list[int] = []
        counts: list[int] = []
        for number, words in enumerate(texts):
            found = Counter(words)
            terms += [vocabulary.setdefault(word, len(vocabulary)) for word in found]
            docs += [number] * len(found)
            counts += found.values()
        term, doc, count = (np.array(a, dtype=np.int64) for a in (terms, docs, counts))
        by_term = np.argsort(term, kind="stable")  # texts stay in order within a term
        holders = np.bincount(term, minlength=len(vocabulary))
        lengths = np.array([len(words) for words in texts], dtype=np.float64)
        norm = self.k1 * (1 - self.b + self.b * lengths / max(lengths.mean(), 1e-9))
        self.idf = np.log1p((len(texts) - holders + 0.5) / (holders + 0.5))
        impacts = self.idf[term] * count / (count + norm[doc])
        self.indptr = np.concatenate(([0], np.cumsum(holders))).tolist()
        self.docs = doc[by_term].astype(np.int32)
        self.impacts = impacts[by_term].astype(np.float32)

    def scores(self, query: str) -> np.ndarray:
        """The score of every text, ``(N,)``; 0 where no word is shared."""
        scores = np.zeros(len(self.chunks), dtype=np.float32)
        for word in self.split(query):
            term = self.vocabulary.get(word)
            if term is not None:
                postings = slice(self.indptr[term], self.indptr[term + 1])
                # A text stands once among the postings of a term, so nothing is added twice.
                scores[self.docs[postings]] += self.impacts[postings]
        return scores

    def search(self, query: str, k: int = 10, where: Mapping[str, str] | None = None) -> list[Hit]:
        """The best texts that share a word with the query.

        Parameters
        ----------
        query : str
            Split into words as the texts were.
        k : int
            How many hits at most.
        where : mapping, optional
            Values that the metadata of a chunk must have.

        Returns
        -------
        list of Hit
            The best first; of equal ones the earlier first.
        """
        scores = self.scores(query)
        keep = None
        if where:
            keep = np.array([matches(chunk, where) for chunk in self.chunks])
        found = top_k(scores, k, keep)
        return [Hit(self.chunks[i], float(scores[i])) for i in found.tolist() if scores[i] > 0]
