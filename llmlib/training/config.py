"""How to train: the settings of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmlib.training.schedule import cosine_schedule

__all__ = ["TrainConfig"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train.

    Parameters
    ----------
    steps : int
        Updates of the whole run.
    batch_size : int
        Texts per update, when the data is a plain sequence of tokens.
    accumulation : int
        Equal parts in which a batch goes through the model, when it does not fit at once.
    max_lr, min_lr : float
        Learning rate at the top and at the end of the cosine.
    warmup_steps : int
        Steps in which it rises.
    weight_decay : float
        Of matrices, see :func:`~llmlib.training.parameter_groups`.
    betas : tuple of float
        Of AdamW.
    clip_norm : float
        Longest allowed gradient.
    precision : str
        ``"float32"``; ``"bfloat16"``, for the products; ``"auto"``: bfloat16 on a GPU that has it.
    recompute : bool
        Keep only the input of each block for the backward pass.
    eval_every, sample_every, save_every : int
        Steps between evaluations, samples and checkpoints; 0 for none. The last step has all
        that are not 0.
    eval_batches : int
        Batches of an evaluation.
    keep : int
        Checkpoints that stay on the disk.

    Examples
    --------
    >>> TrainConfig(steps=100, max_lr=1e-3).warmup_steps
    0
    """

    steps: int
    batch_size: int = 16
    accumulation: int = 1
    max_lr: float = 1e-3
    min_lr: float = 0.0
    warmup_steps: int = 0
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip_norm: float = 1.0
    precision: str = "float32"
    recompute: bool = False
    eval_every: int = 0
    eval_batches: int = 8
    sample_every: int = 0
    save_every: int = 0
    keep: int = 2

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulation", "eval_batches", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: it must be at least 1")
        if not self.clip_norm > 0:
            raise ValueError(f"clip_norm={self.clip_norm}: it must be positive; inf clips nothing")
        if self.precision not in ("float32", "bfloat16", "auto"):
            raise ValueError(
                f"precision={self.precision!r} is not known: choose 'float32', 'bfloat16' or 'auto'"
            )
        cosine_schedule(0, **self.schedule)  # refuses a warm-up that does not fit

    @property
    def schedule(self) -> dict[str, Any]:
        """Arguments of :func:`~llmlib.training.cosine_schedule`."""
        return {
            "max_lr": self.max_lr,
            "min_lr": self.min_lr,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.steps,
        }
