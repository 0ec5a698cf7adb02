"""Equality of two computations: what comes out, and every gradient."""

import torch
from torch.testing import assert_close


def assert_same(ours, theirs, inputs, pairs=()):
    """Run both on ``inputs`` and compare outputs and gradients at the default tolerances.

    Parameters
    ----------
    ours, theirs : callable
        Of the inputs, giving one tensor.
    inputs : sequence of Tensor
        Floating ones are differentiated.
    pairs : sequence of (Tensor, Tensor)
        Our parameter and theirs, of the same shape.
    """
    moving = [x.requires_grad_() for x in inputs if x.is_floating_point()]
    our_output, their_output = ours(*inputs), theirs(*inputs)
    assert_close(our_output, their_output)
    direction = torch.randn_like(their_output)
    our_leaves, their_leaves = (
        (list(side) for side in zip(*pairs, strict=True)) if pairs else ([], [])
    )
    our_grads = torch.autograd.grad((our_output * direction).sum(), moving + our_leaves)
    their_grads = torch.autograd.grad((their_output * direction).sum(), moving + their_leaves)
    assert_close(our_grads, their_grads)


def with_weights(ours, theirs, names):
    """Copy their (freshly drawn) parameters into ours; the pairs, by our name to theirs.

    Every parameter of both must be named.
    """
    mine, other = dict(ours.named_parameters()), dict(theirs.named_parameters())
    assert set(names) == set(mine)
    assert set(names.values()) == set(other)
    pairs = [(mine[a], other[b]) for a, b in names.items()]
    with torch.no_grad():
        for our, their in pairs:
            # Not the initial values: a gain of 1 or a bias of 0 would hide a mistake.
            their.copy_(torch.randn_like(their) * 0.3)
            our.copy_(their)
    return pairs
