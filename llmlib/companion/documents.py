"""What the companion reads: documents of several kinds, made as they are needed.

Nothing is stored. Batch number n is drawn by a generator that is seeded with n, so every batch can
be made at any time, and no story comes twice but by chance.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
import torch

from llmlib.data import (
    ArithmeticProblem,
    arithmetic_problems,
    copy_segments,
    generate_stories,
    make_island,
)
from llmlib.data.conversations import draw_conversations
from llmlib.data.island import IslandQuestion
from llmlib.data.packing import fill_rows, pack_documents
from llmlib.data.stories import Question, Story, questions
from llmlib.tokenizers import Tokenizer
from llmlib.training import Batch

__all__ = ["END", "KINDS", "SPECIAL_TOKENS", "Document", "DocumentBatches"]

#: Begins and ends every document.
END = "<|end|>"
#: All special tokens: the later stages of the companion speak in turns.
SPECIAL_TOKENS = (END, "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
IGNORED = -100
#: First line of a story with questions.
READING = "Read and answer.\n"
PRONOUNS = frozenset(("she", "her", "he", "his", "him"))
#: Kinds of conversations that are read as plain lines too, and those full of invented names.
TALK = ("instruction", "question", "format", "arithmetic", "passages", "tools")
ABOUT_ISLANDS = frozenset(("passages", "tools"))
#: More questions about a text of such a conversation, and how many tokens it may have.
FURTHER, LONGEST = 4, 320
#: Most facts in a request for a story. The more, the more of the story can be read off the request.
FACTS = 7


@dataclass(frozen=True)
class Document:
    """Tokens, and which of them are learned.

    Parameters
    ----------
    ids : list of int
        Tokens; the first is :data:`END`.
    learned_from : int
        Place of the first token that the model is to predict.
    mentions : set of int
        Places of tokens that mention again what the document has already spoken of, or answer.
    given : set of int
        Places after that one that are not learned either.
    """

    ids: list[int]
    learned_from: int = 1
    mentions: set[int] = field(default_factory=set)
    given: set[int] = field(default_factory=set)

    @property
    def learned(self) -> list[bool]:
        """Of each token, whether the model is to predict it."""
        return [
            place >= self.learned_from and place not in self.given for place in range(len(self.ids))
        ]


def _stories(tokenizer: Tokenizer, seed: int, split: str) -> Iterator[Document]:
    """Stories, whole."""
    for story in generate_stories(None, seed=seed, split=split):
        document = _document(tokenizer, story.text)
        document.mentions.update(_mentions(tokenizer, story, document.ids))
        yield document


def _mentions(tokenizer: Tokenizer, story: Story, ids: list[int]) -> Iterator[int]:
    """Places in ``[END, *story tokens, END]`` that name a fact of the record again, or its hero.

    A pronoun counts too: who it stands for has been said.
    """
    seen: set[str] = set()
    again: list[tuple[int, int]] = []
    for match in _named(story.record.facts.values()).finditer(story.text):
        word = match[0].lower()
        if word in seen or word in PRONOUNS:
            again.append(match.span())
        seen.add(word)
    return _places(tokenizer, ids[1:-1], again, first=1)


def _named(facts: Iterable[str]) -> re.Pattern[str]:
    """Finds facts and pronouns; of two that begin alike the longer one."""
    longest_first = sorted({*facts, *PRONOUNS}, key=lambda word: (-len(word), word))
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b", re.IGNORECASE)


def _places(
    tokenizer: Tokenizer, ids: list[int], spans: list[tuple[int, int]], *, first: int
) -> Iterator[int]:
    """Places of the tokens, counted from ``first``, that have a part in a span of characters."""
    place = 0
    for number, token in enumerate(ids, start=first):
        begin, place = place, place + len(tokenizer.decode([token]))
        if any(start < place and begin < stop for start, stop in spans):
            yield number


def _questions(tokenizer: Tokenizer, seed: int, split: str) -> Iterator[Document]:
    """Stories with questions about them, and a first line that says so.

    Without it, every story of the model could go on with a question.
    """
    rng = random.Random(seed)
    for story in generate_stories(None, seed=seed, split=split):
        asked = questions(story)
        chosen = rng.sample(asked, min(3, len(asked)))
        yield _document(tokenizer, READING + story.text.strip(), _answered(chosen))


def _articles(tokenizer: Tokenizer, seed: int, split: str) -> Iterator[Document]:
    """Articles on islands that exist once, and questions; the names cannot be known, only found.

    Only questions and answers are learned.
    """
    rng = random.Random(seed)
    while True:
        island = make_island(seed=rng.getrandbits(48), split=split)
        about: dict[str, list[IslandQuestion]] = {}
        for question in island.questions():
            about.setdefault(question.article, []).append(question)
        articles = list(island.articles)
        rng.shuffle(articles)
        while articles:
            shown = [articles.pop() for _ in range(min(rng.randint(1, 3), len(articles)))]
            text = " ".join(article.text for article in shown)
            asked = [question for article in shown for question in about[article.title]]
            chosen = _answered(
                rng.sample(asked, 4 - len(shown))
            )  # the more text, the less is asked
            yield _document(tokenizer, text, chosen, learn_first=False)


def _arithmetic(tokenizer: Tokenizer, seed: int, split: str) -> Iterator[Document]:
    """Sums, three to a document."""
    rng = random.Random(seed)
    while True:
        problems = arithmetic_problems(3, seed=rng.getrandbits(48), split=split)
        yield _document(tokenizer, _answered(problems).lstrip())


def _copying(tokenizer: Tokenizer, seed: int, split: str) -> Iterator[Document]:
    """Random tokens written twice; the second time is learned.

    Nothing but looking back predicts the second time, so this makes the model learn to look back.
    """
    special = tokenizer.special_tokens
    end, size = special[END], tokenizer.vocab_size
    segments = copy_segments(
        None, vocab_size=size, leave_out=set(special.values()), seed=seed, split=split
    )
    for segment in segments:
        yield Document([end, *segment.ids, end], learned_from=1 + segment.learned_from)


def _answered(asked: Iterable[Question | IslandQuestion | ArithmeticProblem]) -> str:
    """Questions with their answers, a line each."""
    return "".join(f"\nQuestion: {each.question}\nAnswer: {each.answer}" for each in asked)


def _document(
    tokenizer: Tokenizer, first: str, then: str = "", *, learn_first: bool = True
) -> Document:
    end = tokenizer.special_tokens[END]
    given, asked = tokenizer.encode(first), tokenizer.encode(then)
    return Document([end, *given, *asked, end], learned_from=1 if learn_first else 1 + len(given))


def _talk(kind: str, tokenizer: Tokenizer, seed: int, split: str) -> Iterator[Document]:
    """Conversations as plain lines: nothing says who speaks.

    What is said in reply counts as a mention; of a story, what its record knows. Names on islands
    cannot be known and are learned in replies only.
    """
    end = tokenizer.special_tokens[END]
    options = {"further": FURTHER, "facts": FACTS, "ambiguous": False}
    for conversation in draw_conversations(kind, None, seed=seed, split=split, **options):
        document = Document([end])
        for turn in conversation.turns:
            text = "\n" * (len(document.ids) > 1) + turn.content
            ids, place = tokenizer.encode(text), len(document.ids)
            if turn.role == "assistant" and len(document.ids) + len(ids) >= LONGEST:
                break
            if turn.facts:
                spans = [match.span() for match in _named(turn.facts).finditer(text)]
                document.mentions.update(_places(tokenizer, ids, spans, first=place))
            elif turn.role == "assistant":
                document.mentions.update(range(place, place + len(ids)))
            elif kind in ABOUT_ISLANDS:
                document.given.update(range(place, place + len(ids)))
            document.ids.extend(ids)
        document.ids.append(end)
        yield document


#: Kind of document -> who makes it.
KINDS: dict[str, Callable[[Tokenizer, int, str], Iterator[Document]]] = {
    "stories": _stories,
    "questions": _questions,
    "articles": _articles,
    "arithmetic": _arithmetic,
    "copying": _copying,
    **{f"talk: {kind}": partial(_talk, kind) for kind in TALK},
}


class DocumentBatches:
    """Batches of a fixed number of documents, packed into as few rows as they need.

    Every document that is drawn is in the batch: leaving out those that fit badly would show the
    model another world, one of stories that fit well.

    Parameters
    ----------
    tokenizer : Tokenizer
        Knows :data:`END`.
    mixture : dict
        Kind of document to its share of the documents.
    documents : int
        Documents of a batch.
    length : int
        Tokens of a row.
    split : str
        ``"train"``, ``"validation"`` or ``"test"``.
    mention_weight : float
        How much a token counts in the loss of a story when it mentions again what the story has
        spoken of; every other token counts 1. Nearly all tokens of a story are easy: without this
        they drown the few that say who is who.
    copying_first : int
        Batches at the beginning that hold copies only. A small model first has to learn to look
        back; then it can learn who is who.
    seed : int
        Of everything drawn.

    Raises
    ------
    ValueError
        A kind is not known, or the shares do not sum to one.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        mixture: dict[str, float],
        *,
        documents: int,
        length: int,
        split: str = "train",
        mention_weight: float = 1.0,
        copying_first: int = 0,
        seed: int = 0,
    ) -> None:
        unknown = sorted(set(mixture) - set(KINDS))
        if unknown:
            raise ValueError(f"no such kind of document: {unknown}; there are {sorted(KINDS)}")
        if abs(sum(mixture.values()) - 1) > 1e-9:
            raise ValueError(f"the shares {mixture} sum to {sum(mixture.values())}, not to 1")
        self.tokenizer, self.mixture, self.number = tokenizer, mixture, documents
        self.length, self.split, self.seed = length, split, seed
        self.mention_weight, self.copying_first = mention_weight, copying_first

    def documents(self, number: int) -> dict[str, list[Document]]:
        """The documents of a batch, by kind."""
        rng = np.random.default_rng([self.seed, number])
        mixture = {"copying": 1.0} if number < self.copying_first else self.mixture
        kinds = rng.choice(list(mixture), size=self.number, p=list(mixture.values()))
        drawn = {}
        for kind in mixture:
            source = KINDS[kind](self.tokenizer, int(rng.integers(2**62)), self.split)
            drawn[kind] = list(islice(source, int((kinds == kind).sum())))
        return drawn

    def batch(self, number: int) -> Batch:
        """Batch ``number``."""
        documents = [document for kind in self.documents(number).values() for document in kind]
        room = self.length + 1  # the last token of a row is only a target
        sizes = [len(document.ids) for document in documents]
        groups = pack_documents(sizes, room)
        learned = [document.learned for document in documents]
        owners = [[i] * size for i, size in enumerate(sizes)]
        ids = fill_rows(groups, [document.ids for document in documents], room, padding_id=0)
        counted = fill_rows(groups, learned, room, padding_id=False)
        numbers = fill_rows(groups, owners, room, padding_id=-1)
        targets = np.where(counted[:, 1:] == 1, ids[:, 1:], IGNORED)
        made = {"ids": ids[:, :-1], "targets": targets, "documents": numbers[:, :-1]}
        if self.mention_weight != 1:
            mentioned = [
                [place in document.mentions for place in range(len(document.ids))]
                for document in documents
            ]
            again = fill_rows(groups, mentioned, room, padding_id=False)[:, 1:]
            made["weights"] = np.where(again == 1, self.mention_weight, 1.0).astype(np.float32)
        return Batch(**{name: torch.from_numpy(array.copy()) for name, array in made.items()})
