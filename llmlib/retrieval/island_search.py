"""Learning to search the island: examples, a vocabulary, and the training of both encoders.

Examples are questions and the articles that answer them, from islands whose names are all of the
split ``train``. Half of them ask by name (:meth:`llmlib.data.Island.questions`), half by
description (:func:`llmlib.data.describe_articles`). A batch takes its examples from few islands, so
that the wrong passages of a question are about the same things as the right one.

An article may answer a question by accident: two villages have green roofs and make salt. Such
*false negatives* are known here (:attr:`SearchExample.answers`) and left out of the loss.
"""

from __future__ import annotations

import random
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llmlib.data import Island
from llmlib.data.island_descriptions import describe_articles
from llmlib.models import Bert, BertConfig
from llmlib.retrieval.bm25 import search_words
from llmlib.retrieval.encoder import TextEncoder, info_nce
from llmlib.retrieval.fusion import Retriever
from llmlib.retrieval.passages import Chunk, Document
from llmlib.retrieval.rerank import CrossEncoder
from llmlib.retrieval.splitting import split_headings
from llmlib.tokenizers import WordPieceTokenizer
from llmlib.training import AdamW, cosine_schedule

__all__ = [
    "SearchExample",
    "also_right",
    "encoder_loss",
    "fit",
    "hard_negatives",
    "island_batches",
    "island_chunks",
    "island_encoder",
    "island_examples",
    "island_reranker",
    "island_tokenizer",
    "reranker_lists",
    "reranker_loss",
]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
Key = tuple[str, str]  # island, title


@dataclass(frozen=True)
class SearchExample:
    """A question, an article that answers it, and all that do.

    Parameters
    ----------
    question, passage : str
        Texts.
    key : tuple of str
        Island and title of the article.
    answers : frozenset
        Keys of all articles that answer the question.
    named : bool
        Whether the question names what it is about.
    """

    question: str
    passage: str
    key: Key
    answers: frozenset[Key]
    named: bool


def island_chunks(island: Island) -> list[Chunk]:
    """The articles as chunks, with the kind of thing in their metadata.

    Examples
    --------
    >>> from llmlib.data import make_island
    >>> chunks = island_chunks(make_island(seed=1))
    >>> len(chunks), sorted(chunks[0].metadata)
    (120, ['heading', 'kind', 'path'])
    """
    kinds = {article.title: article.kind for article in island.articles}
    return [
        Chunk(
            c.text, c.source, c.start, c.end, {**c.metadata, "kind": kinds[c.metadata["heading"]]}
        )
        for c in split_headings(Document(island.text, island.name))
    ]


def island_tokenizer(islands: Sequence[Island]) -> WordPieceTokenizer:
    """WordPiece with a token for every word of several islands, and syllables for all names.

    A name stands on one island only. Were names learned as tokens, those of another island would
    fall into crumbs that no training has seen.

    Examples
    --------
    >>> from llmlib.data import make_island
    >>> tokenizer = island_tokenizer([make_island(seed=seed) for seed in range(4)])
    >>> [tokenizer.decode([i]) for i in tokenizer.encode("The village of Tarobe")]
    ['the', 'village', 'of', 'ta', '##ro', '##be']
    """
    counts: Counter[str] = Counter()
    for island in islands:
        questions = [asked.question for asked in island.questions()]
        described = [
            one.question for seed in range(4) for one in describe_articles(island, seed=seed)
        ]
        counts.update(set(search_words(" ".join([island.text, *questions, *described]))))
    words = sorted(word for word, number in counts.items() if number >= min(3, len(islands)))
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    pieces = [*syllables, *string.ascii_lowercase, *string.digits]
    tokens = [*SPECIAL, *".,?!'-#:", *words, *pieces, *(f"##{piece}" for piece in pieces)]
    return WordPieceTokenizer.from_vocab(dict(enumerate(dict.fromkeys(tokens))), SPECIAL)


def island_encoder(
    tokenizer: WordPieceTokenizer, *, dim: int = 64, num_layers: int = 1, seed: int = 0
) -> TextEncoder:
    """An encoder of random weights, drawn in float64 so that every machine draws the same."""
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        context_length=128,
        dim=dim,
        num_layers=num_layers,
        num_heads=4,
        hidden_dim=2 * dim,
        next_sentence=False,
        masked_tokens=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Bert(config).double()
        for weight in model.parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=0.02)
    return TextEncoder(model.float(), tokenizer)


def island_reranker(encoder: TextEncoder, *, num_layers: int = 2, seed: int = 1) -> CrossEncoder:
    """A cross-encoder of random weights, with the words of a trained encoder and a hint.

    It takes over the token vectors, in which "scarlet" lies near "red" by now. And in its first
    layer queries and keys begin near the identity, so that a token attends to others like it:
    to compare question and passage is what the model is for, and finding out alone that equal
    tokens should meet takes it thousands of steps.
    """
    config = encoder.model.config
    fresh = island_encoder(encoder.tokenizer, dim=config.dim, num_layers=num_layers, seed=seed)
    bert = fresh.model
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        bert.token_embedding.weight.copy_(encoder.model.token_embedding.weight)
        attention, identity = bert.blocks[0].attention, torch.eye(config.dim)
        for weight, share in (
            (attention.q_proj.weight, 1.2),
            (attention.k_proj.weight, 1.2),
            (attention.v_proj.weight, 0.7),
            (attention.out_proj.weight, 0.7),
        ):
            weight.add_(share * identity)
        return CrossEncoder(bert, encoder.tokenizer)


def island_examples(island: Island, *, seed: int = 0) -> list[SearchExample]:
    """All questions by name and one description of every article that has one."""
    chunks = {chunk.metadata["heading"]: chunk.text for chunk in island_chunks(island)}
    examples = []
    for asked in island.questions():
        key = (island.name, asked.article)
        examples.append(
            SearchExample(asked.question, chunks[asked.article], key, frozenset([key]), True)
        )
    described = describe_articles(island, seed=seed)
    for one in described:
        answers = frozenset((island.name, title) for title in one.articles)
        examples.append(
            SearchExample(
                one.question, chunks[one.article], (island.name, one.article), answers, False
            )
        )
    return examples


def island_batches(
    islands: Sequence[Island], *, batch_size: int = 64, islands_per_batch: int = 2, seed: int = 0
) -> Iterator[list[SearchExample]]:
    """Endless batches, half by name and half by description, from few islands each.

    Examples
    --------
    >>> from llmlib.data import make_island
    >>> batch = next(island_batches([make_island(seed=1), make_island(seed=2)], batch_size=8))
    >>> len(batch), sum(example.named for example in batch)
    (8, 4)
    """
    share = batch_size // (2 * islands_per_batch)
    if share < 1 or len(islands) < islands_per_batch:
        raise ValueError(
            f"batch_size={batch_size}, islands_per_batch={islands_per_batch}, {len(islands)} "
            "islands: a batch needs two examples of each of its islands"
        )
    rng = random.Random(seed)
    while True:
        batch: list[SearchExample] = []
        for island in rng.sample(list(islands), islands_per_batch):
            examples = island_examples(island, seed=rng.randrange(1_000_000))
            for named in (True, False):
                batch += rng.sample([e for e in examples if e.named == named], share)
        yield batch


def also_right(batch: Sequence[SearchExample]) -> Tensor:
    """``(B, B)``: whether the passage of example j answers the question of example i."""
    return torch.tensor([[other.key in one.answers for other in batch] for one in batch])


def encoder_loss(
    encoder: TextEncoder, batch: Sequence[SearchExample], *, temperature: float = 0.05
) -> Tensor:
    """InfoNCE of a batch, without the false negatives."""
    texts = [example.question for example in batch] + [example.passage for example in batch]
    queries, passages = encoder.embed(texts).split(len(batch))
    return info_nce(queries, passages, temperature=temperature, also_right=also_right(batch))


def reranker_lists(
    islands: Sequence[Island],
    retrievers: Sequence[Retriever],
    *,
    number: int = 8,
    hard: int = 3,
    easy: int = 4,
    seed: int = 0,
) -> Iterator[list[tuple[str, list[str]]]]:
    """Endless lists to learn from: a question, the right passage, hard and easy wrong ones.

    Parameters
    ----------
    islands, retrievers : sequences
        Each island and what searches it.
    number : int
        Questions at a time, half by name and half by description.
    hard, easy : int
        Wrong passages that the retriever found, and any others of the island.
    seed : int
        Of all choices.
    """
    rng = random.Random(seed)
    examples = [island_examples(island, seed=seed) for island in islands]
    while True:
        lists: list[tuple[str, list[str]]] = []
        while len(lists) < number:
            place = rng.randrange(len(islands))
            named = len(lists) % 2 == 0
            one = rng.choice([e for e in examples[place] if e.named == named])
            wrong = hard_negatives(one, retrievers[place], hard, rng)
            others = [e.passage for e in examples[place] if e.key not in one.answers]
            wrong += rng.sample(others, hard + easy - len(wrong))
            lists.append((one.question, [one.passage, *wrong]))
        yield lists


def hard_negatives(
    example: SearchExample, retriever: Retriever, count: int, rng: random.Random
) -> list[str]:
    """Passages that a retriever takes for right and that are not, at random among its first 20."""
    wrong = [
        hit.text
        for hit in retriever.search(example.question, 20)
        if (hit.chunk.source, hit.chunk.metadata["heading"]) not in example.answers
    ]
    return rng.sample(wrong, min(count, len(wrong)))


def reranker_loss(model: CrossEncoder, lists: Sequence[tuple[str, Sequence[str]]]) -> Tensor:
    """Cross-entropy of picking the first passage of each list: it is the right one.

    Parameters
    ----------
    model : CrossEncoder
        What is trained.
    lists : sequence
        Question and passages, the right one first; equally many in each.
    """
    pairs = [(question, passage) for question, passages in lists for passage in passages]
    scores = model(pairs).view(len(lists), -1)
    return nn.functional.cross_entropy(scores, torch.zeros(len(lists), dtype=torch.long))


def fit(
    module: nn.Module,
    loss: Callable[[], Tensor],
    steps: int,
    *,
    max_lr: float = 3e-3,
    warmup_steps: int = 30,
) -> list[float]:
    """Minimise with AdamW under a cosine schedule; the losses of all steps."""
    optimizer = AdamW(module.parameters(), lr=max_lr, weight_decay=0.01)
    losses = []
    module.train()
    for step in range(steps):
        rate = cosine_schedule(
            step,
            max_lr=max_lr,
            min_lr=max_lr / 30,
            warmup_steps=min(warmup_steps, steps // 2),
            total_steps=steps,
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    module.eval()
    return losses
