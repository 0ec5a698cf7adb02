r"""A table of vectors of which each step changes only a few rows.

.. math::

    G_{rd} \leftarrow G_{rd} + g_{rd}^2, \qquad
    \theta_{rd} \leftarrow \theta_{rd} - \eta \, g_{rd} / \sqrt{G_{rd}}

Adagrad keeps one sum per number, so that rows which are seen rarely take larger steps. A plain
step on the summed gradient of a batch would throw frequent words about.

Reference: Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and
stochastic optimization", JMLR 12, 2011.
"""

from __future__ import annotations

import torch

__all__ = ["AdagradTable"]


class AdagradTable:
    """Rows with a step rule: ``values[rows]`` reads, ``descend(rows, gradients)`` learns.

    Parameters
    ----------
    values : tensor ``(R, D)``
        The starting rows; changed in place.
    learning_rate : float

    Examples
    --------
    The first step has the size of the learning rate, whatever the gradient's size:

    >>> table = AdagradTable(torch.zeros(3, 2), learning_rate=0.1)
    >>> table.descend(torch.tensor([1, 1]), torch.tensor([[4.0, -1.0], [1.0, -2.0]]))
    >>> table.values
    tensor([[ 0.0000,  0.0000],
            [-0.1000,  0.1000],
            [ 0.0000,  0.0000]])
    """

    def __init__(self, values: torch.Tensor, *, learning_rate: float) -> None:
        if learning_rate <= 0:
            raise ValueError(f"learning_rate {learning_rate} must be greater than 0")
        self.values = values
        self.learning_rate = learning_rate
        self.squares = torch.zeros_like(values)

    def descend(self, rows: torch.Tensor, gradients: torch.Tensor) -> None:
        """Add up the gradients of each row, then take one step on each row that has any.

        Parameters
        ----------
        rows : tensor of int ``(N,)``
            A row may stand several times.
        gradients : tensor ``(N, D)``
        """
        touched, place = torch.unique(rows, return_inverse=True)
        summed = torch.zeros(len(touched), *self.values.shape[1:], dtype=self.values.dtype)
        summed.index_add_(0, place, gradients)
        squares = self.squares[touched] + summed * summed
        self.squares[touched] = squares
        # Where the sum is zero the gradient is too, and the step must be 0, not 0/0.
        self.values[touched] -= self.learning_rate * summed / squares.sqrt().clamp(min=1e-12)
