r"""GPT: a stack of pre-norm blocks that predicts the next token (GPT-2).

.. math::

   h_0 = E_{x} + P, \qquad
   h_l = \mathrm{Block}_l(h_{l-1}), \qquad
   \mathrm{logits} = \mathrm{LayerNorm}(h_N)\, E^\top

======================  ==============  ==============
code                    symbol          shape
======================  ==============  ==============
``token_embedding``     :math:`E`       ``(V, D)``
``position_embedding``  :math:`P`       ``(context, D)``
``blocks``              Block           N of them
``norm``                LayerNorm       ``D -> D``
``output``              the output      ``D -> V``, None when it is :math:`E`
======================  ==============  ==============

References
----------
1. Radford et al., *Language Models are Unsupervised Multitask Learners*, 2019 (GPT-2).
2. Radford et al., *Improving Language Understanding by Generative Pre-Training*, 2018.

**Differs from the paper in** nothing that the released weights could tell: learned positions,
pre-norm, the tanh form of GELU, one matrix for embedding and output. Query, key and value have a
matrix each where the released weights stack them into one.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from llmlib.models.causal import CausalLanguageModel, initialise
from llmlib.nn import (
    FeedForward,
    LayerNorm,
    LearnedPositions,
    Linear,
    MultiHeadAttention,
    PreNormBlock,
    TokenEmbedding,
    make_activation,
)

__all__ = ["GPT", "GPTConfig"]


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """Sizes of a :class:`GPT`; the defaults are those of the smallest GPT-2.

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
    activation : str
        Of the feed-forward layer, a name that :func:`llmlib.nn.make_activation` knows.
    norm_eps : float
        Added to the variance in every layer norm.
    dropout : float
        Of embeddings, attention weights and what each layer adds, during training.
    tie_embeddings : bool
        Whether the output layer is the embedding matrix.

    Examples
    --------
    >>> GPTConfig(vocab_size=100, dim=32, num_heads=2, num_layers=2).context_length
    1024
    """

    vocab_size: int = 50257
    context_length: int = 1024
    dim: int = 768
    num_layers: int = 12
    num_heads: int = 12
    hidden_dim: int | None = None
    activation: str = "gelu_tanh"
    norm_eps: float = 1e-5
    dropout: float = 0.0
    tie_embeddings: bool = True

    def __post_init__(self) -> None:
        sizes = (self.vocab_size, self.context_length, self.num_layers)
        if min(sizes) < 1:
            raise ValueError(
                f"vocab_size, context_length, num_layers = {sizes}: each must be at least 1"
            )


class GPT(CausalLanguageModel):
    """The language model of GPT-2.

    Parameters
    ----------
    config : GPTConfig
        Its sizes.

    Notes
    -----
    Source: Radford et al. 2019. Equal to ``GPT2LMHeadModel`` of transformers;
    ``llmlib.interop`` converts between the two. Initial weights as in GPT-2: normal with
    standard deviation 0.02, and 0.02 / sqrt(2 N) where a layer writes to the residual stream, so
    that the stream's variance does not grow with depth.

    Examples
    --------
    >>> import torch
    >>> model = GPT(GPTConfig(vocab_size=100, context_length=16, dim=32, num_layers=2, num_heads=4))
    >>> ids = torch.tensor([[5, 7, 11]])
    >>> model(ids).shape
    torch.Size([1, 3, 100])
    >>> targets = torch.tensor([[7, 11, 13]])
    >>> round(model.loss(ids, targets).item())  # a model that knows nothing: ln 100 = 4.6
    5
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = TokenEmbedding(config.vocab_size, config.dim)
        self.position_embedding = LearnedPositions(config.context_length, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(self._block() for _ in range(config.num_layers))
        self.norm = LayerNorm(config.dim, eps=config.norm_eps)
        self.output = (
            None if config.tie_embeddings else Linear(config.dim, config.vocab_size, bias=False)
        )
        initialise(self, std=0.02, residual_std=0.02 / (2 * config.num_layers) ** 0.5)

    def _block(self) -> PreNormBlock:
        config = self.config
        return PreNormBlock(
            MultiHeadAttention(config.dim, config.num_heads, dropout=config.dropout),
            LayerNorm(config.dim, eps=config.norm_eps),
            FeedForward(
                config.dim, config.hidden_dim, activation=make_activation(config.activation)
            ),
            LayerNorm(config.dim, eps=config.norm_eps),
            dropout=config.dropout,
        )

    def embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Token vector plus position vector: ``(B, T) -> (B, T, D)``."""
        return self.dropout(self.token_embedding(ids) + self.position_embedding(positions))
