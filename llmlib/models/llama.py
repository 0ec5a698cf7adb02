r"""Llama and its relatives: rotary positions, RMSNorm, SwiGLU, grouped queries.

.. math::

   h \leftarrow h + \mathrm{Attention}(\mathrm{RMSNorm}(h)), \qquad
   h \leftarrow h + \mathrm{SwiGLU}(\mathrm{RMSNorm}(h)), \qquad
   \mathrm{logits} = \mathrm{RMSNorm}(h_N)\, W^\top

====================  =====================================
relative              what it sets in :class:`LlamaConfig`
====================  =====================================
Llama 2               nothing
Llama 3               ``num_kv_heads``, ``rope_base=500_000``, ``rope_scaling`` (from 3.1 on)
Mistral               ``num_kv_heads``, ``window``
Mixtral               ``num_kv_heads``, ``experts``
Qwen 2                ``num_kv_heads``, ``attention_bias="qkv"``
Qwen 3                ``num_kv_heads``, ``head_dim``, ``qk_norm``
====================  =====================================

References
----------
1. Touvron et al., *LLaMA: Open and Efficient Foundation Language Models*, 2023,
   arXiv:2302.13971.
2. Touvron et al., *Llama 2: Open Foundation and Fine-Tuned Chat Models*, 2023,
   arXiv:2307.09288.
3. Grattafiori et al., *The Llama 3 Herd of Models*, 2024, arXiv:2407.21783.
4. Jiang et al., *Mistral 7B*, 2023, arXiv:2310.06825; *Mixtral of Experts*, 2024,
   arXiv:2401.04088.
5. Yang et al., *Qwen2 Technical Report*, 2024, arXiv:2407.10671; *Qwen3 Technical Report*,
   2025, arXiv:2505.09388.

**Differs from the papers in** the pairing of rotary features: halves, as in the checkpoints on
the Hugging Face hub, where Meta's own files interleave
(:func:`llmlib.nn.interleaved_to_half` converts).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from llmlib.models.causal import CausalLanguageModel, initialise
from llmlib.nn import (
    Linear,
    MixtureOfExperts,
    MultiHeadAttention,
    PreNormBlock,
    RMSNorm,
    RotaryEmbedding,
    SwiGLU,
    TokenEmbedding,
    load_balance_loss,
    swiglu_width,
)

__all__ = ["ExpertsConfig", "Llama", "LlamaConfig"]


@dataclass(frozen=True, kw_only=True)
class ExpertsConfig:
    """Experts in place of each feed-forward layer (Mixtral).

    Parameters
    ----------
    count : int
        Experts E of a layer.
    top_k : int
        Experts that a token goes through.
    balance_weight : float
        Factor of the balance loss in the training loss.

    Examples
    --------
    >>> ExpertsConfig(count=8, top_k=2)
    ExpertsConfig(count=8, top_k=2, balance_weight=0.0)
    """

    count: int
    top_k: int = 2
    balance_weight: float = 0.0


@dataclass(frozen=True, kw_only=True)
class LlamaConfig:
    """Sizes and variants of a :class:`Llama`; the defaults are those of Llama 2 7B.

    Parameters
    ----------
    vocab_size : int
        Tokens V.
    context_length : int
        Longest text, in tokens.
    dim : int
        Model width D.
    num_layers : int
        Blocks N.
    num_heads : int
        Query heads H.
    num_kv_heads : int, optional
        Key and value heads, a divisor of ``num_heads``; as many as queries when left out.
    head_dim : int, optional
        Head width K, even; ``dim / num_heads`` when left out.
    hidden_dim : int, optional
        Feed-forward width F; :func:`llmlib.nn.swiglu_width` of ``dim`` when left out.
    norm_eps : float
        Added to the mean square in every norm.
    rope_base : float
        Base of the rotary frequencies.
    rope_scaling : callable, optional
        :class:`llmlib.nn.Llama3RopeScaling` or :class:`llmlib.nn.LinearRopeScaling`.
    attention_bias : str
        Which projections have a bias: ``"none"``, ``"qkv"`` or ``"all"``.
    qk_norm : bool
        Whether each head's queries and keys are normalised.
    window : int, optional
        Tokens a query may look back to, itself included.
    experts : ExpertsConfig, optional
        A mixture of experts instead of the feed-forward layers.
    tie_embeddings : bool
        Whether the output layer is the embedding matrix.
    padding_id : int, optional
        Token whose embedding is not trained.

    Examples
    --------
    >>> config = LlamaConfig(vocab_size=100, dim=64, num_layers=2, num_heads=4, num_kv_heads=2)
    >>> config.rope_base
    10000.0
    """

    vocab_size: int = 32_000
    context_length: int = 4096
    dim: int = 4096
    num_layers: int = 32
    num_heads: int = 32
    num_kv_heads: int | None = None
    head_dim: int | None = None
    hidden_dim: int | None = None
    norm_eps: float = 1e-5
    rope_base: float = 10_000.0
    rope_scaling: Callable[[Tensor], Tensor] | None = None
    attention_bias: str = "none"
    qk_norm: bool = False
    window: int | None = None
    experts: ExpertsConfig | None = None
    tie_embeddings: bool = False
    padding_id: int | None = None

    def __post_init__(self) -> None:
        sizes = (self.vocab_size, self.context_length, self.num_layers)
        if min(sizes) < 1:
            raise ValueError(
                f"vocab_size, context_length, num_layers = {sizes}: each must be at least 1"
            )
        if self.attention_bias not in ("none", "qkv", "all"):
            raise ValueError(
                f"attention_bias={self.attention_bias!r} is not known: choose 'none', 'qkv' or "
                "'all'"
            )


class Llama(CausalLanguageModel):
    """The language model of Llama, Mistral, Mixtral and Qwen.

    Parameters
    ----------
    config : LlamaConfig
        Its sizes and variants.

    Notes
    -----
    Source: Touvron et al. 2023. Equal to ``LlamaForCausalLM``, ``MistralForCausalLM``,
    ``MixtralForCausalLM``, ``Qwen2ForCausalLM`` and ``Qwen3ForCausalLM`` of transformers;
    ``llmlib.interop`` converts. Initial weights: normal with standard deviation 0.02.

    Examples
    --------
    >>> import torch
    >>> model = Llama(LlamaConfig(
    ...     vocab_size=100, context_length=16, dim=32, num_layers=2, num_heads=4, num_kv_heads=2))
    >>> model(torch.tensor([[5, 7, 11]])).shape
    torch.Size([1, 3, 100])
    """

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = TokenEmbedding(
            config.vocab_size, config.dim, padding_id=config.padding_id
        )
        # One table of angles, read by every layer.
        self.rotary = RotaryEmbedding(
            head_dim(config),
            base=config.rope_base,
            scaling=config.rope_scaling,
            max_len=config.context_length,
        )
        self.blocks = nn.ModuleList(self._block() for _ in range(config.num_layers))
        self.norm = self._norm()
        self.output = (
            None if config.tie_embeddings else Linear(config.dim, config.vocab_size, bias=False)
        )
        initialise(self, std=0.02)

    def _block(self) -> PreNormBlock:
        config = self.config
        width = head_dim(config)
        attention = MultiHeadAttention(
            config.dim,
            config.num_heads,
            num_kv_heads=config.num_kv_heads,
            head_dim=width,
            bias=config.attention_bias != "none",
            out_bias=config.attention_bias == "all",
            rotary=self.rotary,
            query_norm=RMSNorm(width, eps=config.norm_eps) if config.qk_norm else None,
            key_norm=RMSNorm(width, eps=config.norm_eps) if config.qk_norm else None,
            window=config.window,
        )
        return PreNormBlock(attention, self._norm(), self._feedforward(), self._norm())

    def _feedforward(self) -> nn.Module:
        config = self.config
        if config.experts is None:
            return SwiGLU(config.dim, hidden_dim(config))
        experts = [SwiGLU(config.dim, hidden_dim(config)) for _ in range(config.experts.count)]
        return MixtureOfExperts(config.dim, experts, top_k=config.experts.top_k)

    def _norm(self) -> RMSNorm:
        return RMSNorm(self.config.dim, eps=self.config.norm_eps)

    def embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Token vectors: ``(B, T) -> (B, T, D)``. Positions enter in the attention."""
        return self.token_embedding(ids)

    def place(self, positions: Tensor) -> Tensor:
        """Rotary factors of the positions, looked up once for all layers."""
        return self.rotary.factors(positions)

    def loss(
        self,
        ids: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        *,
        ignore_index: int = -100,
        documents: Tensor | None = None,
    ) -> Tensor:
        """Mean cross-entropy, as :meth:`CausalLanguageModel.loss`, plus the balance loss.

        With experts, ``balance_weight`` times :meth:`balance_loss` is added.
        """
        loss = super().loss(ids, targets, mask, ignore_index=ignore_index, documents=documents)
        experts = self.config.experts
        if experts is None or experts.balance_weight == 0.0:
            return loss
        return loss + experts.balance_weight * self.balance_loss(mask)

    def balance_loss(self, mask: Tensor | None = None) -> Tensor:
        """:func:`llmlib.nn.load_balance_loss` of all layers' routers in the last forward pass."""
        if self.config.experts is None:
            raise ValueError("a model without experts has no balance loss: set config.experts")
        routers = [block.feedforward.router_logits for block in self.blocks]
        if routers[0] is None:
            raise ValueError("no token has been routed yet: call the model first")
        return load_balance_loss(routers, self.config.experts.top_k, mask)


def head_dim(config: LlamaConfig) -> int:
    """Width K of a head."""
    if config.head_dim is not None:
        return config.head_dim
    if config.dim % config.num_heads:
        raise ValueError(
            f"num_heads={config.num_heads} does not divide dim={config.dim}: choose a divisor of "
            f"{config.dim}, or give head_dim"
        )
    return config.dim // config.num_heads


def hidden_dim(config: LlamaConfig) -> int:
    """Width F of the feed-forward layer."""
    return swiglu_width(config.dim) if config.hidden_dim is None else config.hidden_dim
