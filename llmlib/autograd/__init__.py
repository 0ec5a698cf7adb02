"""Floor 1: a scalar reverse-mode engine, the whole of back-propagation in numbers one can read.

======================================  =======================================================
file                                    what is in it
======================================  =======================================================
:mod:`llmlib.autograd.value`            numbers that remember how they were made; backward
:mod:`llmlib.autograd.modules`          neurons, layers, losses, gradient descent
:mod:`llmlib.autograd.gradient_check`   difference quotients
:mod:`llmlib.autograd.graph`            the expression drawn as SVG
======================================  =======================================================
"""

from llmlib.autograd.gradient_check import gradient_error, numerical_gradient
from llmlib.autograd.graph import graph_svg
from llmlib.autograd.modules import MLP, SGD, Layer, Module, Neuron, cross_entropy, mse_loss
from llmlib.autograd.value import Value, mean, topological_order, weighted_sum

__all__ = [
    "MLP",
    "SGD",
    "Layer",
    "Module",
    "Neuron",
    "Value",
    "cross_entropy",
    "gradient_error",
    "graph_svg",
    "mean",
    "mse_loss",
    "numerical_gradient",
    "topological_order",
    "weighted_sum",
]
