r"""Neurons, layers, losses and a step downhill, on top of the scalar engine.

A neuron computes :math:`\phi(w \cdot x + b)`; a layer is a list of neurons that see the same
input; a multi-layer perceptron is a list of layers. Training repeats three lines: compute the
loss, send its derivative back, move every parameter against its derivative.

===================  ==========================================================  ==============
code                 symbol                                                      shape
===================  ==========================================================  ==============
``weights``          :math:`w`                                                   ``(D,)``
``bias``             :math:`b`                                                   one number
``activation``       :math:`\phi`, a function of one :class:`Value`, or None     --
``learning_rate``    :math:`\eta` in :math:`\theta \leftarrow \theta - \eta g`    one number
===================  ==========================================================  ==============

References: Rosenblatt, "The perceptron", Psychological Review 65, 1958; Rumelhart, Hinton and
Williams, Nature 323, 1986.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence

from .value import Value, mean, weighted_sum

__all__ = ["MLP", "SGD", "Layer", "Module", "Neuron", "cross_entropy", "mse_loss"]

Activation = Callable[[Value], Value] | None


class Module:
    """Something with parameters: finds every :class:`Value` among its attributes."""

    def parameters(self) -> list[Value]:
        """All parameters, each once, in the order in which the attributes were set."""
        found: dict[Value, None] = {}
        pending = list(vars(self).values())
        while pending:
            item = pending.pop(0)
            if isinstance(item, Value):
                found[item] = None
            elif isinstance(item, Module):
                pending[:0] = vars(item).values()
            elif isinstance(item, (list, tuple)):
                pending[:0] = item
        return list(found)

    def zero_grad(self) -> None:
        """Set every gradient back to zero."""
        for parameter in self.parameters():
            parameter.grad = 0.0


class Neuron(Module):
    """``activation(w · x + b)`` for ``size`` inputs.

    Weights start uniform in ±1/√size (the default of ``torch.nn.Linear``), the bias at zero.

    Examples
    --------
    >>> neuron = Neuron(2, Value.tanh)
    >>> neuron.weights[0].data, neuron.weights[1].data = 1.0, -1.0
    >>> round(neuron([0.5, 0.2]).data, 4)
    0.2913
    >>> len(neuron.parameters())
    3
    """

    def __init__(
        self,
        size: int,
        activation: Activation = None,
        *,
        generator: random.Random | None = None,
    ) -> None:
        if size < 1:
            raise ValueError(f"a neuron with {size} inputs computes nothing; give at least 1")
        generator = generator or random.Random(0)
        bound = size**-0.5
        self.weights = [Value(generator.uniform(-bound, bound)) for _ in range(size)]
        self.bias = Value(0.0)
        self.activation = activation

    def __call__(self, inputs: Sequence[Value | float]) -> Value:
        total = weighted_sum(self.weights, inputs, self.bias)
        return total if self.activation is None else self.activation(total)


class Layer(Module):
    """``outputs`` neurons that see the same ``inputs`` numbers: ``(inputs,) -> (outputs,)``.

    Examples
    --------
    >>> layer = Layer(3, 2)
    >>> len(layer([1.0, 2.0, 3.0])), len(layer.parameters())
    (2, 8)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        activation: Activation = None,
        *,
        generator: random.Random | None = None,
    ) -> None:
        generator = generator or random.Random(0)
        self.neurons = [Neuron(inputs, activation, generator=generator) for _ in range(outputs)]

    def __call__(self, inputs: Sequence[Value | float]) -> list[Value]:
        return [neuron(inputs) for neuron in self.neurons]


class MLP(Module):
    """A multi-layer perceptron: layers one after the other, the last one without activation.

    Parameters
    ----------
    sizes : sequence of int
        Width of the input, of every hidden layer and of the output, e.g. ``(2, 8, 8, 2)``.
    activation : function of one Value
        Used by the hidden layers, e.g. ``Value.relu``.
    seed : int
        Seed of the starting weights.

    Examples
    --------
    >>> model = MLP((2, 4, 3), Value.tanh)
    >>> len(model([0.1, -0.2]))
    3
    >>> len(model.parameters()) == (2 * 4 + 4) + (4 * 3 + 3)
    True
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Activation = Value.tanh,
        *,
        seed: int = 0,
    ) -> None:
        if len(sizes) < 2:
            raise ValueError(f"sizes {tuple(sizes)} must name at least the input and the output")
        generator = random.Random(seed)
        last = len(sizes) - 2
        self.layers = [
            Layer(inputs, outputs, activation if i < last else None, generator=generator)
            for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes))
        ]

    def __call__(self, inputs: Sequence[Value | float]) -> list[Value]:
        for layer in self.layers:
            inputs = layer(inputs)
        return list(inputs)


def mse_loss(predictions: Sequence[Value], targets: Sequence[float]) -> Value:
    """Mean of the squared errors.

    Examples
    --------
    >>> mse_loss([Value(1.0), Value(3.0)], [0.0, 1.0]).data
    2.5
    """
    _same_length(predictions, targets)
    return mean([(p - t) ** 2 for p, t in zip(predictions, targets, strict=True)])


def cross_entropy(logits: Sequence[Sequence[Value]], targets: Sequence[int]) -> Value:
    """Mean of ``-log softmax(logits)[target]``, in nats.

    Parameters
    ----------
    logits : sequence of sequences of Value, ``(B, V)``
    targets : sequence of int, ``(B,)``
        The right class of each row, from 0 to V - 1.

    Examples
    --------
    Two equal logits leave one bit of doubt, ln 2 = 0.6931 nats:

    >>> round(cross_entropy([[Value(1.0), Value(1.0)]], [0]).data, 4)
    0.6931
    """
    _same_length(logits, targets)
    losses = []
    for row, target in zip(logits, targets, strict=True):
        if not 0 <= target < len(row):
            raise ValueError(
                f"target {target} is outside 0 to {len(row) - 1}, the {len(row)} classes"
            )
        highest = max(value.data for value in row)  # a constant: it cancels in the derivative
        total = sum(((value - highest).exp() for value in row), Value(0.0))
        losses.append(total.log() + highest - row[target])
    return mean(losses)


class SGD:
    """Stochastic gradient descent with momentum: ``v = momentum * v + g``, ``p = p - lr * v``.

    Differs from Polyak's original in that the learning rate multiplies the velocity when it is
    used, not when it is gathered, as in ``torch.optim.SGD``.

    Examples
    --------
    >>> x = Value(10.0)
    >>> optimizer = SGD([x], learning_rate=0.1)
    >>> for _ in range(50):
    ...     optimizer.zero_grad()
    ...     ((x - 3) ** 2).backward()
    ...     optimizer.step()
    >>> round(x.data, 3)
    3.0
    """

    def __init__(
        self, parameters: Sequence[Value], learning_rate: float, *, momentum: float = 0.0
    ) -> None:
        if learning_rate <= 0:
            raise ValueError(f"learning_rate {learning_rate} must be greater than 0")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum {momentum} must be at least 0 and less than 1")
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.velocity = [0.0] * len(self.parameters)

    def zero_grad(self) -> None:
        """Set every gradient back to zero."""
        for parameter in self.parameters:
            parameter.grad = 0.0

    def step(self) -> None:
        """Move every parameter against its gradient."""
        for i, parameter in enumerate(self.parameters):
            self.velocity[i] = self.momentum * self.velocity[i] + parameter.grad
            parameter.data -= self.learning_rate * self.velocity[i]


def _same_length(predictions: Sequence, targets: Sequence) -> None:
    if len(predictions) != len(targets):
        raise ValueError(
            f"{len(predictions)} predictions but {len(targets)} targets; they must pair up"
        )
