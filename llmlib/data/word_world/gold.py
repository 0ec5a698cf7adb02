"""What a generated text says about its own words: the answers that vectors are marked against.

Because the grammar is ours, the answers are known and not opinions: two words are similar when
the grammar puts them into the same slots, and an analogy holds when two pairs of words differ by
the same slot. See ``card.md`` beside this file for what may and may not be concluded.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["WordWorld", "analogy_questions", "graded_pairs"]

Analogy = tuple[str, str, str, str]


@dataclass(frozen=True, kw_only=True)
class WordWorld:
    """A generated text with the answers that its grammar implies.

    Attributes
    ----------
    sentences : list of list of str
        The text, already cut into words.
    groups : mapping of word to "broad/fine"
        Which slot of the grammar a word comes from, e.g. ``"animal/pet"``.
    similar_pairs : list of (word, word, grade)
        Grade 2: same fine group; 1: same broad group; 0: different broad groups.
    analogies : mapping of relation to list of (a, b, c, d)
        "a is to b as c is to d".
    unseen : mapping of word to "broad/fine"
        Words that the text never uses, whose characters tell their group.
    share_female : mapping of occupation to probability
        How often the grammar says "she" of it: the bias that was put in.
    """

    sentences: list[list[str]]
    groups: Mapping[str, str]
    similar_pairs: list[tuple[str, str, int]]
    analogies: Mapping[str, list[Analogy]]
    unseen: Mapping[str, str] = field(default_factory=dict)
    share_female: Mapping[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """One sentence a line, words separated by spaces."""
        return "\n".join(" ".join(sentence) for sentence in self.sentences) + "\n"

    def paragraphs(self, size: int = 4) -> list[list[str]]:
        """Join ``size`` sentences at a time, so that a wide window sees unrelated words too."""
        if size < 1:
            raise ValueError(f"size {size}: a paragraph holds at least 1 sentence")
        joined = itertools.chain.from_iterable
        starts = range(0, len(self.sentences), size)
        return [list(joined(self.sentences[i : i + size])) for i in starts]


def graded_pairs(
    groups: Mapping[str, str], *, per_grade: int = 60, seed: int = 0
) -> list[tuple[str, str, int]]:
    """Draw as many word pairs of each grade, in a mixed order that the seed fixes.

    Examples
    --------
    >>> groups = {"cat": "animal/pet", "dog": "animal/pet", "lion": "animal/wild", "pear": "fruit/"}
    >>> sorted(graded_pairs(groups, per_grade=1), key=lambda pair: -pair[2])[0]
    ('cat', 'dog', 2)
    """
    by_grade: dict[int, list[tuple[str, str, int]]] = {0: [], 1: [], 2: []}
    for a, b in itertools.combinations(sorted(groups), 2):
        same_broad = groups[a].split("/")[0] == groups[b].split("/")[0]
        grade = (groups[a] == groups[b]) + same_broad
        by_grade[grade].append((a, b, grade))
    generator = random.Random(seed)
    pairs = [
        pair
        for candidates in by_grade.values()
        for pair in generator.sample(candidates, min(per_grade, len(candidates)))
    ]
    generator.shuffle(pairs)
    return pairs


def analogy_questions(
    pairs: Sequence[tuple[str, str]], *, limit: int = 120, seed: int = 0
) -> list[Analogy]:
    """Ask each pair against each other pair: (a, b) and (c, d) give "a : b :: c : d".

    Examples
    --------
    >>> analogy_questions([("man", "woman"), ("king", "queen")])
    [('man', 'woman', 'king', 'queen'), ('king', 'queen', 'man', 'woman')]
    """
    questions = [(*first, *second) for first, second in itertools.permutations(pairs, 2)]
    if len(questions) > limit:
        questions = random.Random(seed).sample(questions, limit)
    return questions
