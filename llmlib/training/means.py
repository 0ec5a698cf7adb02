"""What a loss gives besides its value: means over a batch, added up over its parts."""

from __future__ import annotations

import torch
from torch import Tensor

from llmlib.training.parallel import OneProcess

__all__ = ["Means", "split_found"]

#: Columns that the Trainer fills itself.
OWN = ("step", "loss", "lr", "grad_norm", "tokens")


def split_found(
    found: Tensor | tuple[Tensor, dict[str, Tensor | float]],
) -> tuple[Tensor, dict[str, Tensor | float]]:
    """A loss and the other means that its module gave with it.

    Raises
    ------
    ValueError
        One has the name of a column that the Trainer fills itself.

    Examples
    --------
    >>> split_found(torch.tensor(2.0))
    (tensor(2.), {})
    >>> split_found((torch.tensor(2.0), {"accuracy": 0.5}))
    (tensor(2.), {'accuracy': 0.5})
    """
    loss, others = found if isinstance(found, tuple) else (found, {})
    if taken := sorted(set(others) & set(OWN)):
        raise ValueError(f"the loss gives {taken}, which the Trainer logs itself: rename them")
    return loss, others


class Means:
    """Sums over the parts of a batch, each weighted with its share of what counts.

    >>> means = Means()
    >>> means.add(0.5, {"accuracy": 1.0}, share=0.25)
    >>> means.add(1.5, {"accuracy": 0.0}, share=0.75)
    >>> means.over_ranks(OneProcess())
    (2.0, {'accuracy': 0.25})
    """

    def __init__(self) -> None:
        self.loss, self.others = 0.0, dict[str, float]()

    def add(self, loss: float, others: dict[str, Tensor | float], share: float) -> None:
        """Add a part: its loss, weighted already, and its other means."""
        self.loss += loss
        for name, value in others.items():
            mean = float(torch.as_tensor(value).detach())
            self.others[name] = self.others.get(name, 0.0) + mean * share

    def over_ranks(self, parallel: OneProcess) -> tuple[float, dict[str, float]]:
        """The sums over all ranks."""
        loss, *others = parallel.sum([self.loss, *self.others.values()])
        return loss, dict(zip(self.others, others, strict=True))
