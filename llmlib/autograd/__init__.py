"""A scalar reverse-mode engine: the whole of back-propagation in numbers one can read."""

from .gradient_check import gradient_error, numerical_gradient
from .graph import graph_svg
from .modules import MLP, SGD, Layer, Module, Neuron, cross_entropy, mse_loss
from .value import Value, mean, topological_order, weighted_sum

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
