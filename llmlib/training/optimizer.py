r"""AdamW, written out.

.. math::

   m &\leftarrow \beta_1 m + (1 - \beta_1)\, g, &
   v &\leftarrow \beta_2 v + (1 - \beta_2)\, g^2, \\
   w &\leftarrow w - \eta \lambda w, &
   w &\leftarrow w - \eta \,
   \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

================  =================  ==========================================
code              symbol             what it is
================  =================  ==========================================
``lr``            :math:`\eta`       learning rate
``exp_avg``       :math:`m`          running mean of the gradient
``exp_avg_sq``    :math:`v`          running mean of its square
``step``          :math:`t`          updates done, this one included
``weight_decay``  :math:`\lambda`    share of a weight that each update takes away,
                                     times the learning rate
================  =================  ==========================================

References
----------
1. Kingma and Ba, *Adam: A Method for Stochastic Optimization*, ICLR 2015, arXiv:1412.6980.
2. Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019, arXiv:1711.05101.

**Differs from the papers in** one point: reference 2 multiplies the decay by the schedule alone,
PyTorch and this module by the learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["AdamW", "parameter_groups"]


class AdamW(torch.optim.Optimizer):
    """Adam with decoupled weight decay, equal to ``torch.optim.AdamW``.

    Parameters
    ----------
    params : iterable
        Parameters, or groups of them as :func:`parameter_groups` makes.
    lr : float
        Learning rate.
    betas : tuple of float
        Decay of the two running means.
    eps : float
        Added to the root, against division by zero.
    weight_decay : float
        Share of a weight that an update takes away, times ``lr``.

    Raises
    ------
    ValueError
        A number is outside its range.

    Notes
    -----
    Source: Loshchilov and Hutter 2019.

    Examples
    --------
    The first step moves each weight by the learning rate, whatever the size of its gradient:

    >>> w = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    >>> optimizer = AdamW([w], lr=0.1, weight_decay=0.0)
    >>> (w * torch.tensor([5.0, 0.01])).sum().backward()
    >>> optimizer.step()
    >>> w.data
    tensor([0.9000, 0.9000])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        if lr < 0 or eps < 0 or weight_decay < 0:
            raise ValueError(
                f"lr={lr}, eps={eps}, weight_decay={weight_decay}: none of them may be negative"
            )
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas={betas}: each must be at least 0 and below 1")
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Update every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients anew, and returns the loss.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, weight: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(weight)
            state["exp_avg_sq"] = torch.zeros_like(weight)
        state["step"] += 1
        step = state["step"].item()
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        beta1, beta2 = group["betas"]
        mean.lerp_(weight.grad, 1 - beta1)  # m <- m + (1 - beta1) (g - m)
        square.mul_(beta2).addcmul_(weight.grad, weight.grad, value=1 - beta2)
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        root = (square.sqrt() / math.sqrt(1 - beta2**step)).add_(group["eps"])
        weight.addcdiv_(mean, root, value=-group["lr"] / (1 - beta1**step))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: matrices, which decay, and the rest, which do not.

    Decay pulls a matrix towards smaller outputs. The weights of a norm and the biases have no
    such direction: pulling them to zero only switches off their channel.

    Parameters
    ----------
    model : torch.nn.Module
        Its trainable parameters are grouped, each once.
    weight_decay : float
        Of the first group.

    Returns
    -------
    list of dict
        Groups for an optimizer. An empty group is left out.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))
    >>> [(len(group["params"]), group["weight_decay"]) for group in parameter_groups(model, 0.1)]
    [(1, 0.1), (3, 0.0)]
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.dim() < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
