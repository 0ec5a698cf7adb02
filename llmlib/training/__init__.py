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
:mod:`llmlib.training.launch`       several processes from a notebook cell
:mod:`llmlib.training.parallel`     one run on several processes
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
from llmlib.training.launch import RankError, run_ranks
from llmlib.training.loss import cross_entropy
from llmlib.training.optimizer import AdamW, parameter_groups
from llmlib.training.parallel import (
    DataParallel,
    OneProcess,
    ShardedDataParallel,
    parallel_from_environment,
)
from llmlib.training.schedule import cosine_schedule
from llmlib.training.sharded_checkpoint import read_shards, write_shards
from llmlib.training.tensor_parallel import split_layers, split_plan
from llmlib.training.trainer import Log, Trainer

__all__ = [
    "AdamW",
    "Batch",
    "BatchSource",
    "CSVLog",
    "CheckpointError",
    "DataParallel",
    "DivergenceError",
    "History",
    "Log",
    "OneProcess",
    "RankError",
    "ShardedDataParallel",
    "TensorBoardLog",
    "TokenBatches",
    "TrainConfig",
    "Trainer",
    "checkpoint_activations",
    "clip_grad_norm",
    "cosine_schedule",
    "cross_entropy",
    "latest_checkpoint",
    "parallel_from_environment",
    "parameter_groups",
    "read_checkpoint",
    "read_shards",
    "run_ranks",
    "split_layers",
    "split_plan",
    "write_checkpoint",
    "write_shards",
]
