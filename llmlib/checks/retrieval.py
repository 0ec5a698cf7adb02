"""Exercises of the chapter on retrieval."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]


# --- windows ------------------------------------------------------------------------------------


def _windows(length: int, size: int, overlap: int) -> list[list[int]]:
    spans, start = [], 0
    while True:
        spans.append([start, min(start + size, length)])
        if start + size >= length:
            return spans
        start += size - overlap


def _no_overlap(length: int, size: int, overlap: int) -> list[list[int]]:
    return _windows(length, size, 0)


def _steps_by_overlap(length: int, size: int, overlap: int) -> list[list[int]]:
    return [[start, min(start + size, length)] for start in range(0, length, overlap)]


def _tail_lost(length: int, size: int, overlap: int) -> list[list[int]]:
    starts = range(0, length - size + 1, size - overlap)
    return [[start, start + size] for start in starts]


def _inside_the_last(length: int, size: int, overlap: int) -> list[list[int]]:
    starts = range(0, length, size - overlap)
    return [[start, min(start + size, length)] for start in starts]


def _beyond_the_end(length: int, size: int, overlap: int) -> list[list[int]]:
    return [[start, start + size] for start, _ in _windows(length, size, overlap)]


def _text_and_windows(g: Generator) -> tuple[int, int, int]:
    size = draw.integer(g, 8, 20)
    overlap = draw.integer(g, 2, size // 2 - 1)
    # The last window holds more than the overlap, and is not full.
    length = size + draw.integer(g, 2, 5) * (size - overlap) - draw.integer(g, 1, size // 2 - 1)
    return length, size, overlap


# --- bm25_summand -------------------------------------------------------------------------------


def _bm25_summand(
    count: int,
    length: int,
    mean_length: float,
    holders: int,
    texts: int,
    k1: float,
    b: float,
    *,
    saturates: bool = True,
    rare_counts: bool = True,
    logarithm: bool = True,
    upside_down: bool = False,
    swapped: bool = False,
) -> float:
    """One word's share of a score; the keywords make the known mistakes."""
    k, share = (b, k1) if swapped else (k1, b)
    ratio = mean_length / length if upside_down else length / mean_length
    norm = k * (1 - share + share * ratio)
    odds = (texts - holders + 0.5) / (holders + 0.5)
    idf = (math.log(1 + odds) if logarithm else 1 + odds) if rare_counts else 1.0
    return idf * (count / (count + norm) if saturates else count / norm)


def _word_in_text(g: Generator) -> tuple[int, int, float, int, int, float, float]:
    texts = draw.integer(g, 20, 200)
    length = draw.integer(g, 10, 80)
    return (
        draw.integer(g, 1, 6),
        length,
        float(length + draw.integer(g, 3, 30)),
        draw.integer(g, 1, texts // 2),
        texts,
        round(float(draw.uniform(g, 1, low=1.1, high=2.0)), 2),
        round(float(draw.uniform(g, 1, low=0.4, high=0.9)), 2),
    )


# --- contrastive_loss ---------------------------------------------------------------------------


def _contrastive_loss(
    queries: Tensor,
    passages: Tensor,
    temperature: float,
    *,
    over_queries: bool = False,
    cooled: bool = True,
    scaled: bool = True,
    right_only: bool = False,
) -> Tensor:
    if scaled:
        queries, passages = F.normalize(queries, dim=-1), F.normalize(passages, dim=-1)
    scores = queries @ passages.T / (temperature if cooled else 1.0)
    if right_only:
        return -scores.diagonal().mean()
    return -scores.log_softmax(0 if over_queries else 1).diagonal().mean()


def _batch_of_vectors(g: Generator) -> tuple[Tensor, Tensor, float]:
    size, width = draw.integer(g, 3, 6), draw.integer(g, 4, 8)
    temperature = round(float(draw.uniform(g, 1, low=0.2, high=0.6)), 2)
    return 2 * draw.normal(g, size, width), 2 * draw.normal(g, size, width), temperature


# --- probed -------------------------------------------------------------------------------------


def _probed(
    query: Tensor,
    centres: Tensor,
    cell: Tensor,
    probes: int,
    *,
    farthest: bool = False,
    one: bool = False,
    centres_only: bool = False,
) -> list[int]:
    nearest = (centres @ query).argsort(descending=not farthest)[: 1 if one else probes]
    if centres_only:
        return sorted(nearest.tolist())
    return [n for n, c in enumerate(cell.tolist()) if c in nearest.tolist()]


def _cells(g: Generator) -> tuple[Tensor, Tensor, Tensor, int]:
    centres = F.normalize(draw.normal(g, draw.integer(g, 5, 7), 4), dim=-1)
    cell = torch.cat([torch.arange(len(centres)), draw.tokens(g, 12, vocab_size=len(centres))])
    return F.normalize(draw.normal(g, 4), dim=0), centres, cell, draw.integer(g, 2, 3)


# --- fuse ---------------------------------------------------------------------------------------


def _fuse(
    rankings: list[list[str]], constant: float, *, first: int = 1, best: bool = False, up: int = 1
) -> list[str]:
    shares: dict[str, float] = {}
    for ranking in rankings:
        for rank, name in enumerate(ranking, start=first):
            share = 1 / (constant + rank)
            shares[name] = max(shares.get(name, 0), share) if best else shares.get(name, 0) + share
    return sorted(shares, key=lambda name: (-up * shares[name], name))


def _sum_of_ranks(rankings: list[list[str]], constant: float) -> list[str]:
    ranks: dict[str, int] = {}
    for ranking in rankings:
        for rank, name in enumerate(ranking, start=1):
            ranks[name] = ranks.get(name, 0) + rank
    return sorted(ranks, key=lambda name: (ranks[name], name))


def _in_all_only(rankings: list[list[str]], constant: float) -> list[str]:
    everywhere = set.intersection(*map(set, rankings))
    return [name for name in _fuse(rankings, constant) if name in everywhere]


def _rankings(g: Generator) -> tuple[list[list[str]], float]:
    names = [chr(97 + i) for i in range(8)]
    rankings = []
    for _ in range(draw.integer(g, 2, 3)):
        order = torch.randperm(8, generator=g)[: draw.integer(g, 4, 6)]
        rankings.append([names[i] for i in order.tolist()])
    return rankings, float(draw.integer(g, 1, 4))


EXERCISES = (
    Choice(
        name="retrieval.predict_strength",
        right="b",
        why={
            "a": "Then BM25 would find what is described in other words, and it looks at nothing "
            "but equal words.",
            "b": "An invented name is the rarest of words, and the article has it letter by "
            "letter. The encoder has seen only its syllables, which other names share. Described "
            "in other words, an article shares nothing with the question but meaning.",
            "c": "The encoder cannot have learned a name that was made up after its training.",
            "d": "They look at different things, and so each finds what the other misses.",
        },
        hint="What has the encoder seen of a name that did not exist when it was trained?",
    ),
    Exercise(
        name="retrieval.windows",
        reference=_windows,
        inputs=_text_and_windows,
        hint="Each window begins size - overlap after the one before; stop at the one that "
        "reaches the end.",
        remark="Every character is in a window, and no window lies inside another.",
        wrong={
            "no overlap": Wrong(
                _no_overlap, "Your windows do not overlap: the next begins before the last ends."
            ),
            "by overlap": Wrong(
                _steps_by_overlap,
                "You moved on by the overlap. What is shared is the overlap, so the step is the "
                "rest of the window.",
            ),
            "tail": Wrong(_tail_lost, "The end of the text is in none of your windows."),
            "inside": Wrong(
                _inside_the_last,
                "Your last window lies wholly inside the one before: stop as soon as a window "
                "reaches the end.",
            ),
            "beyond": Wrong(
                _beyond_the_end, "Your last window ends behind the text: cut it at the length."
            ),
        },
    ),
    Exercise(
        name="retrieval.bm25_summand",
        reference=_bm25_summand,
        inputs=_word_in_text,
        hint="First the norm from k1, b and the length; then count / (count + norm); then times "
        "the logarithm.",
        remark="Nothing in it depends on the query: an index computes all of them beforehand.",
        wrong={
            "no ceiling": Wrong(
                partial(_bm25_summand, saturates=False),
                "Ten times the word gives ten times the score: the count belongs into the "
                "denominator as well.",
            ),
            "no idf": Wrong(
                partial(_bm25_summand, rare_counts=False),
                "All words weigh alike: multiply by the idf.",
            ),
            "no logarithm": Wrong(
                partial(_bm25_summand, logarithm=False),
                "The idf is a logarithm: without it one rare word outweighs everything.",
            ),
            "upside down": Wrong(
                partial(_bm25_summand, upside_down=True),
                "You favoured long texts: the norm grows with length over mean length.",
            ),
            "swapped": Wrong(
                partial(_bm25_summand, swapped=True),
                "k1 and b are swapped: b mixes 1 and the length, k1 multiplies the mixture.",
            ),
        },
    ),
    Exercise(
        name="retrieval.contrastive_loss",
        reference=_contrastive_loss,
        inputs=_batch_of_vectors,
        hint="Rows to length 1, all products, divide by the temperature, log-softmax along each "
        "row, the diagonal.",
        remark="A classification: which of the passages of the batch belongs to this question?",
        wrong={
            "over queries": Wrong(
                partial(_contrastive_loss, over_queries=True),
                "You let questions compete for a passage. Here passages compete for a question: "
                "the softmax runs along a row.",
            ),
            "temperature": Wrong(
                partial(_contrastive_loss, cooled=False), "Divide the cosines by the temperature."
            ),
            "not scaled": Wrong(
                partial(_contrastive_loss, scaled=False),
                "These are dot products, not cosines: give every row length 1 first.",
            ),
            "right only": Wrong(
                partial(_contrastive_loss, right_only=True),
                "Nothing is pushed apart: with the right pairs alone all vectors may fall into "
                "one point.",
            ),
        },
    ),
    Exercise(
        name="retrieval.probed",
        reference=_probed,
        inputs=_cells,
        hint="Sort the centres by their product with the query, keep the first, and list who "
        "lives there.",
        remark="Only these are compared with the query; the nearest of all may be elsewhere.",
        wrong={
            "farthest": Wrong(
                partial(_probed, farthest=True),
                "You looked into the farthest cells: the largest product is the nearest.",
            ),
            "one": Wrong(partial(_probed, one=True), "You looked into one cell only."),
            "centres": Wrong(
                partial(_probed, centres_only=True),
                "These are the numbers of cells. Asked for are the vectors in them.",
            ),
        },
    ),
    Exercise(
        name="retrieval.fuse",
        reference=_fuse,
        inputs=_rankings,
        hint="A dictionary of shares: for each ranking and rank, add 1 / (constant + rank).",
        remark="No scores are compared, so the rankings may come from anything.",
        wrong={
            "sum of ranks": Wrong(
                _sum_of_ranks,
                "You added ranks. What a ranking does not have would then be best of all.",
            ),
            "best rank": Wrong(
                partial(_fuse, best=True),
                "You kept the best share. Two rankings that agree should count more than one.",
            ),
            "in all": Wrong(
                _in_all_only, "You dropped what is missing somewhere: it only gets no share there."
            ),
            "worst first": Wrong(
                partial(_fuse, up=-1), "The order is upside down: the largest sum comes first."
            ),
        },
    ),
)
