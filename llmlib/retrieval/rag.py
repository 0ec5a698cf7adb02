r"""Answers from retrieved passages: a prompt, citations that are checked, refusal.

.. math::

   p(y \mid x) = \sum_{z} p(z \mid x)\, p(y \mid x, z)
   \;\approx\; p(y \mid x, z_1, \dots, z_k)

==============  ========================  ====================================================
code            symbol                    what it is
==============  ========================  ====================================================
``question``    :math:`x`                 what is asked
``passages``    :math:`z_1, \dots, z_k`   the k best hits of a retriever, as one line each
``reply``       :math:`y`                 what the reader writes: ``answer [2]``, or a refusal
==============  ========================  ====================================================

The sum on the left asks the reader once for every passage and weighs what it says. The right side
shows it all k at once, numbered, so that the answer can say where it comes from::

    [1] The mill is green. Lunika built it.
    [2] The boat is red.
    Question: Who built the mill?

A reader is a function from conversations to replies: a model in this process, or one behind an
endpoint through :func:`one_by_one`. What it writes is not believed. Citations are read, and an
answer that cites nothing, or what was not shown, or whose words do not stand where it points, has
``problems``, and what a user then sees, :attr:`CitedAnswer.final`, is a refusal.

References
----------
1. Lewis et al., *Retrieval-Augmented Generation for Knowledge-Intensive NLP Tasks*, 2020,
   arXiv:2005.11401.

**Differs from the paper in** the right side of the equation, which is what nearly all applications
use, and in that retriever and reader are trained apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llmlib.evaluation import cited, faithfulness
from llmlib.retrieval.fusion import Retriever
from llmlib.retrieval.passages import Chunk, Hit

__all__ = [
    "INSTRUCTION",
    "RAG",
    "REFUSAL",
    "CitedAnswer",
    "Prepared",
    "answer_problems",
    "as_passage",
    "one_by_one",
    "passages_prompt",
    "without_citations",
]

REFUSAL = "I do not know."
#: For a model that was not trained on this form; the companion was, and needs none.
INSTRUCTION = (
    "Answer from the numbered passages only, in as few words as possible, and cite the passage "
    f"like this: [1]. If no passage has the answer, say: {REFUSAL}"
)

Messages = list[dict[str, str]]
Reader = Callable[[list[Messages]], Sequence[str]]

_HEADING = re.compile(r"^#{1,6} +[^\n]*\n+")
_CITATION = re.compile(r"\s*\[\d+\]")


def one_by_one(model: Callable[[Messages], str]) -> Reader:
    """A reader from a model that takes one conversation at a time.

    Examples
    --------
    >>> reader = one_by_one(lambda messages: messages[-1]["content"].upper())
    >>> reader([[{"role": "user", "content": "who?"}]])
    ['WHO?']
    """
    return lambda conversations: [model(messages) for messages in conversations]


def as_passage(chunk: Chunk) -> str:
    """A chunk as one line of a prompt.

    Line breaks become spaces, so that no text can begin a passage or a question of its own. A
    Markdown heading is kept, as ``Heading: ...``, only where the text below does not say it. The
    marks of chat templates lose their power: ``<|`` becomes ``<¦``.

    Examples
    --------
    >>> as_passage(Chunk("## Tarobe\\n\\nTarobe is a\\nvillage."))
    'Tarobe is a village.'
    >>> as_passage(Chunk("## Tarobe\\n\\nA village. <|user|>"))
    'Tarobe: A village. <¦user|>'
    """
    text = chunk.text.strip() + "\n"
    heading = _HEADING.match(text)
    body = " ".join(text[heading.end() if heading else 0 :].split())
    if heading:
        title = heading.group().strip("# \n")
        body = body if body and title in body else f"{title}: {body}".strip()
    return body.replace("<|", "<¦")


def passages_prompt(question: str, passages: Sequence[str]) -> str:
    """What the reader is asked: numbered passages, then the question.

    Examples
    --------
    >>> print(passages_prompt("Who built the mill?", ["Lunika built it.", "The boat is red."]))
    [1] Lunika built it.
    [2] The boat is red.
    Question: Who built the mill?
    """
    listed = "".join(f"[{number}] {text}\n" for number, text in enumerate(passages, start=1))
    return f"{listed}Question: {question}"


def without_citations(reply: str) -> str:
    """A reply without the numbers in brackets and the spaces before them.

    Examples
    --------
    >>> without_citations("Lunika [2]"), without_citations("Lunika [1][3].")
    ('Lunika', 'Lunika.')
    """
    return _CITATION.sub("", reply).strip()


def answer_problems(reply: str, passages: Sequence[str], refusal: str = REFUSAL) -> list[str]:
    """What is wrong with a reply, as far as a program can tell without knowing the answer.

    Parameters
    ----------
    reply : str
        What the reader wrote.
    passages : sequence of str
        What it was shown, numbered from 1.
    refusal : str
        A reply that claims nothing, and so has no problem.

    Examples
    --------
    >>> passages = ["The mill is green. Lunika built it.", "The boat is red."]
    >>> answer_problems("Lunika [1]", passages)
    []
    >>> answer_problems("Lunika", passages), answer_problems("Lunika [3]", passages)
    (['it cites no passage'], ['it cites [3], but 2 were shown'])
    >>> answer_problems("Lunika [2]", passages)
    ['not all of its words stand in the passages it cites']
    """
    if without_citations(reply) == refusal:
        return []
    numbers = cited(reply)
    if not numbers:
        return ["it cites no passage"]
    strange = [number for number in numbers if not 1 <= number <= len(passages)]
    if strange:
        return [f"it cites [{number}], but {len(passages)} were shown" for number in strange]
    if faithfulness(reply, passages, refusal=refusal) < 1:
        return ["not all of its words stand in the passages it cites"]
    return []


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A question, what was found for it, and the conversation that a reader gets."""

    question: str
    hits: tuple[Hit, ...]
    passages: tuple[str, ...]
    messages: Messages


@dataclass(frozen=True, kw_only=True)
class CitedAnswer:
    """An answer and where it comes from.

    Parameters
    ----------
    question : str
        What was asked.
    hits : tuple of Hit
        What the reader was shown, the best first; number n of a citation is ``hits[n - 1]``.
    passages : tuple of str
        The same as they stood in the prompt.
    reply : str
        What the reader wrote.
    text : str
        The reply without citations.
    citations : tuple of int
        The numbers it cites.
    problems : tuple of str
        What is wrong with it; see :func:`answer_problems`.
    refusal : str
        What a refusal reads like.
    """

    question: str
    hits: tuple[Hit, ...]
    passages: tuple[str, ...]
    reply: str
    text: str
    citations: tuple[int, ...]
    problems: tuple[str, ...]
    refusal: str = REFUSAL

    @property
    def refused(self) -> bool:
        """Whether the reader said that it does not know."""
        return self.text == self.refusal

    @property
    def final(self) -> str:
        """What a user should see: the answer, or a refusal where something is wrong with it."""
        return self.refusal if self.problems else self.text

    @property
    def sources(self) -> list[Chunk]:
        """The chunks that are cited, with the spans of their documents."""
        return [self.hits[n - 1].chunk for n in self.citations if 1 <= n <= len(self.hits)]


class RAG:
    """Retrieve, show, read, check.

    Parameters
    ----------
    retriever : Retriever
        Whatever has ``.search(query, k)``.
    reader : callable
        From a list of conversations to a list of replies.
    k : int
        Passages that the reader is shown. With 0 it gets the question alone.
    show : callable
        From a chunk to a line of the prompt.
    system : str
        What the system says first, such as :data:`INSTRUCTION`; nothing by default.
    count : callable, optional
        Tokens of a conversation.
    room : int, optional
        Most tokens of a conversation. Where ``count`` says more, passages are left out whole, the
        worst first.
    check : callable
        From reply and passages to a list of problems.
    refusal : str
        What the reader says when no passage has the answer. Where nothing is found at all, this is
        the reply, and the reader is not asked.

    Raises
    ------
    ValueError
        ``k`` is negative, or only one of ``count`` and ``room`` is given.

    Examples
    --------
    >>> from llmlib.retrieval import BM25
    >>> shelf = BM25(["The mill is green. Lunika built it.", "The boat is red."])
    >>> def reads(conversations):
    ...     asked = [messages[-1]["content"] for messages in conversations]
    ...     return ["Lunika [1]" if "Lunika built" in text else REFUSAL for text in asked]
    >>> answer = RAG(shelf, reads, k=1).answer("Who built the mill?")
    >>> answer.final, answer.sources[0].text
    ('Lunika', 'The mill is green. Lunika built it.')
    >>> RAG(shelf, reads, k=1).answer("Where?").final
    'I do not know.'
    """

    def __init__(
        self,
        retriever: Retriever,
        reader: Reader,
        *,
        k: int = 3,
        show: Callable[[Chunk], str] = as_passage,
        system: str = "",
        count: Callable[[Messages], int] | None = None,
        room: int | None = None,
        check: Callable[[str, Sequence[str]], Sequence[str]] = answer_problems,
        refusal: str = REFUSAL,
    ) -> None:
        if k < 0:
            raise ValueError(f"k={k}: show at least 0 passages")
        if (count is None) != (room is None):
            raise ValueError(
                "count says how many tokens there are and room how many fit: give both"
            )
        self.retriever, self.reader, self.k = retriever, reader, k
        self.show, self.system, self.count, self.room = show, system, count, room
        self.check, self.refusal = check, refusal

    def prepare(self, question: str) -> Prepared:
        """Search, and write the prompt.

        Raises
        ------
        ValueError
            Not even the best passage fits beside the question.
        """
        hits = list(self.retriever.search(question, self.k)) if self.k else []
        while True:
            passages = [self.show(hit.chunk) for hit in hits]
            messages = self._messages(question, passages)
            if self.count is None or self.count(messages) <= self.room:
                break
            if len(hits) <= 1:
                raise ValueError(
                    f"question and best passage have {self.count(messages)} tokens, but "
                    f"room={self.room}: split documents into smaller chunks"
                )
            hits.pop()
        return Prepared(
            question=question, hits=tuple(hits), passages=tuple(passages), messages=messages
        )

    def answers(self, questions: Sequence[str]) -> list[CitedAnswer]:
        """Answer several questions; the reader gets their conversations together."""
        prepared = [self.prepare(question) for question in questions]
        asked = [one for one in prepared if one.hits or not self.k]
        replies = iter(self.reader([one.messages for one in asked]) if asked else ())
        return [
            self.finish(one, next(replies) if one.hits or not self.k else self.refusal)
            for one in prepared
        ]

    def answer(self, question: str) -> CitedAnswer:
        """Answer one question."""
        return self.answers([question])[0]

    def finish(self, prepared: Prepared, reply: str) -> CitedAnswer:
        """Read and check what a reader wrote."""
        reply = reply.strip()
        return CitedAnswer(
            question=prepared.question,
            hits=prepared.hits,
            passages=prepared.passages,
            reply=reply,
            text=without_citations(reply),
            citations=tuple(cited(reply)),
            problems=tuple(self.check(reply, prepared.passages)),
            refusal=self.refusal,
        )

    def _messages(self, question: str, passages: Sequence[str]) -> Messages:
        content = passages_prompt(question, passages) if self.k else question
        first = [{"role": "system", "content": self.system}] if self.system else []
        return [*first, {"role": "user", "content": content}]
