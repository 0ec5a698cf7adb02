r"""The value model: what reward is still to be expected, before each token.

.. math::

   V(y_{<t}) = w \cdot h_{t-1} + b

===========  ============================================  ===========
code         what it is                                    shape
===========  ============================================  ===========
``body``     a decoder; its output layer is not used
``hidden``   what its last norm gives, :math:`h`           ``(B, T, D)``
``head``     :math:`w` and :math:`b`; zero at the start    ``(D,)``, a number
===========  ============================================  ===========

References
----------
1. Ouyang et al., *Training Language Models to Follow Instructions with Human Feedback*, 2022,
   arXiv:2203.02155 (the value model begins as the reward model).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llmlib.models import CausalLanguageModel
from llmlib.nn import Linear

__all__ = ["ValueModel"]


class ValueModel(nn.Module):
    """A decoder that gives a number at each token.

    Parameters
    ----------
    body : CausalLanguageModel
        Taken as it is and trained on; give a copy where the original is still needed.

    Examples
    --------
    >>> from llmlib.models import GPT, GPTConfig
    >>> sizes = {"vocab_size": 8, "context_length": 4, "dim": 16, "num_layers": 1, "num_heads": 2}
    >>> value = ValueModel(GPT(GPTConfig(**sizes)))
    >>> value(torch.tensor([[1, 2, 3]]))  # (B, T): it expects nothing yet
    tensor([[0., 0., 0.]], grad_fn=<SelectBackward0>)
    """

    def __init__(self, body: CausalLanguageModel) -> None:
        super().__init__()
        self.body = body
        weight = body.output_weight
        self.head = Linear(weight.shape[1], 1).to(weight.device, weight.dtype)
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.zero_()

    def forward(
        self, ids: Tensor, mask: Tensor | None = None, *, positions: Tensor | None = None
    ) -> Tensor:
        """Value behind each token: ``(B, T) -> (B, T)``; arguments as for the body."""
        hidden = self.body.hidden_states(ids, mask, positions=positions)  # (B, T, D)
        return self.head(hidden)[..., 0]
