"""Exercises of the chapter on neural networks and back-propagation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from llmlib.autograd import Value
from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]

Function = Callable[[Tensor], Tensor]
Join = Callable[[list[Value]], Value]


# --- gelu_slope ---------------------------------------------------------------------------------


def _normal_probability(x: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def _normal_density(x: Tensor) -> Tensor:
    return torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _gelu_slope(x: Tensor) -> Tensor:
    return _normal_probability(x) + x * _normal_density(x)


# --- loss_gradient ------------------------------------------------------------------------------


def _loss_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    return (_probabilities(logits) - _one_hot(logits, targets)) / len(logits)


def _probabilities(logits: Tensor) -> Tensor:
    return logits.softmax(dim=-1)


def _one_hot(logits: Tensor, targets: Tensor) -> Tensor:
    return torch.eye(logits.shape[-1])[targets]


def _logits_and_targets(g: Generator) -> tuple[Tensor, Tensor]:
    rows, classes = draw.integer(g, 2, 5), draw.integer(g, 6, 8)
    return 2 * draw.normal(g, rows, classes), draw.tokens(g, rows, vocab_size=classes)


# --- linear_backward ----------------------------------------------------------------------------


def _linear_backward(x: Tensor, weight: Tensor, upstream: Tensor) -> tuple[Tensor, ...]:
    return upstream @ weight.T, x.T @ upstream, upstream.sum(dim=0)


def _linear_pieces(g: Generator) -> tuple[Tensor, Tensor, Tensor]:
    rows, inputs, outputs = draw.integer(g, 2, 3), draw.integer(g, 4, 5), draw.integer(g, 6, 7)
    return (
        draw.normal(g, rows, inputs),
        draw.normal(g, inputs, outputs),
        draw.normal(g, rows, outputs),
    )


# --- difference_quotient ------------------------------------------------------------------------


def _difference_quotient(
    f: Function, x: Tensor, epsilon: float, *, steps: Sequence[float] = (1, -1), width: float = 2
) -> Tensor:
    gradient = torch.zeros_like(x)
    for i in range(len(x)):
        step = torch.zeros_like(x)
        step[i] = epsilon
        ends = [f(x + side * step) for side in steps]
        gradient[i] = (ends[0] - ends[1]) / (width * epsilon)
    return gradient


def _along_all_at_once(f: Function, x: Tensor, epsilon: float) -> Tensor:
    return ((f(x + epsilon) - f(x - epsilon)) / (2 * epsilon)).expand(len(x))


class _Curve:
    """A function of a vector whose printed form says what it is."""

    def __call__(self, x: Tensor) -> Tensor:
        return (x**3).sum() + x[0] * x[1]

    def __repr__(self) -> str:
        return "= the sum of the cubes, plus x₀ x₁"


def _curve_and_point(g: Generator) -> tuple[Function, Tensor, float]:
    """A wide step in double precision, so that a one-sided quotient is seen to be off."""
    return _Curve(), draw.normal(g, draw.integer(g, 2, 5)).double(), 0.01


# --- log_sum_exp --------------------------------------------------------------------------------


def _log_sum_exp(
    values: list[Value], *, shift: bool = True, share: bool = True, log: bool = True
) -> Value:
    highest = max(v.data for v in values) if shift else 0.0
    e = [math.exp(v.data - highest) for v in values]
    total = sum(e)
    slopes = [x / total for x in e] if share else e
    return Value.from_operation(
        highest + math.log(total) if log else total, values, slopes, "log-sum-exp"
    )


def _unconnected(values: list[Value]) -> Value:
    return Value(_log_sum_exp(values).data)


def _some_numbers(g: Generator) -> tuple[list[float]]:
    """Every other case has numbers around 1000."""
    numbers = draw.normal(g, draw.integer(g, 2, 5)) * 2 + 1000 * (g.initial_seed() % 2)
    return (numbers.double().tolist(),)


def _value_and_slopes(join: Join, numbers: list[float]) -> list[float] | None:
    leaves = [Value(number) for number in numbers]
    result = join(leaves)
    if not isinstance(result, Value):
        return result
    (result * 2).backward()  # so that the slopes have to be multiplied by what comes from above
    return [result.data, *(leaf.grad for leaf in leaves)]


EXERCISES = (
    Choice(
        name="neural_networks.predict_zero_start",
        right="b",
        why={
            "a": "Slowly would need some gradient. The hidden values are all 0, and so are the "
            "weights above them: each product on the way to a weight has a factor 0.",
            "b": "A weight of the last layer gets (gradient above) × (hidden value) = 0; a weight "
            "below gets something × (a weight of the last layer) = 0. Only the biases of the last "
            "layer have a gradient, and for balanced classes that is 0 as well.",
            "c": "Equal starts do keep neurons equal, but here they do not even move: what would "
            "move them comes through the last layer's weights, which are 0 and stay 0.",
            "d": "Nothing overflows and nothing is divided by 0: tanh(0) = 0, and the softmax of "
            "two zeros is one half each.",
        },
        hint="Write down the gradient of one weight of the last layer, then of one below it. "
        "Which factors are 0?",
    ),
    Exercise(
        name="neural_networks.gelu_slope",
        reference=_gelu_slope,
        inputs=lambda g: (2 * draw.normal(g, 6),),
        hint="The product rule on x · Φ(x). The derivative of Φ is the normal density "
        "exp(-x²/2) / √(2π).",
        remark="Unlike the other slopes it goes below 0 and above 1.",
        wrong={
            "only the probability": Wrong(
                _normal_probability,
                "Φ(x) is the first half of the product rule; x · Φ'(x) is missing.",
            ),
            "gelu itself": Wrong(
                lambda x: x * _normal_probability(x),
                "This is GELU itself. Its slope is asked for.",
            ),
            "density without x": Wrong(
                lambda x: _normal_probability(x) + _normal_density(x),
                "In the second half of the product rule the factor x stays: x · Φ'(x).",
            ),
            "density not normalised": Wrong(
                lambda x: _normal_probability(x) + x * torch.exp(-x * x / 2),
                "The bell curve is not divided by √(2π), so it does not belong to Φ.",
            ),
        },
    ),
    Exercise(
        name="neural_networks.loss_gradient",
        reference=_loss_gradient,
        inputs=_logits_and_targets,
        hint="Softmax of each row; subtract 1 in the place of the target; the loss is a mean.",
        remark="Each row sums to 0: what one logit gains the others lose.",
        wrong={
            "sum, not mean": Wrong(
                lambda logits, targets: _loss_gradient(logits, targets) * len(logits),
                "This is the gradient of the sum of the losses. The mean divides it by B.",
            ),
            "uphill": Wrong(
                lambda logits, targets: -_loss_gradient(logits, targets),
                "The sign is turned round: probability minus truth, not truth minus probability.",
            ),
            "only the probabilities": Wrong(
                lambda logits, targets: _probabilities(logits) / len(logits),
                "Nothing depends on the target. Subtract 1 where the right class stands.",
            ),
            "divided by the classes": Wrong(
                lambda logits, targets: (
                    (_probabilities(logits) - _one_hot(logits, targets)) / logits.numel()
                ),
                "You divided by all B · V entries. The mean is over the B rows.",
            ),
            "softmax over the rows": Wrong(
                lambda logits, targets: (
                    (logits.softmax(dim=0) - _one_hot(logits, targets)) / len(logits)
                ),
                "Your columns sum to 1. The softmax runs over the classes of one row.",
            ),
        },
    ),
    Exercise(
        name="neural_networks.linear_backward",
        reference=_linear_backward,
        inputs=_linear_pieces,
        hint="Each of the three has the shape of what it is the gradient of. Only one product of "
        "the pieces at hand fits.",
        remark="Two matrix products backward for one forward: that is why a training step costs "
        "about three times a prediction.",
        wrong={
            "mean over the batch": Wrong(
                lambda x, weight, upstream: (
                    upstream @ weight.T,
                    x.T @ upstream / len(x),
                    upstream.mean(dim=0),
                ),
                "You averaged over the rows. Every row used the weight, so its gradients add up; "
                "a mean in the loss is already in the upstream gradient.",
            ),
            "bias not summed": Wrong(
                lambda x, weight, upstream: (upstream @ weight.T, x.T @ upstream, upstream),
                "The bias was added to every row, so its gradient is the sum over the rows.",
            ),
            "gradient of the weight transposed": Wrong(
                lambda x, weight, upstream: (
                    upstream @ weight.T,
                    upstream.T @ x,
                    upstream.sum(dim=0),
                ),
                "The second gradient is transposed: the weight is (D, F), so is its gradient.",
            ),
        },
    ),
    Exercise(
        name="neural_networks.difference_quotient",
        reference=_difference_quotient,
        inputs=_curve_and_point,
        hint="For each component: one step up, one step down, divided by the distance between "
        "the two points.",
        remark="Its error falls with the square of epsilon, that of a one-sided step only with "
        "epsilon.",
        wrong={
            "one-sided": Wrong(
                lambda f, x, epsilon: _difference_quotient(f, x, epsilon, steps=(1, 0), width=1),
                "A step to one side only. It is off by about epsilon times half the curvature: "
                "take one step up and one step down.",
            ),
            "half the distance": Wrong(
                lambda f, x, epsilon: _difference_quotient(f, x, epsilon, width=1),
                "The two points lie 2 epsilon apart, and you divided by epsilon.",
            ),
            "wrong way round": Wrong(
                lambda f, x, epsilon: -_difference_quotient(f, x, epsilon),
                "The sign is turned round: f at the step up minus f at the step down.",
            ),
            "all at once": Wrong(
                _along_all_at_once,
                "You moved all components together. Each needs its own two evaluations.",
            ),
        },
    ),
    Exercise(
        name="neural_networks.log_sum_exp",
        reference=_log_sum_exp,
        inputs=_some_numbers,
        run=_value_and_slopes,
        hint="Value.from_operation(number, values, slopes, name). The slope of log-sum-exp in "
        "one of its inputs is a softmax weight.",
        remark="The loss of every language model is made of this operation and one logit.",
        wrong={
            "overflow": Wrong(
                lambda values: _log_sum_exp(values, shift=False),
                "exp(1000) is too large for a double: subtract the largest input, and add it "
                "back after the logarithm.",
            ),
            "slopes not divided": Wrong(
                lambda values: _log_sum_exp(values, share=False),
                "The slope of the logarithm, 1 / sum, is missing: the slopes must sum to 1.",
            ),
            "cut off": Wrong(
                _unconnected,
                "The number is right, but it forgot where it came from: pass the inputs as "
                "parents, with one slope each.",
            ),
        },
    ),
)
