r"""BERT: an encoder that fills in hidden tokens and tells whether two texts belong together.

.. math::

   h_0 = \mathrm{LayerNorm}(E_x + P + S_{seg}), \qquad
   \mathrm{logits}_{MLM} = \mathrm{LayerNorm}(f(W h_N + b))\, E^\top + c, \qquad
   \mathrm{logits}_{NSP} = W' \tanh(W'' h_{N, [CLS]} + b'') + b'

=======================  ==============================  ===============
code                     symbol                          shape
=======================  ==============================  ===============
``token_embedding``      :math:`E`                       ``(V, D)``
``position_embedding``   :math:`P`                       ``(context, D)``
``segment_embedding``    :math:`S`                       ``(2, D)``
``transform``            :math:`W`, with norm            ``D -> D``
``output_bias``          :math:`c`                       ``(V,)``
``pooler``               :math:`W''`                     ``D -> D``
``next_sentence_head``   :math:`W'`                      ``D -> 2``
=======================  ==============================  ===============

References
----------
1. Devlin et al., *BERT: Pre-training of Deep Bidirectional Transformers for Language
   Understanding*, 2018, arXiv:1810.04805.

**Differs from the paper in** nothing that the released weights could tell. As there, class 0 of
the second head means "the second text follows the first", class 1 "it is a random one".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmlib.models.causal import check_batch, check_padding_mask, initialise
from llmlib.nn import (
    FeedForward,
    LayerNorm,
    LearnedPositions,
    Linear,
    MultiHeadAttention,
    PostNormBlock,
    TokenEmbedding,
    linear,
    linear_cross_entropy,
    make_activation,
)

__all__ = ["Bert", "BertConfig"]


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """Sizes of a :class:`Bert`; the defaults are those of BERT base.

    Parameters
    ----------
    vocab_size : int
        Tokens V.
    context_length : int
        Longest text, in tokens; each place has its own learned vector.
    dim : int
        Model width D.
    num_layers : int
        Blocks N.
    num_heads : int
        Attention heads H, a divisor of ``dim``.
    hidden_dim : int, optional
        Feed-forward width F; ``4 * dim`` when left out.
    num_segments : int
        Texts that a token may belong to.
    activation : str
        A name that :func:`llmlib.nn.make_activation` knows.
    norm_eps : float
        Added to the variance in every layer norm.
    dropout : float
        Of embeddings, attention weights and what each layer adds, during training.
    next_sentence : bool
        Whether there is a head for the second task. RoBERTa and later models drop it.
    masked_tokens : bool
        Whether there is a head that fills in hidden tokens. Encoders that search or classify have
        none: their last layer is :meth:`Bert.hidden_states`, and a pooler stands ready for a head.
    padding_id : int, optional
        Token whose embedding is not trained.

    Examples
    --------
    >>> BertConfig(vocab_size=100, dim=32, num_layers=1, num_heads=2).next_sentence
    True
    """

    vocab_size: int = 30_522
    context_length: int = 512
    dim: int = 768
    num_layers: int = 12
    num_heads: int = 12
    hidden_dim: int | None = None
    num_segments: int = 2
    activation: str = "gelu"
    norm_eps: float = 1e-12
    dropout: float = 0.0
    next_sentence: bool = True
    masked_tokens: bool = True
    padding_id: int | None = 0

    def __post_init__(self) -> None:
        sizes = (self.vocab_size, self.context_length, self.num_layers, self.num_segments)
        if min(sizes) < 1:
            raise ValueError(
                f"vocab_size, context_length, num_layers, num_segments = {sizes}: each must be at "
                "least 1"
            )
        if self.next_sentence and not self.masked_tokens:
            raise ValueError(
                "next_sentence=True with masked_tokens=False: the two heads are trained together; "
                "set next_sentence=False for an encoder without heads"
            )


class Bert(nn.Module):
    """BERT with its two heads.

    Parameters
    ----------
    config : BertConfig
        Its sizes.

    Notes
    -----
    Source: Devlin et al. 2018. Equal to ``BertForPreTraining`` of transformers, or to
    ``BertForMaskedLM`` with ``next_sentence=False``, or to ``BertModel`` with
    ``masked_tokens=False`` too. Initial weights: normal with standard deviation 0.02.

    Examples
    --------
    >>> model = Bert(BertConfig(
    ...     vocab_size=100, context_length=16, dim=32, num_layers=2, num_heads=4))
    >>> ids = torch.tensor([[2, 17, 3, 21, 3]])          # [CLS] a [SEP] b [SEP]
    >>> segments = torch.tensor([[0, 0, 0, 1, 1]])
    >>> model(ids, segments=segments).shape              # a score for every token at every place
    torch.Size([1, 5, 100])
    >>> model.next_sentence_logits(model.hidden_states(ids, segments=segments)).shape
    torch.Size([1, 2])
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.token_embedding = TokenEmbedding(config.vocab_size, dim, padding_id=config.padding_id)
        self.position_embedding = LearnedPositions(config.context_length, dim)
        self.segment_embedding = nn.Embedding(config.num_segments, dim)
        self.embedding_norm = LayerNorm(dim, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(self._block() for _ in range(config.num_layers))
        if config.masked_tokens:
            self.transform = nn.Sequential(
                Linear(dim, dim),
                make_activation(config.activation),
                LayerNorm(dim, eps=config.norm_eps),
            )
            self.output_bias = nn.Parameter(torch.zeros(config.vocab_size))
        needs_pooler = config.next_sentence or not config.masked_tokens
        self.pooler = Linear(dim, dim) if needs_pooler else None
        self.next_sentence_head = Linear(dim, 2) if config.next_sentence else None
        initialise(self, std=0.02)

    def _block(self) -> PostNormBlock:
        config = self.config
        return PostNormBlock(
            MultiHeadAttention(config.dim, config.num_heads, dropout=config.dropout),
            LayerNorm(config.dim, eps=config.norm_eps),
            FeedForward(
                config.dim, config.hidden_dim, activation=make_activation(config.activation)
            ),
            LayerNorm(config.dim, eps=config.norm_eps),
            dropout=config.dropout,
        )

    def forward(
        self, ids: Tensor, mask: Tensor | None = None, *, segments: Tensor | None = None
    ) -> Tensor:
        """Score every token at every place.

        Parameters
        ----------
        ids : Tensor
            ``(B, T)`` integers, some of them the mask token.
        mask : Tensor, optional
            Boolean ``(B, T)``; False at padding.
        segments : Tensor, optional
            Integer ``(B, T)``, which text a token belongs to; 0 when left out.

        Returns
        -------
        Tensor
            Logits ``(B, T, V)``.
        """
        self._check_head()
        return self.logits(self.hidden_states(ids, mask, segments=segments))

    def hidden_states(
        self, ids: Tensor, mask: Tensor | None = None, *, segments: Tensor | None = None
    ) -> Tensor:
        """What the heads read; arguments as for :meth:`forward`. ``-> (B, T, D)``."""
        check_batch(ids, 0, self.config.context_length)
        attend = None
        if mask is not None:
            check_padding_mask(mask, tuple(ids.shape))
            attend = mask[:, None, None, :]  # (B, T) -> (B, 1, 1, T)
        hidden = self.dropout(self.embed(ids, segments))  # (B, T, D)
        for block in self.blocks:
            hidden = block(hidden, mask=attend)
        return hidden

    def embed(self, ids: Tensor, segments: Tensor | None = None) -> Tensor:
        """Token, segment and place in one normalised vector: ``(B, T) -> (B, T, D)``.

        Arguments as for :meth:`forward`. A variant such as ALBERT has its own.
        """
        if segments is None:
            segments = torch.zeros_like(ids)
        self._check_segments(segments, ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        hidden = self.token_embedding(ids) + self.segment_embedding(segments)
        return self.embedding_norm(hidden + self.position_embedding(positions))

    def logits(self, hidden: Tensor) -> Tensor:
        """Masked-token scores: ``(..., D) -> (..., V)``."""
        return linear(self.transform(hidden), self.token_embedding.weight, self.output_bias)

    def next_sentence_logits(self, hidden: Tensor) -> Tensor:
        """Scores of "follows" and "random" from the first token: ``(B, T, D) -> (B, 2)``."""
        if self.next_sentence_head is None:
            raise ValueError("config.next_sentence is False, so there is no such head: set it")
        return self.next_sentence_head(torch.tanh(self.pooler(hidden[:, 0])))

    def loss(
        self,
        ids: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        *,
        segments: Tensor | None = None,
        next_sentence: Tensor | None = None,
        ignore_index: int = -100,
    ) -> Tensor:
        """Mean cross-entropy of the hidden tokens, plus that of the second task.

        Parameters
        ----------
        ids, mask, segments
            As for :meth:`forward`.
        targets : Tensor
            ``(B, T)``: the token that was hidden, and ``ignore_index`` where none was.
        next_sentence : Tensor, optional
            Integer ``(B,)``: 0 where the second text follows the first, 1 where it is random.
        ignore_index : int
            Target that does not count.

        Returns
        -------
        Tensor
            A number, in nats.
        """
        self._check_head()
        hidden = self.hidden_states(ids, mask, segments=segments)
        if targets.shape != ids.shape:
            raise ValueError(
                f"targets have shape {tuple(targets.shape)}, but ids have {tuple(ids.shape)}: give "
                f"one for each token, {ignore_index} where none is hidden"
            )
        hidden_places = targets != ignore_index  # few, and the output layer is the largest
        loss = linear_cross_entropy(
            self.transform(hidden[hidden_places]),
            self.token_embedding.weight,
            targets[hidden_places],
            self.output_bias,
        )
        if next_sentence is None:
            return loss
        return loss + F.cross_entropy(self.next_sentence_logits(hidden), next_sentence)

    def _check_head(self) -> None:
        if not self.config.masked_tokens:
            raise ValueError(
                "config.masked_tokens is False, so no head fills in tokens: use hidden_states"
            )

    def _check_segments(self, segments: Tensor, ids: Tensor) -> None:
        if segments.shape != ids.shape:
            raise ValueError(
                f"segments have shape {tuple(segments.shape)}, but ids have {tuple(ids.shape)}: "
                "say for each token which text it belongs to"
            )
        if segments.device.type == "cpu" and not torch.compiler.is_compiling():
            low, high = torch.aminmax(segments)
            if low < 0 or high >= self.config.num_segments:
                raise ValueError(
                    f"segments run from {int(low)} to {int(high)}, but must lie in "
                    f"0..{self.config.num_segments - 1}: build the model with more num_segments"
                )

    @property
    def num_parameters(self) -> int:
        """Trainable numbers, a tied matrix counted once."""
        return sum(parameter.numel() for parameter in self.parameters())
