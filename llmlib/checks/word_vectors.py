"""Exercises of the chapter on word vectors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]

Pairs = list[tuple[int, int]]


# --- context_pairs ------------------------------------------------------------------------------


def _context_pairs(ids: list[int], window: int) -> Pairs:
    return _pairs_at(ids, [step for step in range(-window, window + 1) if step != 0])


def _pairs_at(ids: list[int], steps: list[int]) -> Pairs:
    """Pairs of each word with the words ``steps`` places away, within the sentence."""
    return sorted(
        (word, ids[here + step])
        for here, word in enumerate(ids)
        for step in steps
        if 0 <= here + step < len(ids)
    )


def _pairs_that_wrap(ids: list[int], window: int) -> Pairs:
    """What ``ids[here - step]`` gives: a negative index counts from the end."""
    return sorted(
        (word, ids[here + step])
        for here, word in enumerate(ids)
        for step in range(-window, window + 1)
        if step != 0 and here + step < len(ids)
    )


def _ids_and_window(g: Generator) -> tuple[list[int], int]:
    return torch.randperm(9, generator=g)[: draw.integer(g, 6, 8)].tolist(), draw.integer(g, 1, 3)


# --- positive_pmi -------------------------------------------------------------------------------


def _ratio(counts: Tensor) -> Tensor:
    """How many times more often than by chance each pair met, ``(V, V)``."""
    return counts * counts.sum() / (counts.sum(1, keepdim=True) * counts.sum(0))


def _positive_pmi(counts: Tensor) -> Tensor:
    return _ratio(counts).clamp(min=1.0).log()


def _counts(g: Generator) -> tuple[Tensor]:
    size = draw.integer(g, 4, 6)
    counts = torch.randint(0, 5, (size, size), generator=g).float()
    return (counts + torch.eye(size),)  # no row and no column is empty


# --- noise_gradient -----------------------------------------------------------------------------


def _noise_gradient(h: Tensor, real: Tensor, noise: Tensor) -> Tensor:
    return (torch.sigmoid(h @ real) - 1) * real + torch.sigmoid(noise @ h) @ noise


def _noise_taken_as_real(h: Tensor, real: Tensor, noise: Tensor) -> Tensor:
    return (torch.sigmoid(h @ real) - 1) * real + (torch.sigmoid(noise @ h) - 1) @ noise


def _noise_averaged(h: Tensor, real: Tensor, noise: Tensor) -> Tensor:
    pushed = torch.sigmoid(noise @ h)[:, None] * noise  # (K, D)
    return (torch.sigmoid(h @ real) - 1) * real + pushed.mean(0)


def _pair_and_noise(g: Generator) -> tuple[Tensor, Tensor, Tensor]:
    width = draw.integer(g, 3, 6)
    noise = draw.normal(g, draw.integer(g, 2, 5), width)
    return draw.normal(g, width), draw.normal(g, width), noise


# --- unseen_vector ------------------------------------------------------------------------------


class _Ngrams(dict[str, Tensor]):
    """N-grams and their vectors, printed by their names."""

    def __repr__(self) -> str:
        return f"of {' '.join(self)}"


def _pieces(marked: str, n: int) -> list[str]:
    return [marked[i : i + n] for i in range(len(marked) - n + 1)]


def _unseen_vector(word: str, ngrams: _Ngrams, n: int) -> Tensor:
    return _mean_of_known(f"<{word}>", ngrams, n)


def _mean_of_known(marked: str, ngrams: _Ngrams, n: int) -> Tensor:
    return torch.stack([ngrams[piece] for piece in _pieces(marked, n) if piece in ngrams]).mean(0)


def _sum_of_known(word: str, ngrams: _Ngrams, n: int) -> Tensor:
    return sum(ngrams[piece] for piece in _pieces(f"<{word}>", n) if piece in ngrams)


def _divided_by_all(word: str, ngrams: _Ngrams, n: int) -> Tensor:
    return _sum_of_known(word, ngrams, n) / len(_pieces(f"<{word}>", n))


def _word_and_ngrams(g: Generator) -> tuple[str, _Ngrams, int]:
    """Some n-grams of the word and some that it does not have; one without brackets is known."""
    letters = [chr(97 + i) for i in torch.randperm(20, generator=g)[:8].tolist()]
    word, n = "".join(letters[: draw.integer(g, 5, 7)]), draw.integer(g, 2, 3)
    pieces = _pieces(f"<{word}>", n)
    known = [pieces[0], pieces[2], *pieces[4:], "zyx"[:n]]  # the second and the fourth are unknown
    return word, _Ngrams((piece, draw.normal(g, 3)) for piece in known), n


# --- honest_rank --------------------------------------------------------------------------------


def _honest_rank(matrix: Tensor, a: int, b: int, c: int, d: int) -> int:
    return _rank(_analogy_scores(F.normalize(matrix, dim=1), a, b, c), d)


def _analogy_scores(rows: Tensor, a: int, b: int, c: int) -> Tensor:
    return rows @ (rows[b] - rows[a] + rows[c])  # (V,)


def _rank(scores: Tensor, d: int) -> int:
    return 1 + int((scores > scores[d]).sum())


def _rank_without_the_question(matrix: Tensor, a: int, b: int, c: int, d: int) -> int:
    scores = _analogy_scores(F.normalize(matrix, dim=1), a, b, c)
    scores[[a, b, c]] = -torch.inf
    return _rank(scores, d)


def _rank_with_long_target(matrix: Tensor, a: int, b: int, c: int, d: int) -> int:
    """Only the words are scaled to length 1, not the vectors of the question."""
    target = matrix[b] - matrix[a] + matrix[c]
    return _rank(F.normalize(matrix, dim=1) @ target, d)


def _vectors_and_question(g: Generator) -> tuple[Tensor, int, int, int, int]:
    """Vectors of very different lengths; the answer is near, but seldom the nearest."""
    size = draw.integer(g, 20, 30)
    matrix = draw.normal(g, size, 4) * draw.uniform(g, size, 1, low=0.2, high=4.0)
    a, b, c, d = torch.randperm(size, generator=g)[:4].tolist()
    unit = F.normalize(matrix, dim=1)
    matrix[d] = unit[b] - unit[a] + unit[c] + 0.5 * draw.normal(g, 4)
    return matrix, a, b, c, d


EXERCISES = (
    Choice(
        name="word_vectors.predict_second_name",
        right="c",
        why={
            "a": "Right angles are what one-hot vectors have. Learned vectors depend on the "
            "neighbours that two words share, not on whether the two meet.",
            "b": "They do replace each other, and that is what makes them alike: each is asked to "
            "predict the same neighbours.",
            "c": "Both predict whiskers, milk and vets with the same probabilities, so the same "
            "direction serves both.",
            "d": "Half of the sentences are fewer steps, not half a vector: the direction is set "
            "by the company, which is the same.",
        },
        hint="What does each of the two words have to predict?",
    ),
    Exercise(
        name="word_vectors.context_pairs",
        reference=_context_pairs,
        inputs=_ids_and_window,
        hint="Two places make a pair when they are at least 1 and at most `window` apart.",
        remark="Each pair stands in the list from both sides.",
        wrong={
            "itself": Wrong(
                lambda ids, window: _pairs_at(ids, list(range(-window, window + 1))),
                "You paired each word with itself as well: a distance of 0 does not count.",
            ),
            "one side": Wrong(
                lambda ids, window: _pairs_at(ids, list(range(1, window + 1))),
                "You looked to the right only. A neighbour may stand on either side.",
            ),
            "one too few": Wrong(
                lambda ids, window: _pairs_at(
                    ids, [step for step in range(-window, window) if step != 0]
                ),
                "Your window is one place short on the right: the end of a range is left out.",
            ),
            "wraps around": Wrong(
                _pairs_that_wrap,
                "At the start of the sentence you took words from its end: a negative index "
                "counts from there. Cut the window at 0.",
            ),
        },
    ),
    Exercise(
        name="word_vectors.positive_pmi",
        reference=_positive_pmi,
        inputs=_counts,
        hint="Divide each count by what chance would give, (row sum · column sum) / total. What "
        "happens to a ratio below 1?",
        remark="A pair that never met, or met less often than by chance, has 0.",
        wrong={
            "bits": Wrong(
                lambda counts: _ratio(counts).clamp(min=1.0).log2(),
                "These are bits. The exercise asks for nats: the natural logarithm.",
            ),
            "negative": Wrong(
                lambda counts: _ratio(counts).log(),
                "This is PMI: pairs that met less often than by chance are negative, and those "
                "that never met are minus infinity. Keep the positive part.",
            ),
            "ratio": Wrong(
                lambda counts: (_ratio(counts) - 1).clamp(min=0.0),
                "You kept the ratio itself. Take its logarithm.",
            ),
            "contexts forgotten": Wrong(
                lambda counts: (
                    (counts * counts.shape[1] / counts.sum(1, keepdim=True)).clamp(min=1.0).log()
                ),
                "You divided by how frequent the word is, but not by how frequent the context is.",
            ),
            "rows for columns": Wrong(
                lambda counts: (
                    (counts * counts.sum() / torch.outer(counts.sum(1), counts.sum(1)))
                    .clamp(min=1.0)
                    .log()
                ),
                "You used the row sums for the contexts too. That is right for a symmetric matrix "
                "only: contexts are columns.",
            ),
        },
    ),
    Exercise(
        name="word_vectors.noise_gradient",
        reference=_noise_gradient,
        inputs=_pair_and_noise,
        hint="Every vector counts with 'probability minus truth'. Truth is 1 for one of them.",
        remark="A step against it moves h towards the real neighbour and away from the noise.",
        wrong={
            "uphill": Wrong(
                lambda h, real, noise: -_noise_gradient(h, real, noise),
                "This is the step, not the gradient: the sign is turned round.",
            ),
            "noise is real": Wrong(
                _noise_taken_as_real,
                "You treated the noise words as real neighbours too. Their truth is 0.",
            ),
            "noise averaged": Wrong(
                _noise_averaged, "You averaged over the noise words. The loss is their sum."
            ),
            "real forgotten": Wrong(
                lambda h, real, noise: torch.sigmoid(noise @ h) @ noise,
                "This is the part of the noise words only. The real neighbour pulls as well.",
            ),
            "no sigmoid": Wrong(
                lambda h, real, noise: (h @ real - 1) * real + (noise @ h) @ noise,
                "You took the scores for probabilities: put them through the sigmoid.",
            ),
        },
    ),
    Exercise(
        name="word_vectors.unseen_vector",
        reference=_unseen_vector,
        inputs=_word_and_ngrams,
        hint="Slide a window of n characters over <word>, look each piece up, and average what "
        "you found.",
        remark="Misspelt and new words get a vector, as long as one of their pieces was seen.",
        wrong={
            "no brackets": Wrong(
                lambda word, ngrams, n: _mean_of_known(word, ngrams, n),
                "You cut the bare word. The pieces at its two ends contain < and >.",
            ),
            "sum": Wrong(_sum_of_known, "This is the sum. Divide by the number of known pieces."),
            "divided by all": Wrong(
                _divided_by_all,
                "You divided by the number of all pieces. Unknown ones do not count.",
            ),
        },
    ),
    Exercise(
        name="word_vectors.honest_rank",
        reference=_honest_rank,
        inputs=_vectors_and_question,
        hint="Scale all rows to length 1 first. Then count the words that score higher than d.",
        remark="A low rank with the question words left in is a result that nobody can argue with.",
        wrong={
            "question words excluded": Wrong(
                _rank_without_the_question,
                "You left out a, b and c. Here all words compete, those of the question too.",
            ),
            "from zero": Wrong(
                lambda *question: _honest_rank(*question) - 1,
                "The best place is 1, not 0.",
            ),
            "nothing scaled": Wrong(
                lambda matrix, a, b, c, d: _rank(_analogy_scores(matrix, a, b, c), d),
                "These are plain dot products: long vectors win. Scale all rows to length 1.",
            ),
            "question not scaled": Wrong(
                _rank_with_long_target,
                "You scaled the words, but built the target from unscaled vectors, so that the "
                "longest of the three decides where it points.",
            ),
            "pairs swapped": Wrong(
                lambda matrix, a, b, c, d: _honest_rank(matrix, b, a, c, d),
                "Your target is a - b + c. From a to b, then on from c: b - a + c.",
            ),
        },
    ),
)
