r"""Low-rank adaptation: a frozen matrix, and a thin product beside it that learns.

.. math::

   y = W_0 x + b + s\, B A x, \qquad s = \frac{\alpha}{r}, \qquad
   W = W_0 + s\, B A

==============  ===============  ========================================================
code            symbol           shape
==============  ===============  ========================================================
``x``           :math:`x`        ``(..., in_features)``
``base``        :math:`W_0`      ``(out_features, in_features)``, frozen; with its bias
``lora_A``      :math:`A`        ``(r, in_features)``, drawn by chance at first
``lora_B``      :math:`B`        ``(out_features, r)``, zero at first
``rank``        :math:`r`        width of the bottleneck
``alpha``       :math:`\alpha`   numerator of the scale
``scale``       :math:`s`        a number
``weight``      :math:`W`        ``(out_features, in_features)``, what the layer amounts to
==============  ===============  ========================================================

References
----------
1. Hu et al., *LoRA: Low-Rank Adaptation of Large Language Models*, ICLR 2022, arXiv:2106.09685.
2. Kalajdzievski, *A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA*, 2023,
   arXiv:2312.03732 (:func:`rank_stabilized_scale`).

**Differs from the paper in** where :math:`A` starts: reference 1 draws it from a normal
distribution, its code and peft from the uniform one of ``torch.nn.Linear``, which is taken here.
The paper adapts the projections of the attention; here any linear layer can be named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmlib.nn import linear
from llmlib.post_training.adapter import (
    Adapter,
    adapters,
    train_adapters_only,
    trained_dtype,
)

__all__ = [
    "LoRALinear",
    "apply_lora",
    "lora_layers",
    "lora_parameters",
    "lora_scale",
    "merge_lora",
    "rank_stabilized_scale",
    "remove_lora",
]


def lora_scale(alpha: float, rank: int) -> float:
    r"""Scale of the update as in the paper: :math:`\alpha / r`.

    >>> lora_scale(16, rank=4)
    4.0
    """
    return alpha / rank


def rank_stabilized_scale(alpha: float, rank: int) -> float:
    r"""Scale under which the update keeps its size when the rank grows: :math:`\alpha / \sqrt r`.

    Source: Kalajdzievski 2023.

    >>> rank_stabilized_scale(16, rank=4)
    8.0
    """
    return alpha / math.sqrt(rank)


class LoRALinear(Adapter):
    """A linear layer that is frozen, and a low-rank update that learns.

    Parameters
    ----------
    base : torch.nn.Linear
        The layer to adapt; its parameters are frozen.
    rank : int
        Rank r of the update, at least 1.
    alpha : float
        What the scale is made of.
    scale : callable
        ``(alpha, rank) -> float``: :func:`lora_scale` or :func:`rank_stabilized_scale`.
    dropout : float
        Dropout of what enters ``lora_A`` during training.

    Attributes
    ----------
    lora_A, lora_B : torch.nn.Parameter
        ``(r, in_features)`` and ``(out_features, r)``; in float32 where the base is in half
        precision, whose steps are too coarse for small updates.
    scale : float
        Factor of the update.

    Raises
    ------
    ValueError
        ``rank`` is below 1, or ``dropout`` is no probability.

    Notes
    -----
    Source: Hu et al. 2022, section 4.1. Equal to ``peft.tuners.lora.Linear`` with the same
    weights.

    Examples
    --------
    >>> layer = LoRALinear(nn.Linear(6, 4), rank=2, alpha=4)
    >>> x = torch.randn(3, 6)
    >>> torch.equal(layer(x), layer.base(x))              # B is zero: nothing has changed yet
    True
    >>> [name for name, p in layer.named_parameters() if p.requires_grad]
    ['lora_A', 'lora_B']
    """

    #: Fields of peft's config that say which layer this is.
    peft_fields: ClassVar[dict[str, bool]] = {"use_dora": False}

    def __init__(
        self,
        base: nn.Linear,
        rank: int,
        alpha: float,
        *,
        scale: Callable[[float, int], float] = lora_scale,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f"rank={rank}, but the update needs a rank of at least 1")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout}, but a probability below 1 is needed")
        self.base = base.requires_grad_(False)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.rank, self.alpha, self.dropout = rank, alpha, dropout
        self.scale_rule, self.scale = scale, scale(alpha, rank)
        weight = base.weight
        options = {"dtype": trained_dtype(weight), "device": weight.device}
        self.lora_A = nn.Parameter(torch.empty(rank, self.in_features, **options))
        self.lora_B = nn.Parameter(torch.zeros(self.out_features, rank, **options))
        bound = 1 / math.sqrt(self.in_features)
        nn.init.uniform_(self.lora_A, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., in_features) -> (..., out_features)``."""
        output = self.base(x)
        return output + self.update(self.dropped(x)).to(output.dtype)

    def dropped(self, x: Tensor) -> Tensor:
        """What enters the adapter: x, in training with dropout."""
        return F.dropout(x, self.dropout) if self.dropout and self.training else x

    def update(self, x: Tensor) -> Tensor:
        """What is added: ``(..., in_features) -> (..., r) -> (..., out_features)``."""
        x = x.to(self.lora_A.dtype)
        return linear(linear(x, self.lora_A), self.lora_B) * self.scale

    def delta(self) -> Tensor:
        """The update as a matrix, ``(out_features, in_features)``."""
        return self.lora_B @ self.lora_A * self.scale

    @property
    def weight(self) -> Tensor:
        """Matrix of the plain layer that gives the same outputs, in the base's dtype."""
        return (self.base.weight + self.delta()).to(self.base.weight.dtype)

    @property
    def bias(self) -> Tensor | None:
        """Bias of the base."""
        return self.base.bias

    def adapter(self) -> dict[str, nn.Parameter]:
        """What is trained and stored, by the names that peft gives it in a file."""
        return {"lora_A.weight": self.lora_A, "lora_B.weight": self.lora_B}

    def extra_repr(self) -> str:
        """Shown by ``print``."""
        return f"rank={self.rank}, alpha={self.alpha}, scale={self.scale:g}"


def apply_lora(
    model: nn.Module,
    rank: int,
    alpha: float,
    targets: Sequence[str],
    *,
    layer: Callable[..., LoRALinear] = LoRALinear,
    scale: Callable[[float, int], float] = lora_scale,
) -> nn.Module:
    """Freeze a model and put an adapter beside each of the named linear layers.

    Parameters
    ----------
    model : torch.nn.Module
        Of any library; it is changed in place.
    rank : int
        Rank r of every update.
    alpha : float
        What the scale is made of.
    targets : sequence of str
        Names of linear layers, or what their names end with: ``["q_proj", "v_proj"]`` means
        every ``….q_proj`` and ``….v_proj``.
    layer : callable
        ``(base, rank, alpha, scale=…) -> module``: :class:`LoRALinear`,
        :class:`~llmlib.post_training.DoRALinear`, or a ``functools.partial`` of one that sets its
        dropout.
    scale : callable
        ``(alpha, rank) -> float``: :func:`lora_scale` or :func:`rank_stabilized_scale`.

    Returns
    -------
    torch.nn.Module
        The model. Only its adapters are trainable, those of an earlier call included.

    Raises
    ------
    ValueError
        A target names no layer, or one that is not linear or has an adapter already.

    Notes
    -----
    Source: Hu et al. 2022. Equal to ``peft.get_peft_model`` with a ``LoraConfig`` of the same
    rank, alpha and target modules.

    Examples
    --------
    >>> from llmlib.models import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocab_size=32, context_length=8, dim=16, num_layers=2, num_heads=2))
    >>> model = apply_lora(model, rank=2, alpha=4, targets=["q_proj", "v_proj"])
    >>> sum(p.numel() for p in lora_parameters(model))   # 2 layers of 2 matrices, 2 (16 + 16) each
    256
    """
    if isinstance(targets, str):
        raise ValueError(f"targets={targets!r} is one name: give a list, [{targets!r}]")
    found = [
        (name, module)
        for name, module in model.named_modules(remove_duplicate=False)
        if any(_named(name, target) for target in targets)
    ]
    _check_targets(model, targets, found)
    adapted: dict[int, LoRALinear] = {}  # a layer that stands in two places stays one
    for name, module in found:
        if id(module) not in adapted:
            adapted[id(module)] = layer(module, rank, alpha, scale=scale).train(module.training)
        _replace(model, name, adapted[id(module)])
    train_adapters_only(model)
    return model


def lora_layers(model: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    """Name and module of every layer that has an adapter, each once."""
    for name, module in model.named_modules():
        if isinstance(module, LoRALinear):
            yield name, module


def lora_parameters(model: nn.Module) -> list[nn.Parameter]:
    """All that the adapters of a model train, trained rows of its embedding included.

    >>> layer = LoRALinear(nn.Linear(6, 4), rank=2, alpha=4)
    >>> [tuple(p.shape) for p in lora_parameters(layer)]
    [(2, 6), (4, 2)]
    """
    return [parameter for _, module in adapters(model) for parameter in module.adapter().values()]


@torch.no_grad()
def merge_lora(model: nn.Module) -> nn.Module:
    """Add every update to its matrix, and put the plain layers back.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place. Without adapters it stays as it is.

    Returns
    -------
    torch.nn.Module
        The model: the same outputs up to rounding, the same layers and names as before
        :func:`apply_lora`, and no cost left. Its parameters stay frozen.

    Examples
    --------
    >>> model = nn.Sequential(LoRALinear(nn.Linear(6, 4), rank=2, alpha=4))
    >>> _ = nn.init.ones_(model[0].lora_B)
    >>> x = torch.randn(3, 6)
    >>> before = model(x)
    >>> merged = merge_lora(model)
    >>> type(merged[0]).__name__, torch.allclose(merged(x), before, atol=1e-6)
    ('Linear', True)
    """
    for _, layer in adapters(model):
        # A parameter of its own: where the old one is tied to an embedding, that must not move.
        layer.base.weight = nn.Parameter(layer.weight, requires_grad=False)
    return remove_lora(model)


def remove_lora(model: nn.Module) -> nn.Module:
    """Put the plain layers back as they were before :func:`apply_lora`, in place.

    >>> model = nn.Sequential(LoRALinear(nn.Linear(6, 4), rank=2, alpha=4))
    >>> remove_lora(model)
    Sequential(
      (0): Linear(in_features=6, out_features=4, bias=True)
    )
    """
    places = [
        (name, module)
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, Adapter)
    ]
    for name, layer in places:
        _replace(model, name, layer.base)
    return model


def _named(name: str, target: str) -> bool:
    return name == target or name.endswith("." + target)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    owner, _, own_name = name.rpartition(".")
    if not own_name:
        raise ValueError("the model is itself the layer to replace: put it into a Sequential")
    setattr(model.get_submodule(owner), own_name, module)


def _check_targets(
    model: nn.Module, targets: Sequence[str], found: Iterable[tuple[str, nn.Module]]
) -> None:
    found = list(found)
    for target in targets:
        if not any(_named(name, target) for name, _ in found):
            linear_layers = {
                name.rpartition(".")[2]
                for name, module in model.named_modules()
                if isinstance(module, nn.Linear)
            }
            raise ValueError(
                f"no layer is called {target!r}: the linear layers of this model end with "
                f"{', '.join(sorted(linear_layers)) or '(there are none)'}"
            )
    for name, module in found:
        if isinstance(module, LoRALinear):
            raise ValueError(f"{name} has an adapter already: call merge_lora or remove_lora first")
        if not isinstance(module, nn.Linear):
            raise ValueError(
                f"{name} is a {type(module).__name__}, but only linear layers can be adapted "
                "(llmlib.interop.from_transformers turns GPT-2's Conv1D into some)"
            )
