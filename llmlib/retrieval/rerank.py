r"""A cross-encoder: question and passage read together, one number out.

.. math::

   s(q, d) = w^\top \tanh\!\left(W \bar h_d + b\right) + c, \qquad
   h = \operatorname{BERT}([CLS]\; q\; [SEP]\; d\; [SEP])

Here :math:`\bar h_d` is the mean over the tokens of the passage.

==============  ==================  ==========================================================
code            symbol              shape
==============  ==================  ==========================================================
``pooler``      :math:`W, b`        ``D -> D``, of the :class:`~llmlib.models.Bert`
``classifier``  :math:`w, c`        ``D -> 1``
==============  ==================  ==========================================================

Every word of the question can look at every word of the passage, so it sees more than two vectors
that were made apart. But nothing can be computed before the question is known: the model reads
every passage again for every question. Hence two stages: a cheap search over everything, then a
cross-encoder over the few that it found.

References
----------
1. Nogueira and Cho, *Passage Re-ranking with BERT*, 2019, arXiv:1901.04085.

**Differs from the paper in** the loss: there each pair is right or wrong, here the right passage
competes with wrong ones for the same question (a softmax over the list). And in what is read out:
there the first token, which in a pretrained BERT has learned to gather a whole text. In a small
model from random weights nothing gathers at first, and the mean gives every token a gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from llmlib.interop import load_pretrained, save_pretrained
from llmlib.models import Bert
from llmlib.nn import Linear
from llmlib.retrieval.encoder import mean_pool, pad_ids
from llmlib.retrieval.fusion import Retriever
from llmlib.retrieval.passages import Hit
from llmlib.tokenizers import Tokenizer

__all__ = ["CrossEncoder", "Reranker"]

HEAD = "classifier.safetensors"


class CrossEncoder(nn.Module):
    """Scores pairs of question and passage.

    Parameters
    ----------
    bert : Bert
        An encoder without heads (``masked_tokens=False``): it has the pooler.
    tokenizer : Tokenizer
        With the special tokens ``[CLS]`` and ``[SEP]``.

    Examples
    --------
    >>> from llmlib.models import BertConfig
    >>> from llmlib.tokenizers import WordPieceTokenizer
    >>> special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    >>> tokenizer = WordPieceTokenizer.train(["the mill is green"], 40, special)
    >>> model = CrossEncoder(Bert(BertConfig(
    ...     vocab_size=40, context_length=16, dim=8, num_layers=1, num_heads=2,
    ...     next_sentence=False, masked_tokens=False)), tokenizer)
    >>> model([("green", "the mill"), ("mill", "the mill is green")]).shape
    torch.Size([2])
    """

    def __init__(self, bert: Bert, tokenizer: Tokenizer) -> None:
        super().__init__()
        if bert.pooler is None:
            raise ValueError("the encoder has no pooler: build it with masked_tokens=False")
        missing = [t for t in ("[CLS]", "[SEP]") if t not in tokenizer.special_tokens]
        if missing:
            raise ValueError(f"the tokenizer lacks {missing}, which part question and passage")
        self.bert, self.tokenizer = bert, tokenizer
        self.classifier = Linear(bert.config.dim, 1)
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, pairs: Sequence[tuple[str, str]]) -> Tensor:
        """Scores with gradients: ``n pairs (question, passage) -> (n,)``."""
        rows = [self._ids(question, passage) for question, passage in pairs]
        ids, mask = pad_ids([first + second for first, second in rows], self._padding_id)
        starts = torch.tensor([[len(first)] for first, _ in rows])
        segments = ((torch.arange(ids.shape[1]) >= starts) & mask).long()  # (n, T)
        device = self.classifier.weight.device
        ids, mask, segments = ids.to(device), mask.to(device), segments.to(device)
        hidden = self.bert.hidden_states(ids, mask, segments=segments)  # (n, T, D)
        passage = mean_pool(hidden, segments == 1)  # (n, D)
        return self.classifier(torch.tanh(self.bert.pooler(passage)))[:, 0]

    def score(self, question: str, passages: Sequence[str], batch_size: int = 64) -> Tensor:
        """Scores without gradients: ``n passages -> (n,)``."""
        was_training = self.training
        self.eval()
        with torch.no_grad():
            parts = [
                self([(question, passage) for passage in passages[start : start + batch_size]])
                for start in range(0, len(passages), batch_size)
            ]
        self.train(was_training)
        return torch.cat(parts) if parts else torch.zeros(0)

    @property
    def _padding_id(self) -> int:
        return self.bert.config.padding_id or 0

    def _ids(self, question: str, passage: str) -> tuple[list[int], list[int]]:
        special = self.tokenizer.special_tokens
        encode = self.tokenizer.encode
        context = self.bert.config.context_length
        first = encode(question, add_special_tokens=False)[: context // 2 - 2]
        first = [special["[CLS]"], *first, special["[SEP]"]]
        second = encode(passage, add_special_tokens=False)[: context - len(first) - 1]
        return first, [*second, special["[SEP]"]]

    def save(self, path: str | Path) -> None:
        """Write a folder: the encoder as transformers reads it, and the classifier."""
        save_pretrained(self.bert, self.tokenizer, path)
        state = {name: tensor.contiguous() for name, tensor in self.classifier.state_dict().items()}
        save_file(state, Path(path) / HEAD)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote."""
        bert, tokenizer = load_pretrained(path)
        model = cls(bert.float(), tokenizer)
        head = load_file(Path(path) / HEAD)
        model.classifier.load_state_dict({name: t.float() for name, t in head.items()})
        return model.eval()


class Reranker:
    """A retriever whose first hits a cross-encoder puts into a better order.

    Parameters
    ----------
    retriever : Retriever
        Finds ``depth`` candidates.
    model : CrossEncoder
        Scores them; anything with ``.score(question, passages)`` will do.
    depth : int
        Candidates. What is not among them cannot be found; each costs one pass of the model.

    Examples
    --------
    >>> from llmlib.retrieval import BM25
    >>> class Longest:
    ...     def score(self, question, passages):
    ...         return torch.tensor([float(len(passage)) for passage in passages])
    >>> texts = ["green mill", "a mill", "the old mill on the river"]
    >>> Reranker(BM25(texts), Longest(), depth=3).search("mill", 1)[0].text
    'the old mill on the river'
    """

    def __init__(self, retriever: Retriever, model: CrossEncoder, *, depth: int = 20) -> None:
        self.retriever, self.model, self.depth = retriever, model, depth

    def search(self, query: str, k: int = 10, where: Mapping[str, str] | None = None) -> list[Hit]:
        """The best k of the candidates, by the score of the model."""
        found = self.retriever.search(query, max(self.depth, k), where)
        scores = self.model.score(query, [hit.text for hit in found]).tolist()
        rescored = [Hit(hit.chunk, score) for hit, score in zip(found, scores, strict=True)]
        return sorted(rescored, key=lambda hit: -hit.score)[:k]
