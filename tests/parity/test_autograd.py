"""The scalar engine against PyTorch, in double precision at the default tolerances."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlib.autograd import MLP, SGD, Value, cross_entropy, mse_loss

UNARY = {
    "exp of tanh": (lambda v: v.tanh().exp(), lambda t: t.tanh().exp()),
    "log": (lambda v: (v * v + 0.5).log(), lambda t: (t * t + 0.5).log()),
    "tanh": (Value.tanh, torch.tanh),
    "sigmoid": (Value.sigmoid, torch.sigmoid),
    "relu": (Value.relu, torch.relu),
    "leaky relu": (Value.leaky_relu, torch.nn.functional.leaky_relu),
    "gelu": (Value.gelu, torch.nn.functional.gelu),
    "square": (lambda v: v**2, lambda t: t**2),
    "root": (lambda v: (v * v + 1) ** 0.5, lambda t: (t * t + 1) ** 0.5),
    "negative": (lambda v: -v, lambda t: -t),
    "right number": (lambda v: v * 1.5 - 2, lambda t: t * 1.5 - 2),
    "left number": (lambda v: 2 - 1.5 * v, lambda t: 2 - 1.5 * t),
    "reciprocal": (lambda v: 1 / (v * v + 1), lambda t: 1 / (t * t + 1)),
}
BINARY = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / (b * b + 1),
}
# A program: leaves, then instructions that point at any earlier result, so that values are shared.
instructions = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(sorted(UNARY)), st.integers(0, 50)),
        st.tuples(st.sampled_from(sorted(BINARY)), st.integers(0, 50), st.integers(0, 50)),
    ),
    min_size=1,
    max_size=12,
)
leaves = st.lists(st.floats(-2, 2, allow_subnormal=False), min_size=1, max_size=4)


def run_program(start, program, side):
    values = list(start)
    for name, *places in program:
        arguments = [values[place % len(values)] for place in places]
        result = UNARY[name][side](*arguments) if name in UNARY else BINARY[name](*arguments)
        # Keep numbers of ordinary size, or repeated squares overflow in both engines.
        values.append(result.tanh() * 2 if len(values) % 3 == 0 else result)
    return values


@pytest.mark.parity(
    component="llmlib.autograd.Value",
    peer="torch.autograd",
    compared="values and gradients of 300 random expressions",
)
@settings(max_examples=300, deadline=None)
@given(leaves, instructions)
def test_random_expressions(start, program):
    ours = [Value(x) for x in start]
    theirs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in start]
    our_values, their_values = run_program(ours, program, 0), run_program(theirs, program, 1)
    for value in their_values:
        value.retain_grad()
    our_values[-1].backward()
    their_values[-1].backward()
    for our, their in zip(our_values, their_values, strict=True):
        torch.testing.assert_close(double(our.data), their.detach())
        expected = torch.zeros((), dtype=torch.float64) if their.grad is None else their.grad
        torch.testing.assert_close(double(our.grad), expected)


def double(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def twin_network(model, activation):
    layers = []
    for i, layer in enumerate(model.layers):
        linear = torch.nn.Linear(
            len(layer.neurons[0].weights), len(layer.neurons), dtype=torch.float64
        )
        with torch.no_grad():
            linear.weight.copy_(double([[w.data for w in n.weights] for n in layer.neurons]))
            linear.bias.copy_(double([n.bias.data for n in layer.neurons]))
        layers += [linear, activation()] if i < len(model.layers) - 1 else [linear]
    return torch.nn.Sequential(*layers)


def gradients(network):
    rows = []
    for linear in (m for m in network if isinstance(m, torch.nn.Linear)):
        rows.append(torch.cat([linear.weight.grad, linear.bias.grad[:, None]], 1).flatten())
    return torch.cat(rows)


@pytest.mark.parity(
    component="llmlib.autograd.MLP, cross_entropy, mse_loss",
    peer="torch.nn",
    compared="output and gradients",
)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Value.tanh, torch.nn.Tanh),
        (Value.relu, torch.nn.ReLU),
        (Value.gelu, torch.nn.GELU),
        (Value.sigmoid, torch.nn.Sigmoid),
        (Value.leaky_relu, torch.nn.LeakyReLU),
    ],
)
@pytest.mark.parametrize("loss", ["cross entropy", "squared error"])
def test_network_and_loss(ours, theirs, loss):
    generator = random.Random(0)
    points = [[generator.gauss(0, 1) for _ in range(3)] for _ in range(7)]
    targets = [generator.randrange(4) for _ in points]
    model = MLP((3, 6, 5, 4), ours, seed=2)
    network = twin_network(model, theirs)
    tensor = double(points)
    if loss == "cross entropy":
        our_loss = cross_entropy([model(x) for x in points], targets)
        their_loss = torch.nn.functional.cross_entropy(network(tensor), torch.tensor(targets))
    else:
        our_loss = mse_loss([v for x in points for v in model(x)], targets * 4)
        wanted = double(targets * 4).view(7, 4)
        their_loss = torch.nn.functional.mse_loss(network(tensor), wanted)
    our_loss.backward()
    their_loss.backward()
    torch.testing.assert_close(double(our_loss.data), their_loss)
    ours_flat = double([p.grad for p in model.parameters()])
    torch.testing.assert_close(ours_flat, gradients(network))


@pytest.mark.parity(
    component="llmlib.autograd.SGD",
    peer="torch.optim.SGD",
    compared="parameters after 20 steps",
)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_follows_the_same_path(momentum):
    model = MLP((2, 5, 2), seed=4)
    network = twin_network(model, torch.nn.Tanh)
    points = [[0.1, 0.9], [-0.4, 0.3], [0.8, -0.7]]
    optimizer = SGD(model.parameters(), 0.2, momentum=momentum)
    twin = torch.optim.SGD(network.parameters(), lr=0.2, momentum=momentum)
    for _ in range(20):
        optimizer.zero_grad()
        twin.zero_grad()
        cross_entropy([model(x) for x in points], [0, 1, 1]).backward()
        torch.nn.functional.cross_entropy(
            network(double(points)), torch.tensor([0, 1, 1])
        ).backward()
        optimizer.step()
        twin.step()
    moved = twin_network(model, torch.nn.Tanh)
    for ours, theirs in zip(moved.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_accumulate_as_in_torch():
    ours, theirs = Value(1.5), torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    our_result, their_result = ours.exp() * ours, theirs.exp() * theirs
    for _ in range(3):
        our_result.backward()
        their_result.backward(retain_graph=True)
    torch.testing.assert_close(double(ours.grad), theirs.grad)
