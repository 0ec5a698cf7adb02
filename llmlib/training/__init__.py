"""Floor 3: training.

==================================  =========================================================
file                                what is in it
==================================  =========================================================
:mod:`llmlib.training.trainer`      the loop
:mod:`llmlib.training.config`       its settings
:mod:`llmlib.training.guards`       what is checked before and during a run
:mod:`llmlib.training.batches`      data as numbered batches
:mod:`llmlib.training.optimizer`    AdamW and which weights decay
:mod:`llmlib.training.schedule`     the learning rate over a run
:mod:`llmlib.training.gradients`    clipping, and activations computed again
:mod:`llmlib.training.loss`         cross-entropy that can ignore and weigh targets
:mod:`llmlib.training.checkpoint`   checkpoints that a crash cannot spoil
:mod:`llmlib.training.history`      what a run wrote down
==================================  =========================================================
"""

from llmlib.training.batches import Batch, BatchSource, TokenBatches
from llmlib.training.checkpoint import (
    CheckpointError,
    latest_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from llmlib.training.config import TrainConfig
from llmlib.training.gradients import checkpoint_activations, clip_grad_norm
from llmlib.training.guards import DivergenceError
from llmlib.training.history import CSVLog, History, TensorBoardLog
from llmlib.training.loss import cross_entropy
from llmlib.training.optimizer import AdamW, parameter_groups
from llmlib.training.schedule import cosine_schedule
from llmlib.training.trainer import Log, Trainer

__all__ = [
    "AdamW",
    "Batch",
    "BatchSource",
    "CSVLog",
    "CheckpointError",
    "DivergenceError",
    "History",
    "Log",
    "TensorBoardLog",
    "TokenBatches",
    "TrainConfig",
    "Trainer",
    "checkpoint_activations",
    "clip_grad_norm",
    "cosine_schedule",
    "cross_entropy",
    "latest_checkpoint",
    "parameter_groups",
    "read_checkpoint",
    "write_checkpoint",
]
