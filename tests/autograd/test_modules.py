"""Layers, losses and the optimizer on the scalar engine."""

import math
import random

import pytest

from llmlib.autograd import MLP, SGD, Layer, Module, Neuron, Value, cross_entropy, mse_loss


def test_parameters_are_found_once_and_in_order():
    class Tied(Module):
        def __init__(self):
            self.first = Layer(2, 1)
            self.again = self.first
            self.scale = Value(1.0)

    tied = Tied()
    assert tied.parameters() == [*tied.first.parameters(), tied.scale]
    model = MLP((3, 5, 2))
    assert len(model.parameters()) == 3 * 5 + 5 + 5 * 2 + 2
    assert model.parameters()[0] is model.layers[0].neurons[0].weights[0]


def test_zero_grad_clears_every_parameter():
    model = MLP((2, 3, 1))
    mse_loss(model([0.5, -1.0]), [1.0]).backward()
    assert any(p.grad for p in model.parameters())
    model.zero_grad()
    assert not any(p.grad for p in model.parameters())


def test_last_layer_has_no_activation():
    model = MLP((1, 2), Value.relu)
    for p in model.parameters():
        p.data = -1.0
    assert [v.data for v in model([3.0])] == [-4.0, -4.0]


def test_seed_fixes_the_start():
    start = [[p.data for p in MLP((2, 4, 2), seed=s).parameters()] for s in (1, 1, 2)]
    assert start[0] == start[1] != start[2]


def test_initial_loss_is_close_to_the_log_of_the_number_of_classes():
    model = MLP((2, 8, 5), seed=3)
    points = [[math.sin(i), math.cos(3 * i)] for i in range(40)]
    loss = cross_entropy([model(x) for x in points], [i % 5 for i in range(40)])
    assert loss.data == pytest.approx(math.log(5), rel=0.1)


def test_cross_entropy_does_not_change_when_all_logits_move():
    row = [0.3, -1.2, 2.0]
    losses = [
        cross_entropy([[Value(x + shift) for x in row]], [1]).data for shift in (0.0, 5.0, 1e4)
    ]
    assert losses[1:] == pytest.approx([losses[0]] * 2, abs=1e-9)


def test_cross_entropy_gradient_is_probability_minus_one_hot():
    row = [Value(0.3), Value(-1.2), Value(2.0)]
    cross_entropy([row], [1]).backward()
    total = sum(math.exp(v.data) for v in row)
    expected = [math.exp(v.data) / total - (i == 1) for i, v in enumerate(row)]
    assert [v.grad for v in row] == pytest.approx(expected, abs=1e-12)


def test_xor_is_learned_and_a_linear_model_cannot():
    points, targets = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]

    def final_loss(model):
        optimizer = SGD(model.parameters(), 0.5, momentum=0.9)
        for _ in range(150):
            optimizer.zero_grad()
            loss = cross_entropy([model(x) for x in points], targets)
            loss.backward()
            optimizer.step()
        return loss.data

    assert final_loss(MLP((2, 4, 2), Value.tanh, seed=1)) < 0.05
    assert final_loss(MLP((2, 2))) == pytest.approx(math.log(2), abs=0.01)


def test_random_labels_on_repeated_points_stay_at_the_entropy():
    # The same input carries both labels equally often: no model can go below ln 2.
    model = MLP((1, 4, 2), seed=0)
    optimizer = SGD(model.parameters(), 0.3)
    for _ in range(100):
        optimizer.zero_grad()
        loss = cross_entropy([model([1.0]) for _ in range(4)], [0, 1, 0, 1])
        loss.backward()
        optimizer.step()
    assert loss.data == pytest.approx(math.log(2), abs=1e-4)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: Neuron(0), "at least 1"),
        (lambda: MLP((3,)), "input and the output"),
        (lambda: MLP((2, 2))([1.0]), "2 weights but 1 inputs"),
        (lambda: SGD([], 0.0), "learning_rate 0.0"),
        (lambda: SGD([], 0.1, momentum=1.0), "less than 1"),
        (lambda: mse_loss([Value(1.0)], []), "1 predictions but 0 targets"),
        (lambda: cross_entropy([[Value(0.0)]], [1]), "target 1 is outside 0 to 0"),
        (lambda: cross_entropy([[Value(0.0)]], [-1]), "target -1 is outside"),
    ],
)
def test_errors_say_what_to_do(action, message):
    with pytest.raises(ValueError, match=message):
        action()


def test_neurons_share_a_generator_so_that_they_differ():
    layer = Layer(4, 3, generator=random.Random(5))
    assert len({n.weights[0].data for n in layer.neurons}) == 3
