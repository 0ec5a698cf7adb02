r"""The Transformer of 2017: an encoder and a decoder of post-norm blocks.

.. math::

   h_0 = \sqrt{D}\, E_x + P, \qquad
   h \leftarrow \mathrm{LayerNorm}(h + f(h)), \qquad
   \mathrm{logits} = h_N E^\top

======================  ===============================  ===============
code                    symbol                           shape
======================  ===============================  ===============
``token_embedding``     :math:`\sqrt D\, E`              ``(V, D)``
``position_embedding``  :math:`P`, sinusoids             ``(context, D)``
``encoder_blocks``      self-attention, feed-forward     N of them
``decoder_blocks``      the same with cross-attention    N of them
                        between the two
======================  ===============================  ===============

References
----------
1. Vaswani et al., *Attention Is All You Need*, 2017, arXiv:1706.03762.
2. Junczys-Dowmunt et al., *Marian: Fast Neural Machine Translation in C++*, 2018,
   arXiv:1804.00344.

**Differs from the paper in**

* Sines and cosines stand in two halves by default, as in the authors' code and in Marian; the
  paper's formula interleaves them (``position_layout="interleaved"``).
* The projections of the attention have biases, as in Marian.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from llmlib.models.causal import initialise
from llmlib.models.encoder_decoder import EncoderDecoder
from llmlib.nn import (
    FeedForward,
    LayerNorm,
    Linear,
    MultiHeadAttention,
    PostNormBlock,
    SinusoidalPositions,
    TokenEmbedding,
    make_activation,
)

__all__ = ["Transformer", "TransformerConfig"]


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes of a :class:`Transformer`; the defaults are those of the paper's base model.

    Parameters
    ----------
    vocab_size : int
        Tokens V, shared by source and target.
    context_length : int
        Longest source or target, in tokens.
    dim : int
        Model width D, even.
    num_layers : int
        Encoder blocks N.
    num_decoder_layers : int, optional
        Decoder blocks; as many when left out.
    num_heads : int
        Attention heads H, a divisor of ``dim``.
    hidden_dim : int, optional
        Feed-forward width F; ``4 * dim`` when left out.
    activation : str
        Of the feed-forward layer, a name that :func:`llmlib.nn.make_activation` knows.
    norm_eps : float
        Added to the variance in every layer norm.
    dropout : float
        Of embeddings and of what each layer adds, during training.
    scale_embeddings : bool
        Whether token vectors are multiplied by :math:`\\sqrt D`.
    position_layout : str
        Order of sines and cosines: ``"halves"`` or ``"interleaved"``.
    tie_embeddings : bool
        Whether the output layer is the embedding matrix.
    start_id : int
        Token that the decoder begins with.
    padding_id : int, optional
        Token whose embedding is not trained.

    Examples
    --------
    >>> TransformerConfig(vocab_size=100, dim=32, num_layers=1, num_heads=2).num_decoder_layers
    """

    vocab_size: int = 37_000
    context_length: int = 512
    dim: int = 512
    num_layers: int = 6
    num_decoder_layers: int | None = None
    num_heads: int = 8
    hidden_dim: int | None = None
    activation: str = "relu"
    norm_eps: float = 1e-5
    dropout: float = 0.0
    scale_embeddings: bool = True
    position_layout: str = "halves"
    tie_embeddings: bool = True
    start_id: int = 0
    padding_id: int | None = None

    def __post_init__(self) -> None:
        sizes = (self.vocab_size, self.context_length, self.num_layers)
        if min(sizes) < 1:
            raise ValueError(
                f"vocab_size, context_length, num_layers = {sizes}: each must be at least 1"
            )


class Transformer(EncoderDecoder):
    """The model of *Attention Is All You Need*.

    Parameters
    ----------
    config : TransformerConfig
        Its sizes.

    Notes
    -----
    Source: Vaswani et al. 2017. Equal to ``MarianMTModel`` of transformers. Initial weights:
    normal with standard deviation :math:`D^{-1/2}` for the embedding, so that scaled vectors and
    sinusoids are of one size and a tied output layer begins near ln V, and Xavier's for the rest.

    Examples
    --------
    >>> import torch
    >>> model = Transformer(TransformerConfig(
    ...     vocab_size=100, context_length=16, dim=32, num_layers=2, num_heads=4))
    >>> source, written = torch.tensor([[5, 7, 11, 2]]), torch.tensor([[0, 9, 8]])
    >>> model(source, written).shape
    torch.Size([1, 3, 100])
    >>> model.loss(source, torch.tensor([[9, 8, 2]])).shape
    torch.Size([])
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = TokenEmbedding(
            config.vocab_size,
            config.dim,
            padding_id=config.padding_id,
            scale=config.dim**0.5 if config.scale_embeddings else 1.0,
        )
        self.position_embedding = SinusoidalPositions(
            config.dim, config.context_length, layout=config.position_layout
        )
        self.dropout = nn.Dropout(config.dropout)
        decoder_layers = num_decoder_layers(config)
        self.encoder_blocks = nn.ModuleList(self._block(False) for _ in range(config.num_layers))
        self.decoder_blocks = nn.ModuleList(self._block(True) for _ in range(decoder_layers))
        self.encoder_norm = nn.Identity()  # post-norm: what comes out is normalised already
        self.decoder_norm = nn.Identity()
        self.output = (
            None if config.tie_embeddings else Linear(config.dim, config.vocab_size, bias=False)
        )
        initialise(self, std=config.dim**-0.5)
        for block in (*self.encoder_blocks, *self.decoder_blocks):
            for module in block.modules():
                if isinstance(module, nn.Linear):
                    nn.init.xavier_uniform_(module.weight)

    def _block(self, reads_memory: bool) -> PostNormBlock:
        config = self.config

        def attention() -> MultiHeadAttention:
            return MultiHeadAttention(config.dim, config.num_heads)

        def norm() -> LayerNorm:
            return LayerNorm(config.dim, eps=config.norm_eps)

        feedforward = FeedForward(
            config.dim, config.hidden_dim, activation=make_activation(config.activation)
        )
        return PostNormBlock(
            attention(),
            norm(),
            feedforward,
            norm(),
            cross_attention=attention() if reads_memory else None,
            cross_norm=norm() if reads_memory else None,
            dropout=config.dropout,
        )

    def embed(self, ids: Tensor, slots: Tensor) -> Tensor:
        """Scaled token vector plus sinusoids: ``(B, T) -> (B, T, D)``."""
        return self.dropout(self.token_embedding(ids) + self.position_embedding(slots))


def num_decoder_layers(config: TransformerConfig) -> int:
    """Decoder blocks."""
    return config.num_layers if config.num_decoder_layers is None else config.num_decoder_layers
