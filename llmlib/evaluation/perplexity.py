r"""Perplexity of a language model.

.. math::

   \mathrm{PPL} = \exp\left(-\frac{1}{n}\sum_{t=1}^{n} \ln p(x_t \mid x_{<t})\right)

==================  ==============================  =============
code                symbol                          shape
==================  ==============================  =============
``logits``          :math:`\ln p + \text{const.}`   ``(..., V)``
``targets``         :math:`x_t`                     ``(...)``
==================  ==============================  =============

A model that spreads its probability evenly over V tokens has perplexity V; one that is certain
and right has perplexity 1.

References
----------
1. Jelinek, Mercer, Bahl and Baker, *Perplexity: a measure of the difficulty of speech
   recognition tasks*, 1977.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["perplexity"]


def perplexity(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> float:
    """Exponential of the mean negative log-likelihood per counted token.

    Parameters
    ----------
    logits : Tensor
        ``(..., V)``, the scores that predict ``targets`` (already shifted: ``logits[..., t, :]``
        predicts ``targets[..., t]``).
    targets : Tensor
        Integer ``(...)``, the tokens that came.
    ignore_index : int
        Targets with this value are not counted.

    Returns
    -------
    float
        At least 1. The same as ``torch.nn.functional.cross_entropy(...).exp()``.

    Raises
    ------
    ValueError
        Shapes do not fit, or no target is counted.

    Examples
    --------
    Logits that are all equal choose evenly between four tokens:

    >>> round(perplexity(torch.zeros(3, 4), torch.tensor([0, 1, 3])), 6)
    4.0
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)} and targets {tuple(targets.shape)}, but "
            "(..., V) and (...) are needed: drop the last logits or the first target"
        )
    counted = targets != ignore_index
    if not counted.any():
        raise ValueError(
            f"all {targets.numel()} targets are {ignore_index} (ignored), but perplexity is a "
            "mean over at least one token: pass some targets that count"
        )
    log_probabilities = logits[counted].double().log_softmax(dim=-1)  # (n, V)
    chosen = log_probabilities.gather(-1, targets[counted][:, None])  # (n, 1)
    return float(torch.exp(-chosen.mean()))
