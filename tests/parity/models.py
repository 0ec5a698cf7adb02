"""Equality of a whole model of ours with one of transformers, through the converter users call."""

import copy

import torch
from torch import nn
from torch.testing import assert_close

from llmlib.interop import from_transformers, to_transformers
from llmlib.interop.convert import family_of


def draw(model, std=0.3):
    """Random parameters everywhere: a gain of 1 or a bias of 0 would hide a mistake."""
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue  # a table of sinusoids
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=std)
        else:
            nn.init.normal_(parameter, mean=1.0, std=std)
    return model.eval()


def assert_same_model(theirs, run_ours, run_theirs, counted=None):
    """Compare logits, the gradients of every parameter, and the way back.

    Parameters
    ----------
    theirs : transformers.PreTrainedModel
    run_ours, run_theirs : callable
        Model to logits ``(B, T, V)``.
    counted : Tensor, optional
        Boolean ``(B, T)``; the places that are compared (what stands in padding is arbitrary).

    Returns
    -------
    torch.nn.Module
        Our model.
    """
    ours = from_transformers(theirs)
    our_logits, their_logits = run_ours(ours), run_theirs(theirs)
    assert our_logits.shape == their_logits.shape
    if counted is None:
        counted = torch.ones(their_logits.shape[:2], dtype=torch.bool)
    assert_close(our_logits[counted], their_logits[counted])

    direction = torch.randn_like(their_logits) / their_logits.numel() ** 0.5
    for logits in (our_logits, their_logits):
        (logits * direction)[counted].sum().backward()
    our_grads = as_theirs(ours, gradients_of(ours))
    for name, parameter in theirs.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            assert name not in our_grads or not our_grads[name].any(), name
        else:
            assert_close(our_grads[name], parameter.grad, msg=lambda text, n=name: f"{n}: {text}")

    back = to_transformers(ours)
    with torch.no_grad():
        assert_close(run_theirs(back)[counted], their_logits[counted].detach())
    assert_close(back.state_dict(), theirs.state_dict(), rtol=0, atol=0)
    return ours


def gradients_of(model):
    """A copy of the model whose parameters are its gradients."""
    holder = copy.deepcopy(model)
    with torch.no_grad():
        for parameter, source in zip(holder.parameters(), model.parameters(), strict=True):
            parameter.zero_()
            if source.grad is not None:
                parameter.copy_(source.grad)
    return holder


def as_theirs(model, holder):
    """Parameters of ``holder``, by the names and in the shapes of transformers."""
    layout = family_of(model).layouts(model.config)[0]
    return layout.write(holder, with_aliases=True)
