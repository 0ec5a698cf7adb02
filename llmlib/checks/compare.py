"""Where two outputs differ first, in one line that a learner can use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["describe", "first_difference"]

_FEW = 6  # numbers of a tensor that are shown in full


def first_difference(actual: Any, expected: Any, *, rtol: float, atol: float) -> str | None:
    """Say where ``actual`` first differs from ``expected``; None where they agree.

    Numbers agree when ``|actual - expected| <= atol + rtol * |expected|``. Tensors, arrays,
    numbers and lists of numbers may stand for one another; a truth value and a number may not.

    Parameters
    ----------
    actual, expected : object
        Tensors, arrays, numbers, strings, or lists, tuples and dictionaries of them.
    rtol, atol : float
        Relative and absolute tolerance.

    Returns
    -------
    str or None
        One line, for example ``"at [0, 2] you have 1.5, expected 2"``.

    Examples
    --------
    >>> close = {"rtol": 1e-4, "atol": 1e-6}
    >>> first_difference(torch.tensor([1.0, 1.5]), torch.tensor([1.0, 2.0]), **close)
    'at [1] you have 1.5, expected 2'
    >>> first_difference(torch.ones(2, 3), torch.ones(3, 2), **close)
    'you have shape (2, 3), expected (3, 2)'
    >>> first_difference([1.0, 2.0], torch.tensor([1.0, 2.0]), **close) is None
    True
    """
    if isinstance(expected, (Tensor, np.ndarray)):
        return _tensor_difference(actual, torch.as_tensor(expected), rtol, atol)
    if isinstance(expected, (bool, int, float, np.generic)):
        return _tensor_difference(actual, torch.as_tensor(expected), rtol, atol)
    if isinstance(expected, Mapping):
        return _mapping_difference(actual, expected, rtol, atol)
    if isinstance(expected, Sequence) and not isinstance(expected, (str, bytes)):
        return _sequence_difference(actual, expected, rtol, atol)
    return None if actual == expected else f"you have {describe(actual)}, expected {expected!r}"


def describe(value: Any) -> str:
    """A value in a few words: short ones in full, tensors by shape.

    Examples
    --------
    >>> describe(torch.zeros(4, 5)), describe(torch.tensor([1.0, 2.5])), describe("cat")
    ('(4, 5)', '[1, 2.5]', "'cat'")
    """
    if isinstance(value, (Tensor, np.ndarray)):
        tensor = torch.as_tensor(value).detach()
        if tensor.dim() < 2 and tensor.numel() <= _FEW:
            return str(_short(tensor.tolist()))
        return str(tuple(tensor.shape))
    if isinstance(value, (bool, int, float)):
        return str(_short(value))
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _tensor_difference(actual: Any, expected: Tensor, rtol: float, atol: float) -> str | None:
    try:
        actual = torch.as_tensor(actual).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        wanted = "a number" if expected.dim() == 0 else f"a tensor of shape {_shape(expected)}"
        return f"you have {describe(actual)} ({type(actual).__name__}), expected {wanted}"
    expected = expected.detach().cpu()
    if (actual.dtype == torch.bool) != (expected.dtype == torch.bool):
        return f"you have dtype {actual.dtype}, expected {expected.dtype}"
    if actual.shape != expected.shape:
        return f"you have shape {_shape(actual)}, expected {_shape(expected)}"
    same = torch.isclose(actual.double(), expected.double(), rtol, atol, equal_nan=True)
    if same.all():
        return None
    index = (~same).nonzero()[0].tolist()
    where = f"at {index} " if index else ""
    mine, right = _short(actual[tuple(index)].item()), _short(expected[tuple(index)].item())
    return f"{where}you have {mine}, expected {right}"


def _sequence_difference(actual: Any, expected: Sequence, rtol: float, atol: float) -> str | None:
    if isinstance(actual, (str, bytes)) or not isinstance(actual, (Sequence, Tensor, np.ndarray)):
        return f"you have {describe(actual)}, expected {len(expected)} values in a list"
    if len(actual) != len(expected):
        return f"you have {len(actual)} values, expected {len(expected)}"
    for index, (mine, right) in enumerate(zip(actual, expected, strict=True)):
        difference = first_difference(mine, right, rtol=rtol, atol=atol)
        if difference:
            return f"in value {index}: {difference}"
    return None


def _mapping_difference(actual: Any, expected: Mapping, rtol: float, atol: float) -> str | None:
    if not isinstance(actual, Mapping):
        return f"you have {describe(actual)}, expected a dictionary"
    if actual.keys() != expected.keys():
        return f"you have the keys {sorted(actual)}, expected {sorted(expected)}"
    for key, right in expected.items():
        difference = first_difference(actual[key], right, rtol=rtol, atol=atol)
        if difference:
            return f"under {key!r}: {difference}"
    return None


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape)) if tensor.dim() else "() (one number)"


def _short(value: Any) -> Any:
    """Numbers at four significant digits; ``1`` for ``1.0``, as a person would write it."""
    if isinstance(value, list):
        return "[" + ", ".join(str(_short(item)) for item in value) + "]"
    if isinstance(value, bool) or not isinstance(value, float):
        return value
    return f"{value:.4g}"
