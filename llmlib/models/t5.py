r"""T5: an encoder and a decoder whose only positions are a bias on the scores.

.. math::

   h \leftarrow h + f(\mathrm{RMSNorm}(h)), \qquad
   A = \mathrm{softmax}(Q K^\top + B), \qquad
   \mathrm{logits} = D^{-1/2}\, \mathrm{RMSNorm}(h_N)\, E^\top

===========================  ===================================  ================
code                         symbol                               shape
===========================  ===================================  ================
``token_embedding``          :math:`E`                            ``(V, D)``
``encoder_position_bias``    :math:`B`, shared by all layers      ``(H, S, S)``
``decoder_position_bias``    the same, for earlier tokens only    ``(H, T, T)``
===========================  ===================================  ================

References
----------
1. Raffel et al., *Exploring the Limits of Transfer Learning with a Unified Text-to-Text
   Transformer*, 2020, arXiv:1910.10683.
2. Shazeer, *GLU Variants Improve Transformer*, 2020, arXiv:2002.05202 (version 1.1).

**Differs from the paper in** the first weights of an untied output layer (version 1.1), which are
drawn small here, so that training begins near ln V.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llmlib.models.encoder_decoder import EncoderDecoder
from llmlib.nn import (
    FeedForward,
    GatedFeedForward,
    Linear,
    MultiHeadAttention,
    PreNormBlock,
    RelativePositionBias,
    RMSNorm,
    TokenEmbedding,
    make_activation,
)

__all__ = ["T5", "T5Config"]


@dataclass(frozen=True, kw_only=True)
class T5Config:
    """Sizes and variants of a :class:`T5`; the defaults are those of T5 small, version 1.0.

    Version 1.1 has ``activation="gelu_tanh"``, ``gated=True``, ``tie_embeddings=False`` and
    ``scale_logits=False``.

    Parameters
    ----------
    vocab_size : int
        Tokens V.
    dim : int
        Model width D.
    head_dim : int
        Head width K; ``num_heads * head_dim`` need not be ``dim``.
    hidden_dim : int
        Feed-forward width F.
    num_layers : int
        Encoder blocks N.
    num_decoder_layers : int, optional
        Decoder blocks; as many when left out.
    num_heads : int
        Attention heads H.
    num_buckets : int
        Distances that the position bias tells apart.
    max_distance : int
        Distance from which all are one, in tokens.
    activation : str
        Of the feed-forward layer, a name that :func:`llmlib.nn.make_activation` knows.
    gated : bool
        Whether the activation is applied to a gate.
    norm_eps : float
        Added to the mean square in every norm.
    dropout : float
        Of embeddings, weights, hidden features and what each layer adds, during training.
    tie_embeddings : bool
        Whether the output layer is the embedding matrix.
    scale_logits : bool
        Whether the last hidden state is divided by :math:`\\sqrt D`.
    start_id : int
        Token that the decoder begins with; T5 takes its padding.

    Examples
    --------
    >>> T5Config(vocab_size=100, dim=32, num_layers=1).num_buckets
    32
    """

    vocab_size: int = 32_128
    dim: int = 512
    head_dim: int = 64
    hidden_dim: int = 2048
    num_layers: int = 6
    num_decoder_layers: int | None = None
    num_heads: int = 8
    num_buckets: int = 32
    max_distance: int = 128
    activation: str = "relu"
    gated: bool = False
    norm_eps: float = 1e-6
    dropout: float = 0.0
    tie_embeddings: bool = True
    scale_logits: bool = True
    start_id: int = 0

    def __post_init__(self) -> None:
        if min(self.vocab_size, self.num_layers) < 1:
            raise ValueError(
                f"vocab_size={self.vocab_size}, num_layers={self.num_layers}: each must be at "
                "least 1"
            )


class T5(EncoderDecoder):
    """The text-to-text Transformer.

    Parameters
    ----------
    config : T5Config
        Its sizes and variants.

    Notes
    -----
    Source: Raffel et al. 2020. Equal to ``T5ForConditionalGeneration`` of transformers. There is
    no longest text: distances beyond ``max_distance`` share a bucket.

    Examples
    --------
    >>> model = T5(T5Config(
    ...     vocab_size=100, dim=32, head_dim=8, hidden_dim=64, num_layers=2, num_heads=4))
    >>> source, written = torch.tensor([[5, 7, 11, 1]]), torch.tensor([[0, 9, 8]])
    >>> model(source, written).shape
    torch.Size([1, 3, 100])
    """

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = TokenEmbedding(config.vocab_size, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder_position_bias = self._position_bias(bidirectional=True)
        self.decoder_position_bias = self._position_bias(bidirectional=False)
        decoder_layers = num_decoder_layers(config)
        self.encoder_blocks = nn.ModuleList(self._block(False) for _ in range(config.num_layers))
        self.decoder_blocks = nn.ModuleList(self._block(True) for _ in range(decoder_layers))
        self.encoder_norm = nn.Sequential(self._norm(), nn.Dropout(config.dropout))
        self.decoder_norm = nn.Sequential(self._norm(), nn.Dropout(config.dropout))
        self.output = (
            None if config.tie_embeddings else Linear(config.dim, config.vocab_size, bias=False)
        )
        self._initialise()

    def _block(self, reads_memory: bool) -> PreNormBlock:
        config = self.config
        return PreNormBlock(
            self._attention(),
            self._norm(),
            self._feedforward(),
            self._norm(),
            cross_attention=self._attention() if reads_memory else None,
            cross_norm=self._norm() if reads_memory else None,
            dropout=config.dropout,
        )

    def _attention(self) -> MultiHeadAttention:
        config = self.config
        return MultiHeadAttention(
            config.dim,
            config.num_heads,
            head_dim=config.head_dim,
            bias=False,
            scale=1.0,  # the first weights of the queries make up for it
            dropout=config.dropout,
        )

    def _feedforward(self) -> nn.Module:
        config = self.config
        kind = GatedFeedForward if config.gated else FeedForward
        return kind(
            config.dim,
            config.hidden_dim,
            activation=make_activation(config.activation),
            bias=False,
            dropout=config.dropout,
        )

    def _norm(self) -> RMSNorm:
        return RMSNorm(self.config.dim, eps=self.config.norm_eps)

    def _position_bias(self, *, bidirectional: bool) -> RelativePositionBias:
        return RelativePositionBias(
            self.config.num_heads,
            num_buckets=self.config.num_buckets,
            max_distance=self.config.max_distance,
            bidirectional=bidirectional,
        )

    @torch.no_grad()
    def _initialise(self) -> None:
        """Draw every matrix so that what it makes has variance 1 (Mesh TensorFlow's T5)."""
        config = self.config
        self.token_embedding.weight.normal_(0.0, 1.0)
        if self.output is not None:
            self.output.weight.normal_(0.0, config.dim**-0.5)
        for bias in (self.encoder_position_bias, self.decoder_position_bias):
            bias.embedding.weight.normal_(0.0, config.dim**-0.5)
        for block in (*self.encoder_blocks, *self.decoder_blocks):
            for name, module in block.named_modules():
                if isinstance(module, nn.Linear):
                    scale = config.head_dim**-0.5 if name.endswith("q_proj") else 1.0
                    module.weight.normal_(0.0, scale * module.in_features**-0.5)

    def embed(self, ids: Tensor, slots: Tensor) -> Tensor:
        """Token vectors: ``(B, T) -> (B, T, D)``. Positions enter in the attention."""
        return self.dropout(self.token_embedding(ids))

    def encoder_bias(self, slots: Tensor) -> Tensor:
        """``(S,) -> (H, S, S)``."""
        return self.encoder_position_bias(slots, slots)

    def decoder_bias(self, query_slots: Tensor, key_slots: Tensor) -> Tensor:
        """``(T,), (S,) -> (H, T, S)``."""
        return self.decoder_position_bias(query_slots, key_slots)

    def scale_output(self, hidden: Tensor) -> Tensor:
        """Divide by :math:`\\sqrt D` where the output layer is the embedding (version 1.0)."""
        return hidden * self.config.dim**-0.5 if self.config.scale_logits else hidden

    @property
    def max_len(self) -> None:
        """None: a text may be as long as memory allows."""
        return None


def num_decoder_layers(config: T5Config) -> int:
    """Decoder blocks."""
    return config.num_layers if config.num_decoder_layers is None else config.num_decoder_layers
