r"""A few rows of a frozen embedding that learn: for tokens that the base has never met.

.. math::

   E'_v = \begin{cases} R_v & v \in \mathcal T \\ E_v & \text{else} \end{cases}

==========  ==================  ==========================================
code        symbol              shape
==========  ==================  ==========================================
``base``    :math:`E`           ``(V, D)``, frozen
``tokens``  :math:`\mathcal T`  ``(n,)``, ids
``rows``    :math:`R`           ``(n, D)``, trained; those of E at first
==========  ==================  ==========================================

Tokens that never occurred in a training have all been pushed the same way, out of the way. No
update of the layers before them can tell them apart; their own rows can.

**Differs from** ``trainable_token_indices`` of peft, whose format it shares, **in** what it takes:
the token embedding of our models.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from llmlib.models import CausalLanguageModel
from llmlib.nn import TokenEmbedding, linear
from llmlib.post_training.adapter import Adapter, train_adapters_only, trained_dtype

__all__ = ["TokenRows", "train_token_rows"]


class TokenRows(Adapter):
    """A frozen token embedding of which some rows are trained, on the way in and on the way out.

    Parameters
    ----------
    base : TokenEmbedding
        Frozen.
    tokens : sequence of int
        Ids whose rows are trained.

    Attributes
    ----------
    rows : torch.nn.Parameter
        ``(n, D)``.

    Raises
    ------
    ValueError
        A token is named twice, or is outside the vocabulary.

    Examples
    --------
    >>> embedding = TokenRows(TokenEmbedding(10, 4), [7, 9])
    >>> ids = torch.tensor([[1, 7]])
    >>> torch.equal(embedding(ids), embedding.base(ids))
    True
    >>> embedding(ids).sum().backward()
    >>> embedding.rows.grad.sum(dim=1), embedding.base.weight.grad
    (tensor([4., 0.]), None)
    """

    def __init__(self, base: TokenEmbedding, tokens: Sequence[int]) -> None:
        super().__init__()
        size = base.num_embeddings
        if len(set(tokens)) < len(tokens) or not all(0 <= token < size for token in tokens):
            raise ValueError(
                f"tokens={list(tokens)}, but different ids from 0 to {size - 1} are needed"
            )
        self.base = base.requires_grad_(False)
        ids = torch.tensor(list(tokens), dtype=torch.long, device=base.weight.device)
        self.register_buffer("tokens", ids, persistent=False)
        rows = base.weight.detach()[ids].to(trained_dtype(base.weight))
        self.rows = nn.Parameter(rows)

    @property
    def weight(self) -> Tensor:
        """``(V, D)``, with the trained rows in their places."""
        return self.base.weight.index_copy(0, self.tokens, self.rows.to(self.base.weight.dtype))

    def forward(self, ids: Tensor) -> Tensor:
        """``(...,)`` integers ``-> (..., D)``."""
        return functional_call(self.base, {"weight": self.weight}, (ids,))

    def logits(self, hidden: Tensor) -> Tensor:
        """Score of every token: ``(..., D) -> (..., V)``, with the same matrix."""
        return linear(hidden, self.weight)

    def adapter(self) -> dict[str, nn.Parameter]:
        """What is trained and stored, by the name that peft gives it in a file."""
        return {"token_adapter.trainable_tokens_delta": self.rows}


def train_token_rows(model: CausalLanguageModel, tokens: Sequence[int]) -> CausalLanguageModel:
    """Let the rows of some tokens learn, beside the adapters that a model has.

    Parameters
    ----------
    model : CausalLanguageModel
        Changed in place, and frozen but for its adapters.
    tokens : sequence of int
        Ids, for example of special tokens that the base was not trained on.

    Returns
    -------
    CausalLanguageModel
        The model. :func:`~llmlib.post_training.merge_lora` puts the rows into its embedding.

    Examples
    --------
    >>> from llmlib.models import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocab_size=32, context_length=8, dim=16, num_layers=1, num_heads=2))
    >>> _ = train_token_rows(model, [30, 31])
    >>> sum(p.numel() for p in model.parameters() if p.requires_grad)
    32
    """
    if not isinstance(model.token_embedding, TokenEmbedding):
        raise ValueError(
            f"token_embedding is a {type(model.token_embedding).__name__}: name all tokens in one "
            "call, on a model whose embedding is plain"
        )
    model.token_embedding = TokenRows(model.token_embedding, tokens)
    train_adapters_only(model)
    return model
