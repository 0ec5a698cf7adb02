"""What is checked before and during a run, so that hours are not lost to a slip."""

from __future__ import annotations

import math
from typing import Any

from llmlib.training.batches import AnyBatch, Batch

__all__ = ["DivergenceError", "check_batch", "check_progress", "check_same_run"]

# Settings that may differ when a run goes on: they do not change the weights.
_FREE = {"eval_every", "eval_batches", "sample_every", "save_every", "keep"}


class DivergenceError(RuntimeError):
    """The loss is not a number any more, or far above where it began."""


def check_batch(batch: AnyBatch, config: Any) -> None:
    """Refuse what the model cannot read.

    Parameters
    ----------
    batch : AnyBatch
        For example the first one of a run.
    config : GPTConfig or LlamaConfig
        Has ``vocab_size`` and ``context_length``.

    Raises
    ------
    ValueError
        The texts are empty or too long, or a token is not in the vocabulary.
    """
    for texts in batch.texts:
        _check_texts(texts, config)


def _check_texts(batch: Batch, config: Any) -> None:
    if batch.ids.numel() == 0:
        raise ValueError("the data is empty: the first batch has no token")
    if batch.ids.shape[1] > config.context_length:
        raise ValueError(
            f"the data has texts of {batch.ids.shape[1]} tokens, but the model reads "
            f"context_length={config.context_length}: cut them shorter"
        )
    for name, ids in (("ids", batch.ids), ("targets", batch.targets[batch.targets != -100])):
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < config.vocab_size:
            raise ValueError(
                f"{name} run from {int(ids.min())} to {int(ids.max())}, but the model knows "
                f"0..{config.vocab_size - 1}: was the text encoded with the model's tokenizer?"
            )


def check_progress(loss: float, grad_norm: float, first_loss: float) -> None:
    """Stop a run that will not come back.

    Parameters
    ----------
    loss, grad_norm : float
        Of this step.
    first_loss : float
        Of the first step.

    Raises
    ------
    DivergenceError
        The loss or the gradient is not finite, or the loss is three times the first one and five
        nats above it.

    Examples
    --------
    >>> check_progress(7.0, 12.0, first_loss=6.9)
    >>> check_progress(float("nan"), 12.0, first_loss=6.9)
    Traceback (most recent call last):
    ...
    llmlib.training.guards.DivergenceError: loss nan, gradient norm 12; the run began at 6.9. ...
    """
    limit = max(3 * first_loss, first_loss + 5)
    if math.isfinite(loss) and math.isfinite(grad_norm) and loss <= limit:
        return
    raise DivergenceError(
        f"loss {loss:.3g}, gradient norm {grad_norm:.3g}; the run began at {first_loss:.3g}. Try "
        "a lower max_lr, a longer warm-up or a smaller clip_norm, and look at the batch of this "
        "step."
    )


def check_same_run(now: dict[str, Any], saved: dict[str, Any]) -> None:
    """Refuse to go on with other settings than those that a run began with.

    Parameters
    ----------
    now, saved : dict
        Settings by name; those that do not change the weights may differ.

    Raises
    ------
    ValueError
        Names each setting that differs.
    """
    other = [
        f"{name} was {saved.get(name)}, now {value}"
        for name, value in now.items()
        if name not in _FREE and _as_json(value) != saved.get(name)
    ]
    if other:
        raise ValueError(
            f"the checkpoint belongs to another run: {'; '.join(other)}. Use its settings, or "
            "start a new run in another folder"
        )


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
