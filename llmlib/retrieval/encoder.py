r"""A bi-encoder: one vector for a text, trained so that a question lies near its answer.

.. math::

   e(x) = \frac{\bar h}{|\bar h|}, \qquad \bar h = \frac{1}{T} \sum_{t} h_t, \qquad
   L = -\frac{1}{B} \sum_{i} \ln
       \frac{e^{\,e(q_i) \cdot e(d_i) / \tau}}{\sum_j e^{\,e(q_i) \cdot e(d_j) / \tau}}

===============  ====================  ============================================================
code             symbol                shape
===============  ====================  ============================================================
``hidden``       :math:`h_t`           ``(B, T, D)``, of a :class:`~llmlib.models.Bert`
``queries``      :math:`e(q_i)`        ``(B, D)``, each of length 1
``passages``     :math:`e(d_j)`        ``(B, D)``; row i answers query i, the others do not
``temperature``  :math:`\tau`          how hard the nearest wrong passage is pushed away
``also_right``   --                    Boolean ``(B, B)``: wrong by their place only; left out
===============  ====================  ============================================================

The loss is a classification among the passages of the batch: the more there are, the harder the
question. It is called InfoNCE, or contrastive loss with in-batch negatives.

References
----------
1. van den Oord et al., *Representation Learning with Contrastive Predictive Coding*, 2018,
   arXiv:1807.03748.
2. Karpukhin et al., *Dense Passage Retrieval for Open-Domain Question Answering*, 2020,
   arXiv:2004.04906.
3. Reimers and Gurevych, *Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks*, 2019,
   arXiv:1908.10084: the mean over tokens.

**Differs from reference 2 in** the single encoder for questions and passages, the mean over tokens
in place of the first one, and the cosine in place of the dot product.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from llmlib.interop import load_pretrained, save_pretrained
from llmlib.models import Bert
from llmlib.tokenizers import Tokenizer

__all__ = ["TextEncoder", "info_nce", "mean_pool", "pad_ids"]


def mean_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean over the tokens that are no padding: ``(B, T, D), (B, T) -> (B, D)``.

    Examples
    --------
    >>> hidden = torch.tensor([[[1.0], [3.0], [99.0]]])
    >>> mean_pool(hidden, torch.tensor([[True, True, False]]))
    tensor([[2.]])
    """
    weights = mask[..., None].to(hidden.dtype)  # (B, T, 1)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def info_nce(
    queries: Tensor,
    passages: Tensor,
    *,
    temperature: float = 0.05,
    also_right: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of finding each query's passage among all passages of the batch.

    Parameters
    ----------
    queries : Tensor
        ``(B, D)``, each of length 1.
    passages : Tensor
        ``(M, D)`` with ``M >= B``, each of length 1; row i answers query i, rows from B on
        answer none.
    temperature : float
        Cosines are divided by it.
    also_right : Tensor, optional
        Boolean ``(B, M)``: passages that answer the query too. They are left out of its sum,
        since pushing them away would teach something wrong.

    Returns
    -------
    Tensor
        A number, in nats; ln M when all passages look alike.

    Examples
    --------
    >>> alike = F.normalize(torch.ones(4, 3), dim=-1)
    >>> round(info_nce(alike, alike).item(), 4)          # ln 4
    1.3863
    """
    if temperature <= 0:
        raise ValueError(f"temperature={temperature} must be above 0")
    scores = queries @ passages.T / temperature  # (B, M)
    right = torch.arange(len(queries), device=queries.device)
    if also_right is not None:
        own = torch.zeros_like(also_right)
        own[right, right] = True
        scores = scores.masked_fill(also_right & ~own, -torch.inf)
    return F.cross_entropy(scores, right)


def pad_ids(rows: Sequence[Sequence[int]], padding_id: int = 0) -> tuple[Tensor, Tensor]:
    """Rows of ids as a rectangle ``(B, T)``, and a mask that is False at padding.

    Examples
    --------
    >>> ids, mask = pad_ids([[5, 6], [7]])
    >>> ids.tolist(), mask.tolist()
    ([[5, 6], [7, 0]], [[True, True], [True, False]])
    """
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[padding_id] * (longest - len(row))] for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return ids, torch.arange(longest) < lengths[:, None]


class TextEncoder:
    """Texts to vectors: a tokenizer, a BERT and the mean over tokens.

    Parameters
    ----------
    model : Bert
        Its heads, if it has any, are not used.
    tokenizer : Tokenizer
        What cuts texts into the model's tokens.
    max_tokens : int, optional
        Longer texts are cut off here; the model's context when left out.

    Notes
    -----
    Called with a list of texts it gives an array ``(n, D)`` of rows of length 1, as
    :class:`~llmlib.retrieval.DenseIndex` wants it.

    Examples
    --------
    >>> from llmlib.models import BertConfig
    >>> from llmlib.tokenizers import WordPieceTokenizer
    >>> tokenizer = WordPieceTokenizer.train(["the mill is green"], 40, ["[PAD]", "[UNK]"])
    >>> model = Bert(BertConfig(
    ...     vocab_size=40, context_length=16, dim=8, num_layers=1, num_heads=2,
    ...     next_sentence=False, masked_tokens=False))
    >>> encode = TextEncoder(model, tokenizer)
    >>> vectors = encode(["the mill", "green"])
    >>> vectors.shape, np.linalg.norm(vectors, axis=1).round(3).tolist()
    ((2, 8), [1.0, 1.0])
    """

    def __init__(self, model: Bert, tokenizer: Tokenizer, *, max_tokens: int | None = None) -> None:
        if tokenizer.vocab_size > model.config.vocab_size:
            raise ValueError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the model only "
                f"{model.config.vocab_size}: build the model with the tokenizer's vocab_size"
            )
        context = model.config.context_length
        self.model, self.tokenizer = model, tokenizer
        self.max_tokens = context if max_tokens is None else min(max_tokens, context)

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Vectors with gradients, of length 1: ``n texts -> (n, D)``."""
        ids, mask = pad_ids([self._ids(text) for text in texts], self._padding_id)
        device = next(self.model.parameters()).device
        ids, mask = ids.to(device), mask.to(device)
        return F.normalize(mean_pool(self.model.hidden_states(ids, mask), mask), dim=-1)

    def __call__(self, texts: Sequence[str], batch_size: int = 64) -> np.ndarray:
        """Vectors without gradients; texts of like length go through the model together."""
        was_training = self.model.training
        self.model.eval()
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        rows = np.zeros((len(texts), self.model.config.dim), dtype=np.float32)
        with torch.no_grad():
            for start in range(0, len(order), batch_size):
                some = order[start : start + batch_size]
                rows[some] = self.embed([texts[n] for n in some]).float().cpu().numpy()
        self.model.train(was_training)
        return rows

    @property
    def _padding_id(self) -> int:
        return self.model.config.padding_id or 0

    def _ids(self, text: str) -> list[int]:
        ids = self.tokenizer.encode(text)
        if len(ids) > self.max_tokens:  # special tokens at the end stay where they are
            template = self.tokenizer.template
            end = template.after if template is not None else []
            ids = [*ids[: self.max_tokens - len(end)], *end]
        return ids or [self._padding_id]

    def save(self, path: str | Path) -> None:
        """Write a folder that ``AutoModel`` and ``AutoTokenizer`` of transformers open."""
        padding = self.model.config.padding_id  # transformers pads a batch with it
        save_pretrained(self.model, self.tokenizer, path, pad_token_id=padding)

    @classmethod
    def load(cls, path: str | Path, *, max_tokens: int | None = None) -> Self:
        """Read a folder: one of ours, or a published sentence encoder of the BERT family.

        Published files also say where texts are cut off; that is used unless ``max_tokens`` is
        given. Their vectors are those of the ``sentence-transformers`` library when that model
        takes the mean over tokens, as most do.
        """
        path = Path(path)
        model, tokenizer = load_pretrained(path, ignore_lengths=True)
        if max_tokens is None:
            limits = path / "sentence_bert_config.json"
            if limits.is_file():
                max_tokens = json.loads(limits.read_text(encoding="utf-8"))["max_seq_length"]
        return cls(model.float(), tokenizer, max_tokens=max_tokens)
